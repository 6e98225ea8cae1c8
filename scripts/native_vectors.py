"""Test vectors of the native handshake, by a second implementation (docs/protocol.md).

    python scripts/native_vectors.py            # write spec/vectors/native-*.json anew

It is written from the document alone and imports nothing of the project: that both agree is what
the unit tests hold. Only the ML-KEM ciphertext cannot be chosen, so a new file draws a new one, and
an old one keeps its own.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import unicodedata
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl import bindings

FOLDER = Path(__file__).resolve().parents[1] / "spec" / "vectors"
HYBRID, RADIO, RESUME = 1, 2, 3
P = 2**255 - 19
INITIATOR, RESPONDER = b"initiator", b"responder"

Vector = dict[str, Any]


def fixed(label: str, size: int) -> bytes:
    """Bytes for a key that a real node would draw."""
    return hashlib.shake_256(f"ironmesh v5 vector: {label}".encode()).digest(size)


def sha256(*parts: bytes) -> bytes:
    """SHA-256 of the parts, one after the other."""
    return hashlib.sha256(b"".join(parts)).digest()


def extract(salt: bytes, *secrets: bytes) -> bytes:
    """HKDF-Extract with SHA-256."""
    return hmac.digest(salt, b"".join(secrets), "sha256")


def expand(key: bytes, info: bytes, size: int = 32) -> bytes:
    """HKDF-Expand with SHA-256, for at most one block."""
    return hmac.digest(key, info + b"\x01", "sha256")[:size]


def lv(*parts: bytes) -> bytes:
    """Each part after its length; none here is longer than 127 bytes but the padding's own."""
    assert all(len(part) < 128 for part in parts)
    return b"".join(bytes([len(part)]) + part for part in parts)


def u32(text: str) -> bytes:
    """A text after its length in 4 bytes."""
    return len(text.encode()).to_bytes(4, "big") + text.encode()


def cpace_generator(prs: bytes, ci: bytes, sid: bytes) -> bytes:
    """The generator as a Montgomery coordinate, in big integers."""
    zeros = bytes(127 - len(lv(b"CPace255", prs)))
    hashed = hashlib.sha512(lv(b"CPace255", prs, zeros, ci, sid)).digest()[:32]
    r = int.from_bytes(hashed, "little") % 2**255 % P
    first = -486662 * pow(1 + 2 * r * r, -1, P) % P
    value = (pow(first, 3, P) + 486662 * first * first + first) % P
    is_square = pow(value, (P - 1) // 2, P) in (0, 1)
    return (first if is_square else (-first - 486662) % P).to_bytes(32, "little")


def ed25519ph(seed: bytes, data: bytes) -> bytes:
    """Ed25519ph without context."""
    state = bindings.crypto_sign_ed25519ph_state()
    bindings.crypto_sign_ed25519ph_update(state, data)
    secret = bindings.crypto_sign_seed_keypair(seed)[1]
    return bindings.crypto_sign_ed25519ph_final_create(state, secret)


def node(label: str, name: str, features: int, sequence: int, clock_ms: int) -> Vector:
    """What a node is and says of itself."""
    seed = fixed(f"{label} identity", 32)
    return {
        "identity_seed": seed,
        "identity_public": bindings.crypto_sign_seed_keypair(seed)[0],
        "name": name,
        "features": features,
        "record_sequence": sequence,
        "clock_ms": clock_ms,
    }


def statement(who: Vector) -> bytes:
    """The plaintext before the signature."""
    name = who["name"].encode()
    said = (
        who["identity_public"]
        + who["features"].to_bytes(4, "big")
        + who["record_sequence"].to_bytes(8, "big")
        + who["clock_ms"].to_bytes(6, "big")
        + bytes([len(name)])
        + name
    )
    return said + bytes(-len(said) % 64)


def negotiation(transport: str, offered: list[str], chosen: str) -> Vector:
    """What was agreed on before the first byte."""
    said = len(offered).to_bytes(4, "big") + b"".join(map(u32, [transport, *offered, chosen]))
    return {
        "transport": transport,
        "offered": offered,
        "chosen": chosen,
        "digest": sha256(said),
        "h0": sha256(b"ironmesh v5 handshake", sha256(said)),
    }


def sealed(ck: bytes, role: bytes, h: bytes, who: Vector) -> Vector:
    """A proof with every value on the way to it."""
    key = expand(ck, (b"sealed 3" if role == INITIATOR else b"sealed 2") + h)
    said = statement(who)
    signed = b"ironmesh v5 handshake" + role + h + sha256(said)
    signature = ed25519ph(who["identity_seed"], signed)
    return {
        "key": key,
        "statement": said,
        "signed": signed,
        "signature": signature,
        "sealed": ChaCha20Poly1305(key).encrypt(bytes(12), said + signature, h),
    }


def session(ck: bytes, h: bytes) -> Vector:
    """The keys of a session, and what resumes it."""
    resumption = expand(ck, b"resumption" + h)
    return {
        "session_id": expand(ck, b"session id" + h),
        "root": expand(ck, b"root" + h),
        "i2r": expand(ck, b"i2r" + h),
        "r2i": expand(ck, b"r2i" + h),
        "resumption": resumption,
        "ticket_initiator": expand(resumption, b"ticket initiator", 16),
        "ticket_responder": expand(resumption, b"ticket responder", 16),
        "binder_key_initiator": expand(resumption, b"binder initiator"),
        "binder_key_responder": expand(resumption, b"binder responder"),
    }


def kem(label: str, old: Vector | None) -> Vector:
    """An ML-KEM-768 key, and a secret for it: the old one where there is one."""
    seed = fixed(f"{label} ml-kem", 64)
    private = MLKEM768PrivateKey.from_seed_bytes(seed)
    if old is None:
        secret, ciphertext = private.public_key().encapsulate()
    else:
        ciphertext = bytes.fromhex(old["ciphertext"])
        secret = private.decapsulate(ciphertext)
    public = private.public_key().public_bytes_raw()
    return {"seed": seed, "public": public, "ciphertext": ciphertext, "secret": secret}


def full(label: str, profile: int, agreed: Vector, generation: int, old: Vector | None) -> Vector:
    """A handshake with every value on the way."""
    prs = fixed("mesh secret", 32)
    one = node("alice", "alice", 0, 1767225600123, 1767225600250)
    other = node("bob", "a-name-of-more-than-13-bytes", 5, 0, 1767225601000)
    draws = {
        name: fixed(f"{label} {name}", 32)
        for name in ("nonce_i", "e_i", "y_i", "nonce_r", "e_r", "y_r")
    }
    exchange = kem(label, old["ml_kem"] if old else None) if profile == HYBRID else None
    e_i, e_r = (bindings.crypto_scalarmult_base(draws[name]) for name in ("e_i", "e_r"))
    ci = b"ironmesh v5" + bytes([generation])
    generator = cpace_generator(prs, ci, draws["nonce_i"])
    share_i, share_r = (
        bindings.crypto_scalarmult(draws[name], generator) for name in ("y_i", "y_r")
    )
    point = bindings.crypto_scalarmult(draws["y_i"], share_r)
    isk = hashlib.sha512(
        lv(b"CPace255_ISK", draws["nonce_i"], point)
        + lv(share_i, INITIATOR + draws["nonce_i"] + e_i)
        + lv(share_r, RESPONDER + draws["nonce_r"] + e_r)
    ).digest()
    exchanged = bindings.crypto_scalarmult(draws["e_i"], e_r)
    m1 = bytes([5, profile, generation]) + draws["nonce_i"] + e_i + share_i
    head = draws["nonce_r"] + e_r + share_r
    secrets = [exchanged, isk]
    if exchange is not None:
        m1, head = m1 + exchange["public"], head + exchange["ciphertext"]
        secrets.insert(1, exchange["secret"])
    h1 = sha256(agreed["h0"], m1)
    h2 = sha256(h1, head)
    ck = extract(h2, *secrets)
    proof_r = sealed(ck, RESPONDER, h2, other)
    h3 = sha256(h2, proof_r["sealed"])
    proof_i = sealed(ck, INITIATOR, h3, one)
    h4 = sha256(h3, proof_i["sealed"])
    return {
        "name": label,
        "profile": profile,
        "generation": generation,
        "prs": prs,
        "negotiation": agreed,
        "initiator": one,
        "responder": other,
        "draws": draws,
        "ml_kem": exchange,
        "generator": generator,
        "x25519": exchanged,
        "cpace_point": point,
        "isk": isk,
        "m1": m1,
        "h1": h1,
        "m2_head": head,
        "h2": h2,
        "ck": ck,
        "sealed_2": proof_r,
        "m2": head + proof_r["sealed"],
        "h3": h3,
        "sealed_3": proof_i,
        "m3": proof_i["sealed"],
        "h4": h4,
        "session": session(ck, h4),
    }


def resumed(label: str, before: Vector, agreed: Vector, dialler: bytes) -> Vector:
    """The resumption of a session by the end that was its `dialler`."""
    role = dialler.decode()
    left = before["session"]
    draws = {name: fixed(f"{label} {name}", 32) for name in ("nonce_i", "e_i", "nonce_r", "e_r")}
    e_i, e_r = (bindings.crypto_scalarmult_base(draws[name]) for name in ("e_i", "e_r"))
    covered = bytes([5, RESUME]) + left[f"ticket_{role}"] + draws["nonce_i"] + e_i
    binder = hmac.digest(left[f"binder_key_{role}"], sha256(agreed["h0"], covered), "sha256")
    first = covered + binder
    h1 = sha256(agreed["h0"], first)
    head = draws["nonce_r"] + e_r
    h2 = sha256(h1, head)
    exchanged = bindings.crypto_scalarmult(draws["e_i"], e_r)
    ck = extract(h2, exchanged, left["resumption"])
    key = expand(ck, b"sealed 2" + h2)
    answer = head + ChaCha20Poly1305(key).encrypt(bytes(12), b"", h2)
    return {
        "name": label,
        "resumes": before["name"],
        "ticket_of": role,
        "negotiation": agreed,
        "draws": draws,
        "x25519": exchanged,
        "binder": binder,
        "first": first,
        "h1": h1,
        "h2": h2,
        "ck": ck,
        "key": key,
        "answer": answer,
        "session": session(ck, h2),
        "h0_if_unknown": sha256(agreed["h0"], first, b"\x00"),
    }


def refused(m1: bytes) -> list[Vector]:
    """First messages that nobody answers, on a WebSocket connection."""
    forms = {
        "empty": b"",
        "an older version": b"\x04" + m1[1:],
        "a later version": b"\x06" + m1[1:],
        "no such profile": b"\x05\x00" + m1[2:],
        "profile radio on a fast link": b"\x05\x02" + m1[2:99],
        "a generation that nobody knows": m1[:2] + b"\xff" + m1[3:],
        "one byte too few": m1[:-1],
        "one byte too many": m1 + b"\x00",
        "an X25519 key of low order": m1[:35] + bytes(32) + m1[67:],
        "a CPace share of low order": m1[:67] + b"\x01" + bytes(31) + m1[99:],
        "an ML-KEM key out of range": m1[:99] + b"\xff" * 1184,
    }
    reasons = {"an older version": 4003}
    return [
        {"name": name, "m1": data, "close_code": reasons.get(name, 4000)}
        for name, data in forms.items()
    ]


def mesh_secrets() -> list[Vector]:
    """From passphrases to mesh secrets, at the real cost and at one that tests can afford."""
    rows = []
    for passphrase, mesh, passes, memory in (
        ("correct horse battery staple", "ironmesh", 3, 128 * 1024 * 1024),
        ("correct horse battery staple", "ironmesh", 1, 8 * 1024),
        ("cafe\u0301 au lait, s'il vous plai\u0302t", "me\u0301sh", 1, 8 * 1024),
    ):
        typed, name = (unicodedata.normalize("NFC", text).encode() for text in (passphrase, mesh))
        salt = sha256(b"ironmesh v5 mesh", name)[:16]
        prs = bindings.crypto_pwhash_alg(
            32, typed, salt, passes, memory, bindings.crypto_pwhash_ALG_ARGON2ID13
        )
        rows.append(
            {
                "passphrase": passphrase,
                "mesh": mesh,
                "passes": passes,
                "memory_bytes": memory,
                "salt": salt,
                "prs": prs,
            }
        )
    return rows


def build(old: Vector | None = None) -> Vector:
    """Return all vectors of the handshake.

    Args:
        old: the file as it is, for its ML-KEM ciphertexts.
    """
    before = {row["name"]: row for row in old["full"]} if old else {}
    web = negotiation("websocket", ["ironmesh.v5"], "ironmesh.v5")
    later = negotiation("websocket", ["ironmesh.v6", "ironmesh.v5"], "ironmesh.v5")
    radio = negotiation("reticulum", [], "")
    hybrid = full("hybrid", HYBRID, web, 0, before.get("hybrid"))
    offered = full(
        "hybrid, a later version offered",
        HYBRID,
        later,
        7,
        before.get("hybrid, a later version offered"),
    )
    classic = full("radio", RADIO, radio, 1, None)
    return {
        "full": [hybrid, offered, classic],
        "resumed": [
            resumed("the initiator resumes", hybrid, web, INITIATOR),
            resumed("the responder resumes", hybrid, web, RESPONDER),
            resumed("a hybrid session goes on over radio", hybrid, radio, INITIATOR),
            resumed("a radio session", classic, radio, INITIATOR),
        ],
        "refused": refused(hybrid["m1"]),
        "mesh_secret": mesh_secrets(),
    }


def as_json(value: Any) -> Any:
    """Return the value with bytes as hex."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: as_json(each) for key, each in value.items()}
    return [as_json(each) for each in value] if isinstance(value, list) else value


def main() -> None:
    """Write the file anew."""
    path = FOLDER / "native-handshake.json"
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    text = json.dumps(as_json(build(old)), indent=1)
    path.write_text(text + "\n", encoding="utf-8")
    print(f"{path.name}: {len(text)} bytes")


if __name__ == "__main__":
    main()

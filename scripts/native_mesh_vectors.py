"""Test vectors of the mesh, by a second implementation (docs/protocol-mesh.md).

    python scripts/native_mesh_vectors.py       # write spec/vectors/native-mesh.json anew

It is written from the document alone and imports nothing of the project: that both agree is what
the unit tests hold. Only the ML-KEM ciphertext cannot be chosen, so a new file draws a new one, and
an old one keeps its own.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl import bindings

if __package__:
    from scripts.native_vectors import (
        FOLDER,
        as_json,
        ed25519ph,
        expand,
        extract,
        fixed,
        kem,
        sha256,
    )
else:
    from native_vectors import FOLDER, as_json, ed25519ph, expand, extract, fixed, kem, sha256

Vector = dict[str, Any]
WRITTEN_S = 1767225600
LIFE_S = 48 * 3600


def leb128(number: int) -> bytes:
    """A varint."""
    out = b""
    while number >= 128:
        out += bytes([number % 128 + 128])
        number //= 128
    return out + bytes([number])


def key_pair(label: str) -> tuple[bytes, bytes]:
    """Seed and public key of an identity."""
    seed = fixed(f"{label} identity", 32)
    return seed, bindings.crypto_sign_seed_keypair(seed)[0]


def beacon(label: str, sequence: int, expiry_s: int, body: bytes) -> Vector:
    """A beacon with what is signed."""
    seed, public = key_pair(label)
    fields = public + sequence.to_bytes(8, "big") + expiry_s.to_bytes(5, "big") + sha256(body)
    signed = b"ironmesh v5 beacon" + fields
    return {
        "identity_seed": seed,
        "identity_public": public,
        "node_id": sha256(public).hex()[:32],
        "sequence": str(sequence),
        "expiry_s": expiry_s,
        "record_hash": sha256(body),
        "signed": signed,
        "beacon": fields + ed25519ph(seed, signed),
    }


def record(
    name: str,
    capabilities: list[str],
    number: int,
    x25519: bytes,
    kem_public: bytes,
    versions: bytes,
) -> Vector:
    """The body of a node record."""
    kem_hash = sha256(kem_public) if kem_public else b""
    texts = sorted(text.encode() for text in capabilities)
    body = (
        bytes([1, 1 if kem_public else 0])
        + number.to_bytes(4, "big")
        + x25519
        + kem_hash
        + bytes([len(versions)])
        + versions
        + bytes([len(name.encode())])
        + name.encode()
        + leb128(len(texts))
        + b"".join(leb128(len(text)) + text for text in texts)
    )
    return {
        "name": name,
        "capabilities": [text.decode() for text in texts],
        "prekey_number": number,
        "x25519": x25519,
        "kem_hash": kem_hash,
        "wire_versions": list(versions),
        "body": body,
        "hash": sha256(body),
    }


def message(number: int, payload: bytes) -> bytes:
    """A message of type MSG, NORMAL, with an id and a time (docs/protocol-records.md)."""
    epoch = fixed("epoch", 8)
    moment = (WRITTEN_S * 1000 + number).to_bytes(6, "big")
    head = bytes([64, 2 | 4]) + epoch + number.to_bytes(8, "big") + moment
    return head + leb128(len(payload)) + payload


def contents() -> dict[str, bytes]:
    """What parcels hold."""
    stream = WRITTEN_S.to_bytes(4, "big")
    one = message(1, b"over several hops")
    accepted = bytes([1, 2, 1, 0, 1]) + fixed("epoch", 8) + bytes([1, 7, 2])
    receipts = bytes([16, 0]) + leb128(len(accepted)) + accepted
    first = leb128(8) + bytes([64, 2]) + fixed("epoch", 8) + (9).to_bytes(8, "big")
    chunks = b"".join(
        bytes([9, flags]) + leb128(len(body)) + body
        for flags, body in ((0x22, first + b"in t"), (0x02, b"wo b"))
    )
    return {
        "one message": bytes([2]) + stream + leb128(0) + one,
        "three messages, far on": bytes([2])
        + stream
        + leb128(2**40)
        + b"".join(message(number, bytes(number)) for number in (2, 3, 200)),
        "a message in two chunks": bytes([2]) + stream + leb128(0) + chunks,
        "receipts": bytes([4]) + stream + receipts,
        "a reset": bytes([8]) + stream + (WRITTEN_S + 5).to_bytes(4, "big"),
    }


def parcel(label: str, content: bytes, *, is_hybrid: bool, old: Vector | None) -> Vector:
    """A parcel of Alice to Bob with every value on the way to it."""
    seed, source = key_pair("alice")
    _, destination = key_pair("bob")
    number = int.from_bytes(fixed("prekey number", 4), "big")
    prekey_secret, e_secret = fixed("prekey", 32), fixed(f"{label} e", 32)
    prekey, e = map(bindings.crypto_scalarmult_base, (prekey_secret, e_secret))
    secrets = [bindings.crypto_scalarmult(e_secret, prekey)]
    head = bytes([2 if is_hybrid else 1]) + number.to_bytes(4, "big") + e
    bound = prekey
    exchange = None
    if is_hybrid:
        exchange = kem("bob's prekey", old["ml_kem"] if old else None)
        secrets.append(exchange["secret"])
        head += exchange["ciphertext"]
        bound += sha256(exchange["public"])
    ctx = sha256(b"ironmesh v5 parcel", destination, bound, head)
    key = expand(extract(ctx, *secrets), b"parcel")
    digest = hashlib.blake2b(head + source + content, digest_size=32).digest()
    signed = b"ironmesh v5 parcel" + destination + digest
    opened = source + content + ed25519ph(seed, signed)
    return {
        "name": label,
        "source_seed": seed,
        "source_public": source,
        "destination_seed": key_pair("bob")[0],
        "destination_public": destination,
        "prekey_number": number,
        "prekey_secret": prekey_secret,
        "prekey": prekey,
        "ml_kem": exchange,
        "e_secret": e_secret,
        "content": content,
        "head": head,
        "ctx": ctx,
        "key": key,
        "signed": signed,
        "parcel": head + ChaCha20Poly1305(key).encrypt(bytes(12), opened, ctx),
    }


def refused_parcels(made: Vector) -> list[Vector]:
    """What Bob does not take, and what he calls it."""
    whole, head, key, ctx = made["parcel"], made["head"], made["key"], made["ctx"]
    _, mallory = key_pair("mallory")
    content = made["content"]

    def sealed(source: bytes, signature: bytes) -> bytes:
        return head + ChaCha20Poly1305(key).encrypt(bytes(12), source + content + signature, ctx)

    own_seed, own = made["destination_seed"], made["destination_public"]
    digest = hashlib.blake2b(head + own + content, digest_size=32).digest()
    by_himself = ed25519ph(own_seed, b"ironmesh v5 parcel" + own + digest)
    forms = {
        "no such kind": (b"\x03" + whole[1:], "protocol"),
        "cut off": (whole[:148], "truncated"),
        "an unknown prekey": (whole[:1] + bytes(4) + whole[5:], "prekey_unknown"),
        "an e of low order": (whole[:5] + bytes(32) + whole[37:], "undecryptable"),
        "the last bit flipped": (whole[:-1] + bytes([whole[-1] ^ 1]), "undecryptable"),
        "another source": (sealed(mallory, bytes(64)), "bad_signature"),
        "sealed by its destination": (sealed(own, by_himself), "self"),
    }
    return [{"name": name, "parcel": data, "refused": why} for name, (data, why) in forms.items()]


def revocation(label: str, revoked: str, signer: str) -> Vector:
    """A revocation with what is signed."""
    seed, public = key_pair(signer)
    fields = key_pair(revoked)[1] + public + WRITTEN_S.to_bytes(5, "big")
    signed = b"ironmesh v5 revocation" + fields
    return {
        "name": label,
        "revoked": key_pair(revoked)[1],
        "signer": public,
        "time_s": WRITTEN_S,
        "signed": signed,
        "revocation": fields + ed25519ph(seed, signed),
    }


def on_the_way(whole: bytes) -> Vector:
    """What neighbours say about parcels and traces."""
    destination = sha256(key_pair("bob")[1])[:16]
    relay = sha256(key_pair("mallory")[1])[:16]
    trace = fixed("trace", 8)
    return {
        "destination": destination,
        "parcel": whole,
        "parcel_body": destination + bytes([5]) + whole,
        "handed_on": destination + bytes([4]) + whole,
        "parcel_hash": sha256(whole),
        "busy": sha256(whole) + bytes([3]),
        "trace": trace + destination + bytes([7, 1]),
        "trace_reply": trace + bytes([1]) + relay + bytes([1]),
        "relay": relay,
        "refused": [
            destination + bytes([129]) + whole,
            destination + bytes([5]),
        ],
    }


def build(old: Vector | None = None) -> Vector:
    """Return all vectors of the mesh.

    Args:
        old: the file as it is, for its ML-KEM ciphertext.
    """
    before = {row["name"]: row for row in old["parcels"]} if old else {}
    prekey = bindings.crypto_scalarmult_base(fixed("prekey", 32))
    kem_public = kem("bob's prekey", None)["public"]
    number = int.from_bytes(fixed("prekey number", 4), "big")
    records = [
        record("bob", ["tool:search", "llm:llama3"], number, prekey, kem_public, b"\x05"),
        record("plain", [], 1, prekey, b"", b"\x05\x06"),
        record("Zoë-7", ["café", "x" * 200], 2**32 - 1, prekey, b"", b""),
    ]
    parts = contents()
    first = parcel("classic", parts["one message"], is_hybrid=False, old=None)
    return {
        "node_records": records,
        "beacons": [
            beacon("bob", WRITTEN_S << 32, WRITTEN_S + LIFE_S, records[0]["body"]),
            beacon("alice", 2**64 - 1, 2**40 - 1, records[1]["body"]),
        ],
        "record_request": {
            "hashes": [row["hash"] for row in records],
            "payload": b"".join(row["hash"] for row in records),
        },
        "records": {
            "blobs": [row["body"] for row in records] + [kem_public],
            "payload": b"".join(
                leb128(len(blob)) + blob for blob in [*(row["body"] for row in records), kem_public]
            ),
        },
        "contents": [{"name": name, "content": content} for name, content in parts.items()],
        "parcels": [
            first,
            parcel("classic, a reset", parts["a reset"], is_hybrid=False, old=None),
            parcel(
                "hybrid", parts["three messages, far on"], is_hybrid=True, old=before.get("hybrid")
            ),
        ],
        "refused_parcels": refused_parcels(first),
        "on_the_way": on_the_way(first["parcel"]),
        "revocations": [
            revocation("by herself", "alice", "alice"),
            revocation("by an authority", "mallory", "alice"),
        ],
    }


def main() -> None:
    """Write the file anew."""
    path = FOLDER / "native-mesh.json"
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    text = json.dumps(as_json(build(old)), indent=1)
    path.write_text(text + "\n", encoding="utf-8")
    print(f"{path.name}: {len(text)} bytes")


if __name__ == "__main__":
    main()

"""The vectors of records: made by a second implementation of the page, met by the channel.

`python -m tests.unit.session.native.test_channel_vectors` writes them anew.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl import bindings
from tests.support.legacy import NOW
from tests.support.native_channel import ALICE, BOB, fresh, message, session_keys

from ironmesh.crypto.identity import Identity
from ironmesh.types import Message, MessageId, MessagePriority, Unit

PATH = Path(__file__).parents[4] / "spec" / "vectors" / "native-records.json"
KEYS = session_keys(is_initiator=True)
MESSAGES = [
    message(payload=b"hello", id=MessageId(bytes(range(16)))),
    message(payload=b"x" * 200, id=MessageId(bytes(8) + b"not kept"), timestamp_ms=0),
    message(type="own/✓", payload=b"", priority=MessagePriority.CRITICAL),
    message(type="ACK", payload=b"\x01", id=MessageId(bytes(16)), timestamp_ms=0),
]


def written(one: Message) -> bytes:
    """Write a message as the page says."""
    number = {"MSG": 64, "ACK": 16}.get(one.type, 0)
    flags = ["CRITICAL", "HIGH", "NORMAL", "LOW"].index(one.priority)
    head = b""
    if not number:
        name = one.type.encode()
        head += bytes((len(name),)) + name
    if number != 16:
        is_kept = any(one.id[:8])
        head += one.id if is_kept else one.id[8:]
        flags |= 0 if is_kept else 8
        if one.timestamp_ms:
            flags |= 4
            head += one.timestamp_ms.to_bytes(6, "big")
    size = len(one.payload)
    length = bytes((size,)) if size < 128 else bytes((size & 127 | 128, size >> 7))
    return bytes((number, flags)) + head + length + one.payload


def sealed(identity: Identity, direction: int, phase: int, chain: bytes, said: list[bytes]) -> Any:
    """Write signed records as the page says, from the first one of a phase on."""
    records = []
    for counter, messages in enumerate(said):
        both = hashlib.blake2b(b"ironmesh v5 record", key=chain, digest_size=64).digest()
        chain, key = both[:32], both[32:]
        header = bytes((0x51, phase)) + counter.to_bytes(4, "big")
        digest = hashlib.blake2b(messages, digest_size=32).digest()
        state = bindings.crypto_sign_ed25519ph_state()
        bindings.crypto_sign_ed25519ph_update(
            state, b"ironmesh v5 record" + KEYS.session_id + bytes((direction,)) + header + digest
        )
        secret = bindings.crypto_sign_seed_keypair(identity.seed.reveal())[1]
        signature = bindings.crypto_sign_ed25519ph_final_create(state, secret)
        nonce = bytes(8) + counter.to_bytes(4, "big")
        body = ChaCha20Poly1305(key).encrypt(nonce, messages + signature, header)
        records.append(
            {"messages": messages.hex(), "key": key.hex(), "record": (header + body).hex()}
        )
    return records


def updated(offer: bytes, answer: bytes) -> dict[str, str]:
    """Return what a key update that the initiator started derives, without ML-KEM."""
    shared = X25519PrivateKey.from_private_bytes(bytes([1] * 32)).exchange(
        X25519PublicKey.from_public_bytes(answer)
    )
    said = b"ironmesh v5 key update" + KEYS.session_id + b"\x01" + offer + answer
    digest = hashlib.sha256(said).digest()
    key = hmac.digest(KEYS.root.reveal(), shared, "sha256")
    return {
        name: hmac.digest(key, name.encode() + digest + b"\x01", "sha256").hex()
        for name in ("root", "i2r", "r2i")
    }


def public(secret: int) -> bytes:
    return X25519PrivateKey.from_private_bytes(bytes([secret] * 32)).public_key().public_bytes_raw()


def build() -> dict[str, Any]:
    """Return the vectors."""
    offer, answer = public(1), public(2)
    chains = updated(offer, answer)
    i2r, r2i = KEYS.initiator_chain.reveal(), KEYS.responder_chain.reveal()
    small = b"".join(map(written, MESSAGES))
    return {
        "initiator_seed": ALICE.seed.reveal().hex(),
        "responder_seed": BOB.seed.reveal().hex(),
        "session_id": KEYS.session_id.hex(),
        "root": KEYS.root.reveal().hex(),
        "i2r": i2r.hex(),
        "r2i": r2i.hex(),
        "update_secrets": {"starter": "01" * 32, "answerer": "02" * 32},
        "updated": chains,
        "initiator": sealed(ALICE, 1, 0, i2r, [small, b"\x06\x00\x20" + offer, b"\x08\x00\x00"]),
        "responder": sealed(BOB, 2, 0, r2i, [b"\x01\x00\x00", b"\x07\x00\x20" + answer]),
        "initiator_phase_1": sealed(ALICE, 1, 1, bytes.fromhex(chains["i2r"]), [small]),
        "responder_phase_1": sealed(BOB, 2, 1, bytes.fromhex(chains["r2i"]), [b"\x05\x00\x03bye"]),
    }


def test_the_second_implementation_writes_the_vectors_as_they_are() -> None:
    assert json.loads(PATH.read_text(encoding="utf-8")) == build()


def test_the_channel_writes_and_reads_them() -> None:
    vectors = json.loads(PATH.read_text(encoding="utf-8"))
    alice, bob = fresh()
    alice._update._random = lambda size: bytes([1] * size)
    bob._update._random = lambda size: bytes([2] * size)
    ready = bob.seal([], NOW)
    written_by: dict[str, list[Unit]] = {"initiator": [], "responder": list(ready)}
    alice.open(*ready, NOW)
    first = alice.seal(MESSAGES, NOW)
    assert bob.open(*first, NOW).messages == MESSAGES
    alice.rekey(NOW)
    offer = alice.seal([], NOW)
    bob.open(*offer, NOW)
    answer = bob.seal([], NOW)
    alice.open(*answer, NOW)
    last, new = alice.seal(MESSAGES, NOW)
    bob.open(last, NOW)
    assert bob.open(new, NOW).messages == MESSAGES
    written_by["initiator"] = [*first, *offer, last]
    written_by["responder"] += answer
    written_by["initiator_phase_1"] = [new]
    written_by["responder_phase_1"] = bob.goodbye("bye", NOW)
    for name, units in written_by.items():
        assert [unit.hex() for unit in units if isinstance(unit, bytes)] == [
            row["record"] for row in vectors[name]
        ]


if __name__ == "__main__":
    PATH.write_text(json.dumps(build(), indent=2) + "\n", encoding="utf-8")

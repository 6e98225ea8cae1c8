"""The binary frame: the published vectors, and a name for every way to be wrong."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import vectors
from tests.support.legacy import refusal_of

from ironmesh.types import MessagePriority, Refusal
from ironmesh.wire.legacy import frame, inner
from ironmesh.wire.legacy.constants import FRAME_MAGIC, MAX_UNIT_BYTES

FRAMES = vectors.load("frame")
NEGATIVE = vectors.load("frame_negative")


@pytest.mark.parametrize("vector", FRAMES["vectors"], ids=lambda v: v["name"])
def test_vectors_come_apart_and_verify(vector: dict[str, Any]) -> None:
    parts = frame.split(bytes.fromhex(vector["wire_hex"]))
    expected = vector["header"]
    assert parts.header == frame.Header(
        magic=FRAME_MAGIC,
        version=expected["version"],
        flags=expected["flags"],
        sequence=expected["sequence"],
        timestamp_ms=expected["timestamp_ms"],
        id_hash=bytes.fromhex(expected["msg_id_hash_hex"]),
        ciphertext_bytes=expected["ciphertext_length"],
    )
    assert parts.signature == bytes.fromhex(vector["outer_signature_hex"])
    frame.verify(parts, bytes.fromhex(vector["sender_public_hex"]))
    plaintext = frame.decrypt(bytes.fromhex(vector["session_key_hex"]), parts.ciphertext)
    assert plaintext.decode() == vector["inner_json_utf8"]


@pytest.mark.parametrize("vector", FRAMES["vectors"], ids=lambda v: v["name"])
def test_vectors_are_made_to_the_byte(vector: dict[str, Any]) -> None:
    key = bytes.fromhex(vector["session_key_hex"])
    nonce = bytes.fromhex(vector["secretbox_nonce_hex"])
    plaintext = vector["inner_json_utf8"].encode()
    said = inner.decode(plaintext)
    assert inner.encode(said) == plaintext
    timestamp = inner.timestamp_of(said)
    packed = frame.pack(
        frame.encrypt(key, nonce, plaintext),
        bytes.fromhex(vector["outer_signature_hex"]),
        sequence=said.sequence,
        timestamp_ms=frame.milliseconds(timestamp),
        message_id_hash=frame.id_hash(said.msg_id),
        priority=inner.priority_of(said),
    )
    assert packed.hex() == vector["wire_hex"]
    assert packed[: frame.HEADER_BYTES].hex() == vector["header_hex"]


def _accepts_as_published(wire: bytes, key: bytes, sender: bytes) -> inner.Inner:
    """Open a frame as a published node does: unsigned frames pass, the header is believed."""
    parts = frame.split(wire)
    if parts.signature is not None:
        frame.verify(parts, sender)
    return inner.decode(frame.decrypt(key, parts.ciphertext))


@pytest.mark.parametrize("row", NEGATIVE["frames"], ids=lambda row: row["note"][:40])
def test_codec_names_each_fault_as_the_vectors_do(row: dict[str, Any]) -> None:
    key = bytes.fromhex(row.get("session_key_hex", NEGATIVE["session_key_hex"]))
    sender = bytes.fromhex(row.get("sender_public_hex", NEGATIVE["sender_public_hex"]))
    if row["note"] == "wrong session key":
        key = bytes(32)
    if row["note"] == "wrong verify key":
        sender = bytes.fromhex(FRAMES["vectors"][3]["sender_public_hex"])
    wire = bytes.fromhex(row["wire_hex"])
    if row["expect"] == "accept":
        assert _accepts_as_published(wire, key, sender).payload == b"hello mesh"
        return
    with pytest.raises(frame.FrameError) as caught:
        _accepts_as_published(wire, key, sender)
    assert f"reject:{caught.value.fault}" == row["expect"]


@given(
    ciphertext=st.binary(max_size=200),
    signature=st.binary(min_size=64, max_size=64),
    sequence=st.integers(0, 2**64 - 1),
    timestamp_ms=st.integers(0, 2**64 - 1),
    id_hash=st.binary(min_size=8, max_size=8),
    priority=st.sampled_from(MessagePriority),
    tail=st.binary(max_size=9),
)
def test_what_is_packed_comes_apart_again(
    ciphertext: bytes,
    signature: bytes,
    sequence: int,
    timestamp_ms: int,
    id_hash: bytes,
    priority: MessagePriority,
    tail: bytes,
) -> None:
    packed = frame.pack(
        ciphertext,
        signature,
        sequence=sequence,
        timestamp_ms=timestamp_ms,
        message_id_hash=id_hash,
        priority=priority,
    )
    parts = frame.split(packed + tail)
    assert (parts.ciphertext, parts.signature) == (ciphertext, signature)
    assert parts.header[3:6] == (sequence, timestamp_ms, id_hash)


@given(
    st.binary(max_size=200) | st.binary(max_size=200).map(lambda tail: b"\xe7\xf6\x04\x0c" + tail)
)
def test_any_other_bytes_are_refused_by_name(data: bytes) -> None:
    reason = refusal_of(lambda: frame.verify(frame.split(data), bytes(32)))
    assert reason in (Refusal.PROTOCOL, Refusal.UNSIGNED, Refusal.BAD_SIGNATURE)
    with pytest.raises(frame.FrameError):
        frame.decrypt(bytes(32), data)


def test_a_frame_over_the_limit_is_not_looked_at() -> None:
    with pytest.raises(frame.FrameError) as caught:
        frame.split(bytes(MAX_UNIT_BYTES + 1))
    assert caught.value.reason is Refusal.TOO_LARGE


@given(st.binary(max_size=100), st.binary(min_size=32, max_size=32))
def test_encryption_round_trip(plaintext: bytes, key: bytes) -> None:
    assert frame.decrypt(key, frame.encrypt(key, bytes(24), plaintext)) == plaintext

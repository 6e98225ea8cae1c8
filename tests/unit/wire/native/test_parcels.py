"""Parcels as bytes: what is written is read, sizes come first, and nothing else passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironmesh.errors import RemoteProtocolError
from ironmesh.types import PRIORITIES, MessagePriority, Refusal
from ironmesh.wire.native import parcels
from ironmesh.wire.native.parcels import InOrder, Reset, Unordered

streams = st.integers(0, 2**32 - 1)
bodies = st.binary(min_size=1, max_size=40)


@given(
    number=streams,
    ephemeral=st.binary(min_size=32, max_size=32),
    ciphertext=st.sampled_from([b"", bytes(1088)]),
    sealed=st.binary(min_size=112, max_size=300),
)
def test_a_parcel_is_read_as_written(
    number: int, ephemeral: bytes, ciphertext: bytes, sealed: bytes
) -> None:
    head = parcels.encode_head(number, ephemeral, ciphertext)
    split = parcels.split_parcel(head + sealed)
    assert split.kind == (parcels.KIND_HYBRID if ciphertext else parcels.KIND_CLASSIC)
    assert split[1:] == (number, ephemeral, ciphertext, head, sealed)


@pytest.mark.parametrize(
    ("parcel", "reason"),
    [
        (b"", Refusal.TRUNCATED),
        (b"\x01", Refusal.TRUNCATED),
        (b"\x01" + bytes(36 + 111), Refusal.TRUNCATED),
        (b"\x02" + bytes(1124 + 111), Refusal.TRUNCATED),
        (b"\x00" + bytes(400), Refusal.PROTOCOL),
        (b"\x03" + bytes(400), Refusal.PROTOCOL),
        (b"\x01" + bytes(parcels.MAX_PARCEL_BYTES), Refusal.TOO_LARGE),
    ],
)
def test_what_is_no_parcel_is_refused(parcel: bytes, reason: Refusal) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parcels.split_parcel(parcel)
    assert caught.value.reason is reason


@given(st.sampled_from(PRIORITIES), streams, st.integers(0, 2**63 - 1), bodies)
def test_messages_in_order_keep_their_place(
    priority: MessagePriority, stream: int, sequence: int, body: bytes
) -> None:
    content = parcels.in_order_head(priority, stream, sequence) + body
    assert parcels.decode_content(content) == InOrder(priority, stream, sequence, body)


@given(streams, bodies, streams)
def test_receipts_and_resets_are_read_as_written(stream: int, body: bytes, above: int) -> None:
    assert parcels.decode_content(parcels.unordered_head(stream) + body) == Unordered(stream, body)
    reset = Reset(stream, above)
    assert parcels.decode_content(parcels.encode_reset(reset)) == reset


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", Refusal.BAD_BODY),
        (b"\x00" + bytes(4), Refusal.BAD_BODY),
        (b"\x00" + bytes(5), Refusal.BAD_BODY),
        (b"\x04" + bytes(4), Refusal.BAD_BODY),
        (b"\x08" + bytes(7), Refusal.BAD_BODY),
        (b"\x08" + bytes(9), Refusal.BAD_BODY),
        (b"\x0c" + bytes(8), Refusal.PROTOCOL),
        (b"\x10" + bytes(8), Refusal.PROTOCOL),
        (b"\x05" + bytes(8), Refusal.PROTOCOL),
        (b"\x00" + bytes(4) + b"\x80\x00x", Refusal.BAD_BODY),
        (b"\x00" + bytes(4) + b"\xff" * 10 + b"x", Refusal.BAD_BODY),
    ],
)
def test_a_malformed_content_is_refused(content: bytes, reason: Refusal) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parcels.decode_content(content)
    assert caught.value.reason is reason


@given(st.binary(max_size=30))
def test_a_content_is_read_or_refused_and_written_in_one_way(content: bytes) -> None:
    try:
        said = parcels.decode_content(content)
    except RemoteProtocolError:
        return
    if isinstance(said, Reset):
        assert parcels.encode_reset(said) == content
    elif isinstance(said, Unordered):
        assert parcels.unordered_head(said.stream) + said.messages == content
    else:
        head = parcels.in_order_head(said.priority, said.stream, said.sequence)
        assert head + said.messages == content

"""Large messages: in pieces, between which others go, and bounded at who reads them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.legacy import NOW
from tests.support.native_channel import (
    ALICE,
    forger,
    fresh,
    message,
    pair,
    reason,
    received,
)

from ironmesh.session.interface import Piece
from ironmesh.session.native.channel import NativeChannel
from ironmesh.session.native.limits import MAX_PAYLOAD_BYTES
from ironmesh.types import PRIORITIES, Message, MessageId, MessagePriority, Refusal
from ironmesh.wire.native.messages import FLAG_FIRST, encode_control, encode_head, varint
from ironmesh.wire.native.registry import ControlType

KIB = 1024
CHUNK = ControlType.CHUNK


def large(size: int, priority: MessagePriority = MessagePriority.NORMAL) -> Message:
    name = size.to_bytes(8) + PRIORITIES.index(priority).to_bytes(8)
    body = (bytes(range(251)) * (size // 251 + 1))[:size]
    return message(payload=body, id=MessageId(name), priority=priority)


def first(one: Message, total: int, data: bytes, flags: int = 2) -> bytes:
    return encode_control(CHUNK, varint(total) + encode_head(one) + data, flags | FLAG_FIRST)


def said(*controls: bytes) -> list[bytes]:
    writer = forger(ALICE)
    return [writer.seal(control, is_signed=True) for control in controls]


def test_a_large_message_arrives_whole() -> None:
    alice, bob = pair()
    one = large(MAX_PAYLOAD_BYTES)
    units = alice.seal([one], NOW)
    assert max(map(len, units)) < 130 * KIB
    assert received(bob, units) == [one]
    assert bob._chunks.size_bytes == 0


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(65 * KIB, 300 * KIB), min_size=4, max_size=4),
    order=st.lists(st.integers(0, 3), max_size=40),
    record=st.sampled_from([2000, 1 << 20]),
)
def test_one_stream_of_each_priority_is_put_together(
    sizes: list[int], order: list[int], record: int
) -> None:
    alice, bob = pair(max_record_bytes=record)
    messages = [large(size, PRIORITIES[place]) for place, size in enumerate(sizes)]
    offsets = [0] * 4
    taken: list[Message] = []
    for place in [*order, *sorted([0, 1, 2, 3] * 6)]:
        one, offset = messages[place], offsets[place]
        size = min(60 * KIB, len(one.payload) - offset)
        if size:
            taken += received(bob, alice.seal([], NOW, Piece(one, offset, size)))
            offsets[place] += size
    assert sorted(taken, key=lambda m: PRIORITIES.index(m.priority)) == messages


def test_an_urgent_message_goes_between_two_pieces() -> None:
    alice, bob = pair()
    one, urgent = large(200 * KIB), message(priority=MessagePriority.CRITICAL)
    assert received(bob, alice.seal([], NOW, Piece(one, 0, 64 * KIB))) == []
    assert received(bob, alice.seal([urgent], NOW)) == [urgent]
    units = alice.seal([], NOW, Piece(one, 64 * KIB, 136 * KIB))
    assert received(bob, units) == [one]


def test_a_message_that_was_given_up_leaves_room_for_the_next() -> None:
    alice, bob = pair()
    received(bob, alice.seal([], NOW, Piece(large(200 * KIB), 0, 64 * KIB)))
    assert bob._chunks.size_bytes == 64 * KIB
    assert received(bob, alice.seal([large(100 * KIB)], NOW)) == [large(100 * KIB)]


def test_nothing_is_allocated_for_what_is_only_announced() -> None:
    (unit,) = said(first(message(), MAX_PAYLOAD_BYTES, b"x"))
    bob: NativeChannel = fresh()[1]
    bob.open(unit, NOW)
    assert bob._chunks.size_bytes == 1


def test_a_close_forgets_what_is_not_whole() -> None:
    alice, bob = pair()
    received(bob, alice.seal([], NOW, Piece(large(200 * KIB), 0, 64 * KIB)))
    bob.open(*alice.close("", NOW), NOW)
    assert bob._chunks.size_bytes == 0


@pytest.mark.parametrize(
    ("controls", "expected"),
    [
        ([encode_control(CHUNK, b"x", 2)], Refusal.BAD_BODY),
        ([first(message(), 10, b"")], Refusal.BAD_BODY),
        ([first(message(), 0, b"")], Refusal.BAD_BODY),
        ([first(message(), 1, b"xx")], Refusal.BAD_BODY),
        ([first(message(), MAX_PAYLOAD_BYTES + 1, b"x")], Refusal.TOO_LARGE),
        ([first(message(), 10, b"x", flags=1)], Refusal.BAD_BODY),
        ([encode_control(CHUNK, b"\x05\x40", FLAG_FIRST)], Refusal.BAD_BODY),
        ([encode_control(CHUNK, b"\x05\x01\x00x", FLAG_FIRST)], Refusal.PROTOCOL),
        ([first(message(), 3, b"x"), encode_control(CHUNK, b"yyy", 2)], Refusal.BAD_BODY),
        ([first(message(), 3, b"x"), encode_control(CHUNK, b"yy", 1)], Refusal.BAD_BODY),
        ([first(message(), 3, b"x"), encode_control(CHUNK, b"", 2)], Refusal.BAD_BODY),
    ],
)
def test_a_chunk_that_fits_nothing_ends_the_session(
    controls: list[bytes], expected: Refusal
) -> None:
    assert reason(fresh()[1], *said(*controls)) is expected

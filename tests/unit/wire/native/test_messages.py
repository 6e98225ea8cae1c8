"""Messages inside a record: what is written is read, and there is one way to write it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironmesh.errors import RemoteProtocolError
from ironmesh.types import PRIORITIES, Message, MessageId, MessagePriority, NodeId, Refusal
from ironmesh.wire.native import messages, registry
from ironmesh.wire.native.messages import Control, decode, encode_control, encode_head, varint
from ironmesh.wire.native.registry import APPLICATION_TYPES, MESH_TYPES, ControlType

ALICE, BOB = NodeId("a" * 32), NodeId("b" * 32)
names = st.one_of(
    st.sampled_from(list(APPLICATION_TYPES.values())),
    st.text(min_size=1, max_size=64).filter(registry.is_name),
)
drawn_messages = st.builds(
    Message,
    id=st.one_of(
        st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8).map(bytes(8).__add__)
    ),
    type=names,
    payload=st.one_of(st.binary(max_size=200), st.integers(120, 20_000).map(bytes)),
    source=st.just(ALICE),
    destination=st.just(BOB),
    priority=st.sampled_from(PRIORITIES),
    timestamp_ms=st.one_of(st.just(0), st.integers(1, 2**48 - 1)),
)
controls = st.builds(
    Control,
    st.sampled_from([kind for kind in ControlType if kind is not ControlType.CHUNK]),
    st.just(0),
    st.binary(max_size=300),
)


def message(**changes: Any) -> Message:
    values: dict[str, Any] = {
        "id": MessageId(bytes(range(16))),
        "type": "MSG",
        "payload": b"hello",
        "source": ALICE,
        "destination": BOB,
    }
    return Message(**(values | changes))


def encode(item: Message | Control) -> bytes:
    if isinstance(item, Control):
        return encode_control(item.kind, item.body, item.flags)
    prefix = messages.encode_prefix(item)
    assert prefix == encode_head(item) + varint(len(item.payload))
    return prefix + item.payload


def refusal(data: bytes) -> Refusal:
    with pytest.raises(RemoteProtocolError) as caught:
        decode(data, ALICE, BOB)
    return caught.value.reason


@given(st.lists(st.one_of(drawn_messages, controls), max_size=12))
def test_what_is_written_is_read_in_its_order(items: list[Message | Control]) -> None:
    assert decode(b"".join(map(encode, items)), ALICE, BOB) == items


@given(st.binary(max_size=300))
def test_what_can_be_read_is_what_would_be_written(data: bytes) -> None:
    try:
        items = decode(data, ALICE, BOB)
    except RemoteProtocolError:
        return
    written = b"".join(map(encode, items))
    assert written == data or any(128 <= byte < 192 for byte in data)


@given(drawn_messages)
def test_a_message_that_is_cut_off_is_refused(item: Message) -> None:
    data = encode(item)
    for end in {1, 2, 3, 10, len(data) // 2, len(data) - 1}:
        if 0 < end < len(data):
            assert refusal(data[:end]) is Refusal.BAD_BODY


def test_a_small_direct_message_costs_25_bytes_and_its_payload() -> None:
    assert len(encode(message(payload=bytes(64), timestamp_ms=1_767_225_600_000))) == 25 + 64


def test_a_live_message_leaves_out_the_epoch_that_it_does_not_have() -> None:
    live = message(id=MessageId(bytes(8) + b"12345678"))
    assert encode(live) == bytes((64, 2 | 8)) + b"12345678" + b"\x05hello"


def test_a_message_has_these_bytes() -> None:
    said = message(priority=MessagePriority.CRITICAL, timestamp_ms=0x0102_0304_0506)
    assert encode(said) == bytes.fromhex(
        "40 04 000102030405060708090a0b0c0d0e0f 010203040506 05 68656c6c6f"
    )


def test_a_type_of_its_own_is_written_by_name() -> None:
    assert encode(message(type="job/✓", payload=b"")) == bytes.fromhex(
        "00 02 07 6a6f622fe29c93 000102030405060708090a0b0c0d0e0f 00"
    )


@pytest.mark.parametrize("number", MESH_TYPES)
def test_the_mesh_pays_for_no_id_and_no_time(number: int) -> None:
    said = message(type=MESH_TYPES[number], payload=b"body", timestamp_ms=5)
    assert encode(said) == bytes((number, 2, 4)) + b"body"
    (read,) = decode(encode(said), ALICE, BOB)
    assert read == message(
        type=MESH_TYPES[number], payload=b"body", id=MessageId(bytes(16)), timestamp_ms=0
    )


def test_a_time_that_does_not_fit_is_left_out() -> None:
    for time_ms in (-1, 2**48):
        assert encode(message(timestamp_ms=time_ms)) == encode(message())


@pytest.mark.parametrize("number", [128, 150, 191])
def test_a_type_of_the_skippable_range_is_skipped(number: int) -> None:
    unknown = bytes((number, 0xFF)) + varint(300) + bytes(300)
    said = encode(message())
    assert decode(said + unknown + said, ALICE, BOB) == [message(), message()]


@pytest.mark.parametrize("number", [10, 15, 31, 63, 76, 127, 192, 255])
def test_any_other_unknown_type_is_refused(number: int) -> None:
    assert refusal(bytes((number, 0, 0))) is Refusal.PROTOCOL


@pytest.mark.parametrize("flags", [0x10, 0x20, 0x40, 0x80, 0x14])
def test_an_unknown_flag_is_refused(flags: int) -> None:
    said = bytearray(encode(message()))
    said[1] |= flags
    assert refusal(bytes(said)) is Refusal.PROTOCOL


def test_compression_is_refused_by_name() -> None:
    with pytest.raises(RemoteProtocolError, match="compressed"):
        decode(bytes((64, 0x10)) + bytes(17), ALICE, BOB)


@pytest.mark.parametrize("number", [1, 2, 9, 16, 21])
def test_control_and_mesh_messages_have_no_time_and_no_id(number: int) -> None:
    for flags in (4, 8):
        assert refusal(bytes((number, flags, 0))) is Refusal.PROTOCOL


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (bytes((64, 2)) + bytes(16) + b"\x00", "epoch"),
        (bytes((64, 6)) + bytes(range(16)) + bytes(6) + b"\x00", "time"),
        (bytes((64, 6)) + bytes(range(16)) + bytes(6) + b"\x80\x01" + bytes(128), "time"),
        (bytes((64, 6)) + bytes(16) + bytes(5) + b"\x01\x00", "epoch"),
        (bytes((64, 2)) + bytes(range(16)) + b"\x80\x00", "more bytes"),
        (bytes((64, 2)) + bytes(range(16)) + b"\xff\xff\xff\xff\x01", "range"),
        (bytes((0, 2, 2)) + b"\xff\xff" + bytes(range(16)) + b"\x00", "no text"),
        (bytes((0, 2, 3)) + b"MSG" + bytes(range(16)) + b"\x00", "name"),
        (bytes((0, 2, 4)) + b"PONG" + bytes(range(16)) + b"\x00", "name"),
        (bytes((0, 2, 0)) + bytes(range(16)) + b"\x00", "name"),
        (bytes((0, 2, 65)) + b"x" * 65 + bytes(range(16)) + b"\x00", "name"),
    ],
)
def test_there_is_no_second_way_to_write_a_message(data: bytes, why: str) -> None:
    with pytest.raises(RemoteProtocolError, match=why) as caught:
        decode(data, ALICE, BOB)
    assert caught.value.reason is Refusal.BAD_BODY


def test_the_longest_head_has_its_size() -> None:
    longest = message(type="\U0001f600" * 64, timestamp_ms=2**48 - 1)
    assert len(encode_head(longest)) == messages.MAX_HEAD_BYTES


def test_no_number_means_two_types() -> None:
    numbers = [*ControlType, *MESH_TYPES, *APPLICATION_TYPES]
    assert len(numbers) == len(set(numbers)) == len(registry.NUMBER_OF) + len(ControlType)
    assert not set(numbers) & set(registry.SKIPPED)

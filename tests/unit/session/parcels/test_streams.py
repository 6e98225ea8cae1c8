"""What a writer puts into parcels comes out in order and once, whatever happens on the way."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.parcels import ALICE, BOB, EPOCH, MALLORY, live, message, numbers

from ironmesh.errors import LocalProtocolError, RemoteProtocolError
from ironmesh.session.interface import Piece
from ironmesh.session.native.limits import PACK_MESSAGES
from ironmesh.session.parcels.reader import (
    GAP_S,
    MAX_WAITING,
    MAX_WAITING_BYTES,
    ParcelReader,
    Taken,
)
from ironmesh.session.parcels.writer import COMPANY_BYTES, MIN_CONTENT_BYTES, ParcelWriter
from ironmesh.types import PRIORITIES, Message, MessagePriority, MessageType, Refusal
from ironmesh.wire.native.messages import encode_control, encode_prefix
from ironmesh.wire.native.parcels import (
    MAX_CONTENT_BYTES,
    InOrder,
    Reset,
    decode_content,
    encode_reset,
    in_order_head,
    unordered_head,
)
from ironmesh.wire.native.registry import ControlType
from ironmesh.wire.receipts import Floor, Receipt, Verdict, encode

STREAM = 1_767_225_600
NORMAL, CRITICAL = MessagePriority.NORMAL, MessagePriority.CRITICAL


def writer(stream: int = STREAM) -> ParcelWriter:
    return ParcelWriter(ALICE.node_id, BOB.node_id, stream)


def reader(stream: int | None = None) -> ParcelReader:
    return ParcelReader(ALICE.node_id, BOB.node_id, stream)


def one_each(out: ParcelWriter, count: int, **changes: Any) -> list[bytes]:
    """Return contents with one message each, numbered from 0."""
    return [out.write([message(number, **changes)])[0].content for number in range(count)]


def receipts(*items: Receipt | Floor) -> Message:
    return message(0, encode(items), type="ACK", id=bytes(16), timestamp_ms=0, priority=CRITICAL)


RECEIPT = receipts(Receipt(Verdict.ACCEPTED, (message(1).id,)))
RESTART = receipts(Floor(EPOCH, 3, is_restart=True))


def reset_of(taken: Taken) -> Reset:
    assert taken.reset is not None
    said = decode_content(taken.reset)
    assert isinstance(said, Reset)
    return said


# --- Writing -------------------------------------------------------------------------------------


def test_all_that_is_ready_goes_into_one_parcel() -> None:
    sent = [message(number, bytes(64)) for number in range(64)]
    [written] = writer().write(sent)
    assert written.priority is NORMAL
    assert list(reader().take(written.content, 0.0).messages) == sent


def test_a_parcel_is_closed_when_it_has_as_many_messages_as_a_record_or_60_kib() -> None:
    assert len(writer().write([message(number) for number in range(PACK_MESSAGES + 1)])) == 2
    large = [message(number, bytes(20_000)) for number in range(6)]
    written = writer().write(large)
    assert [len(each.content) <= MAX_CONTENT_BYTES for each in written] == [True, True]
    taken = reader()
    assert [numbers(taken.take(each.content, 0.0).messages) for each in written] == [
        [0, 1, 2],
        [3, 4, 5],
    ]


def test_each_priority_has_parcels_of_its_own_the_most_urgent_first() -> None:
    mixed = [message(number, priority=PRIORITIES[number % 4]) for number in range(8)]
    written = writer().write(mixed[::-1])
    assert [each.priority for each in written] == list(PRIORITIES)
    for each in written:
        said = decode_content(each.content)
        assert isinstance(said, InOrder)
        assert (said.priority, said.stream, said.sequence) == (each.priority, STREAM, 0)


@given(st.integers(MIN_CONTENT_BYTES, MAX_CONTENT_BYTES), st.integers(0, 200_000))
def test_a_large_message_comes_in_chunks_that_fit_the_way(max_bytes: int, size: int) -> None:
    sent = message(7, random.Random(size).randbytes(min(size, 300 * max_bytes)))
    written = writer().write([sent], max_bytes=max_bytes)
    assert all(len(each.content) <= max_bytes for each in written)
    taken = reader()
    got = [one for each in written for one in taken.take(each.content, 0.0).messages]
    assert got == [sent]


def test_a_message_may_be_written_in_pieces_with_others_between() -> None:
    out, taken = writer(), reader()
    big = message(1, bytes(range(256)) * 600)
    size = len(big.payload)
    contents = [
        out.write([], Piece(big, 0, 60_000)),
        out.write([message(2, priority=CRITICAL)], Piece(big, 60_000, 60_000)),
        out.write([], Piece(big, 120_000, size - 120_000)),
    ]
    got = [
        one for some in contents for each in some for one in taken.take(each.content, 0).messages
    ]
    assert numbers(got) == [2, 1]
    assert got[1] == big
    assert taken.size_bytes == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"source": MALLORY.node_id},
        {"destination": MALLORY.node_id},
        {"type": "ROUTES"},
        {"type": "PARCEL"},
        {"type": "REVOCATION"},
        {"type": "CAPABILITY_ANNOUNCE"},
    ],
)
def test_what_is_not_for_this_destination_is_not_written(changes: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        writer().write([message(1, **changes)])


# --- Order ---------------------------------------------------------------------------------------


def test_a_parcel_that_overtook_another_waits_for_it() -> None:
    first, second, third = one_each(writer(), 3)
    taken = reader()
    assert taken.take(third, 0.0) == Taken()
    assert taken.take(second, 0.1) == Taken()
    assert taken.next_timer == GAP_S
    assert numbers(taken.take(first, 0.2).messages) == [0, 1, 2]
    assert taken.next_timer is None
    assert taken.size_bytes == 0


def test_a_parcel_that_comes_twice_is_taken_once() -> None:
    first, second, third = one_each(writer(), 3)
    taken = reader()
    assert numbers(taken.take(first, 0.0).messages) == [0]
    assert taken.take(first, 0.0) == Taken(refused=Refusal.REPLAY)
    taken.take(third, 0.0)
    assert taken.take(third, 0.0) == Taken(refused=Refusal.REPLAY)
    assert numbers(taken.take(second, 0.0).messages) == [1, 2]


def test_priorities_do_not_wait_for_each_other() -> None:
    out, taken = writer(), reader()
    one_each(out, 1)
    [late] = out.write([message(1)])
    [urgent] = out.write([message(2, priority=CRITICAL)])
    assert taken.take(late.content, 0.0) == Taken()
    assert numbers(taken.take(urgent.content, 0.0).messages) == [2]


def test_a_gap_that_stays_breaks_the_stream_and_the_source_is_asked_to_start_over() -> None:
    out, taken = writer(), reader()
    _, second, third = one_each(out, 3)
    taken.take(second, 0.0)
    assert taken.timer(GAP_S - 0.01) == Taken()
    late = taken.timer(GAP_S)
    assert late.refused is Refusal.ORDER
    assert reset_of(late) == Reset(STREAM, STREAM)
    assert taken.size_bytes == 0
    assert taken.take(third, GAP_S).refused is Refusal.ORDER
    assert out.reset(reset_of(late))
    again = one_each(out, 3)
    assert [numbers(taken.take(each, 2.0).messages) for each in again] == [[0], [1], [2]]


def test_a_source_is_asked_at_most_once_a_second() -> None:
    _, second, third = one_each(writer(), 3)
    taken = reader()
    taken.take(second, 0.0)
    asked = [taken.timer(1.0), *(taken.take(third, 1.0 + tenth / 10) for tenth in range(1, 21))]
    assert sum(each.reset is not None for each in asked) == 3


def test_a_stream_of_which_the_beginning_is_missing_is_started_over() -> None:
    """As after a restart of the destination."""
    contents = one_each(writer(), 5)
    taken = reader()
    assert taken.take(contents[4], 0.0) == Taken()
    assert taken.timer(1.0).refused is Refusal.ORDER


def test_nothing_old_comes_after_a_new_stream_began() -> None:
    out, taken = writer(), reader()
    first, second = one_each(out, 2)
    taken.take(first, 0.0)
    out.restart()
    restart = out.write([RESTART])
    assert [taken.take(each.content, 0.0).messages for each in restart] == [[RESTART]]
    refused = taken.take(second, 0.0)
    assert refused.refused is Refusal.REPLAY
    assert not refused.messages


def test_a_reset_counts_for_the_present_stream_only() -> None:
    out = writer()
    assert not out.reset(Reset(STREAM - 1, STREAM + 10))
    assert out.reset(Reset(STREAM, STREAM))
    assert out.stream == STREAM + 1
    assert not out.reset(Reset(STREAM, STREAM))
    assert out.reset(Reset(STREAM + 1, STREAM + 500))
    assert out.stream == STREAM + 501


def test_a_reader_cannot_use_up_our_streams() -> None:
    out = writer()
    assert not out.reset(Reset(STREAM, 2**32 - 1))
    assert out.stream == STREAM
    late = ParcelWriter(ALICE.node_id, BOB.node_id, 2**32 - 1)
    late.restart()
    assert late.write([message(1)])


def test_a_source_whose_clock_went_back_is_told_where_to_go_on() -> None:
    taken = reader()
    taken.take(one_each(writer(), 1)[0], 0.0)
    out = writer(5)
    refused = taken.take(one_each(out, 1)[0], 1.0)
    assert refused.refused is Refusal.REPLAY
    assert reset_of(refused) == Reset(5, STREAM)
    assert out.reset(reset_of(refused))
    assert numbers(taken.take(one_each(out, 1)[0], 2.0).messages) == [0]


def test_a_reset_of_the_source_is_handed_up() -> None:
    assert reader().take(encode_reset(Reset(4, 7)), 0.0) == Taken(peer_reset=Reset(4, 7))


def test_what_waits_is_bounded_in_number_and_size() -> None:
    contents = one_each(writer(), MAX_WAITING + 2)
    taken = reader()
    led_to = [taken.take(each, 0.0).refused for each in contents[1:]]
    assert led_to == [None] * MAX_WAITING + [Refusal.ORDER]
    assert taken.size_bytes == 0
    large = one_each(writer(STREAM + 1), 80, payload=bytes(60_000))
    sizes = []
    for each in large[1:]:
        taken.take(each, 0.0)
        sizes.append(taken.size_bytes)
    assert max(sizes) <= MAX_WAITING_BYTES


# --- Receipts ------------------------------------------------------------------------------------


def test_receipts_pass_where_a_stream_is_broken() -> None:
    out, taken = writer(), reader()
    _, second = one_each(out, 2)
    taken.take(second, 0.0)
    taken.timer(1.0)
    [written] = out.write([RECEIPT])
    assert written.priority is CRITICAL
    assert list(taken.take(written.content, 1.0).messages) == [RECEIPT]
    assert list(taken.take(written.content, 1.0).messages) == [RECEIPT]


def test_a_floor_keeps_its_place() -> None:
    for floor in (RESTART, receipts(Floor(EPOCH, 3)), receipts(*_mixed())):
        [written] = writer().write([floor])
        taken = reader()
        assert isinstance(decode_content(written.content), InOrder)
        assert list(taken.take(written.content, 0.0).messages) == [floor]
        assert taken.take(written.content, 0.0).refused is Refusal.REPLAY


def _mixed() -> list[Receipt | Floor]:
    return [Receipt(Verdict.BUSY, (message(1).id,)), Floor(EPOCH, 1)]


def test_receipts_go_with_a_small_message_in_its_parcel() -> None:
    sent = [message(1), RECEIPT]
    [written] = writer().write(sent)
    assert written.priority is NORMAL
    assert list(reader().take(written.content, 0.0).messages) == [RECEIPT, message(1)]


def test_receipts_do_not_wait_for_a_large_parcel() -> None:
    written = writer().write([message(1, bytes(COMPANY_BYTES)), RECEIPT])
    assert [each.priority for each in written] == [CRITICAL, NORMAL]
    out = writer()
    first, second = out.write([RESTART]), out.write([RECEIPT, message(1), RECEIPT])
    assert [len(first), len(second)] == [1, 1]


def test_receipts_count_at_once_where_the_messages_after_them_wait_or_are_dropped() -> None:
    out, taken = writer(), reader()
    [first], [second] = out.write([message(0)]), out.write([RECEIPT, message(1)])
    assert list(taken.take(second.content, 0.0).messages) == [RECEIPT]
    assert taken.take(second.content, 0.0) == Taken(refused=Refusal.REPLAY)
    assert numbers(taken.take(first.content, 0.0).messages) == [0, 1]
    [_], [late] = out.write([message(2)]), out.write([RECEIPT, message(3)])
    assert list(taken.take(late.content, 0.0).messages) == [RECEIPT]
    assert taken.timer(GAP_S).refused is Refusal.ORDER
    [after] = out.write([RECEIPT, message(4)])
    led_to = taken.take(after.content, GAP_S)
    assert (list(led_to.messages), led_to.refused) == ([RECEIPT], Refusal.ORDER)


def test_receipts_that_cannot_be_read_refuse_the_parcel_and_change_nothing() -> None:
    taken = reader()
    with pytest.raises(RemoteProtocolError) as caught:
        taken.take(_ordered(b"\x10\x00\x01\x07"), 0.0)
    assert caught.value.reason is Refusal.BAD_BODY
    assert taken.stream is None


def test_receipts_of_a_stream_that_is_over_are_not_taken() -> None:
    out, taken = writer(), reader()
    [old] = out.write([RECEIPT])
    out.restart()
    [new] = out.write([RECEIPT])
    taken.take(new.content, 0.0)
    assert taken.take(old.content, 0.0).refused is Refusal.REPLAY


# --- What nobody would recognise -----------------------------------------------------------------


def test_messages_that_are_not_kept_are_left_out_of_what_may_be_of_a_run_before() -> None:
    [content] = one_each(writer(), 1, id=live(1))
    assert numbers(reader().take(content, 0.0).messages) == [1]
    assert reader().take(content, 0.0, is_fresh=False) == Taken([])
    [kept] = one_each(writer(), 1)
    assert numbers(reader().take(kept, 0.0, is_fresh=False).messages) == [0]
    [receipt] = writer().write([RECEIPT])
    assert list(reader().take(receipt.content, 0.0, is_fresh=False).messages) == [RECEIPT]


def test_a_stream_that_was_only_remembered_is_not_taken_up_again() -> None:
    contents = one_each(writer(), 2)
    taken = reader(STREAM)
    for each in contents:
        assert taken.take(each, 0.0).refused is Refusal.ORDER
    assert numbers(taken.take(one_each(writer(STREAM + 1), 1)[0], 0.0).messages) == [0]


# --- What does not belong there ------------------------------------------------------------------


def _ordered(body: bytes, sequence: int = 0) -> bytes:
    return in_order_head(NORMAL, STREAM, sequence) + body


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (_ordered(encode_control(ControlType.PING, bytes(4))), Refusal.PROTOCOL),
        (_ordered(encode_control(ControlType.CLOSE)), Refusal.PROTOCOL),
        (_ordered(encode_control(ControlType.KEY_UPDATE, bytes(32))), Refusal.PROTOCOL),
        (_ordered(b"\x17\x02\x01x"), Refusal.PROTOCOL),
        (_ordered(b"\x15\x02\x01x"), Refusal.PROTOCOL),
        (_ordered(b"\xff\x02\x01x"), Refusal.PROTOCOL),
        (_ordered(b"\x40"), Refusal.BAD_BODY),
        (unordered_head(STREAM) + encode_prefix(message(1)) + b"hello", Refusal.PROTOCOL),
        (unordered_head(STREAM) + encode_prefix(RESTART) + RESTART.payload, Refusal.PROTOCOL),
        (unordered_head(STREAM) + encode_control(ControlType.CHUNK, b"x"), Refusal.PROTOCOL),
        (unordered_head(STREAM) + b"\x10\x00\x01\x07", Refusal.BAD_BODY),
    ],
)
def test_what_does_not_belong_into_a_parcel_is_refused(content: bytes, reason: Refusal) -> None:
    taken = reader()
    with pytest.raises(RemoteProtocolError) as caught:
        taken.take(content, 0.0)
    assert caught.value.reason is reason
    assert taken.stream is None


def test_chunks_that_do_not_fit_together_break_the_stream_after_what_came_before() -> None:
    taken = reader()
    body = encode_prefix(message(1)) + b"hello" + encode_control(ControlType.CHUNK, b"x", flags=2)
    led_to = taken.take(_ordered(body), 0.0)
    assert numbers(led_to.messages) == [1]
    assert led_to.refused is Refusal.BAD_BODY
    assert reset_of(led_to) == Reset(STREAM, STREAM)


def test_a_new_stream_forgets_the_half_of_a_message() -> None:
    out, taken = writer(), reader()
    big = message(1, bytes(100_000))
    taken.take(out.write([], Piece(big, 0, 60_000))[0].content, 0.0)
    assert taken.size_bytes >= 60_000
    out.restart()
    assert [one for each in out.write([big]) for one in taken.take(each.content, 0).messages] == [
        big
    ]


# --- Whatever happens ----------------------------------------------------------------------------


class Source:
    """As an outbox does it: what has no receipt goes again, from the oldest, in a new stream."""

    def __init__(self, total: int) -> None:
        self.out = writer()
        self.total = total
        self.sent = dict.fromkeys(PRIORITIES, 0)
        self.seen: dict[MessagePriority, list[int]] = {priority: [] for priority in PRIORITIES}

    def parcels(self, count: int) -> list[bytes]:
        messages = []
        for priority in (CRITICAL, NORMAL):
            first = self.sent[priority]
            self.sent[priority] = min(first + count, self.total)
            messages += [
                message(number, b"%d %s" % (number, priority.encode()), priority=priority)
                for number in range(first, self.sent[priority])
            ]
        return [each.content for each in self.out.write(messages, max_bytes=700)]

    def start_over(self) -> None:
        for priority, seen in self.seen.items():
            self.sent[priority] = len(seen)

    def hears(self, taken: Taken) -> None:
        for one in taken.messages:
            seen = self.seen[one.priority]
            number = int.from_bytes(one.id[8:], "big")
            assert one.payload == b"%d %s" % (number, one.priority.encode())
            assert number <= len(seen), "a message came before an older one"
            if number == len(seen):
                seen.append(number)
        if taken.reset is not None and self.out.reset(reset_of(taken)):
            self.start_over()


@given(st.integers(0, 2**32), st.integers(1, 60))
def test_whatever_is_dropped_repeated_or_swapped_all_arrives_in_order(
    seed: int, total: int
) -> None:
    rng = random.Random(seed)
    source, taken = Source(total), reader()
    flying: list[bytes] = []
    recorded: list[bytes] = []
    now = 0.0
    for step in range(600):
        now += rng.random() / 4
        is_calm = step > 300
        if not flying:
            flying = source.parcels(rng.randint(1, 30))
            recorded += flying
        if not flying and is_calm:
            if all(len(source.seen[each]) == total for each in (CRITICAL, NORMAL)):
                break
            source.start_over()
            source.out.restart()
        if not is_calm and rng.random() < 0.3:
            rng.shuffle(flying)
        if flying:
            parcel = flying.pop(0)
            if is_calm or rng.random() > 0.2:
                source.hears(taken.take(parcel, now))
        if recorded and not is_calm and rng.random() < 0.2:
            source.hears(taken.take(rng.choice(recorded), now))
        if taken.next_timer is not None and taken.next_timer <= now:
            source.hears(taken.timer(now))
    assert source.seen[CRITICAL] == source.seen[NORMAL] == list(range(total))


@given(st.lists(st.integers(0, 11), max_size=40))
def test_in_any_order_with_repetitions_a_stream_comes_out_as_a_beginning_of_it(
    arrivals: list[int],
) -> None:
    contents = one_each(writer(), 12)
    taken = reader()
    got = [one for each in arrivals for one in numbers(taken.take(contents[each], 0.0).messages)]
    whole = set(arrivals)
    assert got == list(range(next(number for number in range(13) if number not in whole)))


def test_messages_of_type_ack_have_no_chunks_out_of_order() -> None:
    """Receipts that do not fit one parcel keep their place instead."""
    ids = tuple(message(number * 3).id for number in range(4096))
    many = receipts(Receipt(Verdict.ACCEPTED, ids))
    assert many.type == MessageType.ACK
    written = writer().write([many], max_bytes=700)
    assert all(isinstance(decode_content(each.content), InOrder) for each in written)
    taken = reader()
    got = [one for each in written for one in taken.take(each.content, 0.0).messages]
    assert got == [many]

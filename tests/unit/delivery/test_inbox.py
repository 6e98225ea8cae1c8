"""What the inbox takes, remembers, receipts, and gives to handlers."""

from __future__ import annotations

import msgspec
import pytest

from ironmesh.delivery.inbox import FULL_BATCH, GATHER_S, MANY_MESSAGES, Inbox, InboxLimits
from ironmesh.delivery.records import MarkHandled, PutInbox, SetFloor
from ironmesh.errors import LocalProtocolError
from ironmesh.store.memory import MemoryStore
from ironmesh.types import Instant, Message, MessageId, MessagePriority, NodeId
from ironmesh.wire.receipts import MAX_IDS, Floor, Verdict, join_id

OWN, BOB, CAROL = NodeId("a" * 32), NodeId("b" * 32), NodeId("c" * 32)
EPOCH, OTHER = b"epoch--1", b"epoch--2"
NOW = Instant(50.0, 1.7e9)


def later(seconds):
    return Instant(NOW.mono + seconds, NOW.wall + seconds)


def message(number, *, source=BOB, epoch=EPOCH, size=3):
    return Message(
        id=join_id(epoch, number), type="MSG", payload=bytes(size), source=source, destination=OWN
    )


class Table:
    """An inbox whose store commits when told to."""

    def __init__(self, **limits):
        self.inbox = Inbox(InboxLimits(**limits))
        self.store = MemoryStore()

    def arrive(self, *messages, is_foreign=False, now=NOW):
        return self.inbox.arrived(BOB, messages, is_foreign, now)

    def commit(self, now=NOW):
        batch = self.inbox.next_batch(now)
        if batch is None:
            return None
        self.store.apply(batch.ops)
        return self.inbox.committed(batch)

    def take(self, *messages, **options):
        """Let messages arrive, commit, and return what handlers get."""
        self.arrive(*messages, **options)
        return self.commit().rows

    def handle(self, rows, now=NOW):
        for row in rows:
            self.inbox.started([row.sequence])
            self.inbox.handled([row.sequence], now)

    def restart(self, now=NOW, *, is_power_loss=False):
        self.store = self.store.crash(is_power_loss=is_power_loss)
        self.inbox = Inbox()
        return self.inbox.restore(self.store.snapshot(), now)


def verdicts(receipts):
    return [(one.peer, one.receipt.verdict, len(one.receipt.ids)) for one in receipts]


# --- Accepting ------------------------------------------------------------------------------------


def test_a_receipt_goes_out_once_the_message_is_on_disk():
    table = Table()
    arrival = table.arrive(message(1), message(2))
    assert (arrival.new, arrival.receipts) == (2, ())
    ready = table.commit()
    assert verdicts(ready.receipts) == [(BOB, Verdict.ACCEPTED, 2)]
    assert [row.sequence for row in ready.rows] == [1, 2]
    assert {row.via for row in ready.rows} == {BOB}
    assert table.store.snapshot().unhandled == ready.rows


def test_receipts_are_batched_for_each_source():
    table = Table(messages=10_000)
    table.arrive(message(1), message(1, source=CAROL), message(2))
    assert verdicts(table.commit().receipts) == [
        (BOB, Verdict.ACCEPTED, 2),
        (CAROL, Verdict.ACCEPTED, 1),
    ]
    table.arrive(*(message(number) for number in range(10, 15 + MAX_IDS)))
    assert [count for *_, count in verdicts(table.commit().receipts)] == [MAX_IDS, 5]


def test_a_repeated_message_is_receipted_again_and_given_to_no_handler():
    table = Table()
    table.take(message(1))
    arrival = table.arrive(message(1))
    assert arrival.duplicates == 1
    assert verdicts(arrival.receipts) == [(BOB, Verdict.ACCEPTED, 1)]
    assert table.commit() is None


def test_a_message_repeated_while_its_commit_is_under_way_is_receipted_with_it():
    table = Table()
    table.arrive(message(1))
    batch = table.inbox.next_batch(NOW)
    arrival = table.arrive(message(1), message(2), message(2))
    assert (arrival.duplicates, arrival.new, arrival.receipts) == (2, 1, ())
    assert table.inbox.next_batch(NOW) is None
    assert verdicts(table.inbox.committed(batch).receipts) == [(BOB, Verdict.ACCEPTED, 1)]
    assert len(table.commit().rows) == 1


def test_the_same_id_of_two_sources_is_two_messages():
    table = Table()
    assert len(table.take(message(1), message(1, source=CAROL))) == 2


def test_after_a_restart_a_repeated_message_is_known():
    table = Table()
    rows = table.take(message(1))
    assert table.restart() == rows
    assert verdicts(table.arrive(message(1)).receipts) == [(BOB, Verdict.ACCEPTED, 1)]
    assert table.take(message(2))[0].sequence == 2


# --- Published nodes ------------------------------------------------------------------------------


def test_published_nodes_get_no_receipts_but_their_repetitions_are_known():
    table = Table()
    table.arrive(message(1), is_foreign=True)
    ready = table.commit()
    assert ready.receipts == ()
    assert ready.rows[0].is_foreign
    arrival = table.arrive(message(1), is_foreign=True)
    assert (arrival.duplicates, arrival.receipts) == (1, ())
    table.restart()
    assert table.arrive(message(1), is_foreign=True).duplicates == 1


def test_ids_of_published_nodes_are_remembered_for_25_hours():
    table = Table()
    table.take(message(1), is_foreign=True)
    assert table.arrive(message(1), is_foreign=True, now=later(24.9 * 3600)).duplicates == 1
    assert table.arrive(message(1), is_foreign=True, now=later(26.1 * 3600)).new == 1


# --- Floors ---------------------------------------------------------------------------------------


def test_what_lies_below_the_floor_is_forgotten_and_refused():
    table = Table()
    table.take(message(1), message(2), message(3))
    table.inbox.floor(BOB, Floor(EPOCH, 3), NOW)
    assert table.inbox.next_batch(NOW) is None
    assert table.inbox.next_timer == NOW.mono + 1
    table.commit(later(1))
    assert table.store.remembered() == 1
    table.restart()
    arrival = table.arrive(message(1), message(3), message(4))
    assert (arrival.refused, arrival.duplicates, arrival.new) == (1, 1, 1)
    assert verdicts(arrival.receipts) == [(BOB, Verdict.REFUSED, 1), (BOB, Verdict.ACCEPTED, 1)]


def test_a_floor_never_sinks_and_concerns_its_source_and_epoch_alone():
    table = Table()
    table.inbox.floor(BOB, Floor(EPOCH, 10), NOW)
    table.inbox.floor(BOB, Floor(EPOCH, 5), NOW)
    table.inbox.floor(BOB, Floor(EPOCH, 12), NOW)
    arrival = table.arrive(message(11), message(1, epoch=OTHER), message(1, source=CAROL))
    assert (arrival.refused, arrival.new) == (1, 2)
    assert [op for op in table.inbox.next_batch(later(1)).ops if isinstance(op, SetFloor)] == [
        SetFloor(BOB, EPOCH, 12, NOW.wall)
    ]


def test_a_fifth_epoch_is_refused_until_one_was_not_used_for_30_days():
    table = Table()
    for place in range(4):
        table.arrive(message(1, epoch=bytes([place]) * 8))
    fifth = message(1, epoch=b"5" * 8)
    assert verdicts(table.arrive(fifth).receipts) == [(BOB, Verdict.REFUSED, 1)]
    table.inbox.floor(BOB, Floor(b"6" * 8, 7), NOW)
    assert table.arrive(message(1, source=CAROL)).new == 1
    table.arrive(message(2, epoch=b"\0" * 8), now=later(29 * 86400))
    assert table.arrive(fifth, now=later(31 * 86400)).new == 1
    assert table.arrive(message(1, epoch=b"\0" * 8), now=later(31 * 86400)).duplicates == 1


def test_numbers_that_no_store_can_hold_are_refused():
    table = Table()
    arrival = table.arrive(message(2**63))
    assert (arrival.refused, arrival.receipts) == (1, ())  # no receipt can name it
    assert table.arrive(message(2**63 - 1)).new == 1


# --- A source that must slow down -----------------------------------------------------------------


def test_at_most_65536_ids_lie_above_a_floor(monkeypatch):
    monkeypatch.setattr("ironmesh.delivery.remembered.MAX_IDS_ABOVE_FLOOR", 3)
    table = Table()
    arrival = table.arrive(*(message(number) for number in range(1, 6)))
    assert arrival.new == 3
    assert [one.receipt.verdict for one in arrival.receipts] == [Verdict.BUSY] * 2
    assert table.arrive(message(1, source=CAROL)).new == 1


def test_after_one_was_not_taken_newer_ones_wait_until_their_source_starts_over(monkeypatch):
    monkeypatch.setattr("ironmesh.delivery.remembered.MAX_IDS_ABOVE_FLOOR", 2)
    table = Table()
    table.arrive(message(1), message(2), message(3))
    table.commit()
    table.inbox.floor(BOB, Floor(EPOCH, 3), NOW)
    arrival = table.arrive(message(4))
    assert [one.receipt.verdict for one in arrival.receipts] == [Verdict.BUSY]
    table.inbox.floor(BOB, Floor(EPOCH, 3, is_restart=True), NOW)
    assert table.arrive(message(3), message(4)).new == 2


def test_a_link_that_is_read_against_advice_meets_busy():
    table = Table(messages=2)
    assert table.inbox.is_ready(NOW)
    table.arrive(message(1), message(2))
    assert not table.inbox.is_ready(NOW)
    assert table.arrive(message(3), message(4)).new == 2
    assert verdicts(table.arrive(message(5)).receipts) == [(BOB, Verdict.BUSY, 1)]


def test_links_are_read_again_when_half_of_the_backlog_is_handled():
    table = Table(messages=4)
    rows = table.take(*(message(number) for number in range(1, 5)))
    table.handle(rows[:2])
    assert not table.inbox.is_ready(NOW)
    table.handle(rows[2:3])
    assert table.inbox.is_ready(NOW)
    assert table.inbox.backlog == 1


def test_the_backlog_counts_bytes_too():
    table = Table(payload_bytes=10)
    rows = table.take(message(1, size=10))
    assert not table.inbox.is_ready(NOW)
    table.handle(rows)
    assert table.inbox.is_ready(NOW)


# --- A store that does not take it ----------------------------------------------------------------


def test_when_a_commit_fails_reading_pauses_and_the_next_batch_holds_all_in_order():
    table = Table()
    table.arrive(message(1), message(2))
    failed = table.inbox.next_batch(NOW)
    table.arrive(message(3))
    table.inbox.commit_failed(failed, NOW)
    assert not table.inbox.is_ready(NOW)
    assert table.inbox.next_batch(NOW) is None
    assert table.inbox.next_timer == NOW.mono + 5
    assert table.arrive(message(1)).duplicates == 1
    assert table.inbox.is_ready(later(5))
    ready = table.commit(later(5))
    assert [row.sequence for row in ready.rows] == [1, 2, 3]
    assert verdicts(ready.receipts) == [(BOB, Verdict.ACCEPTED, 3)]


def test_marks_and_floors_of_a_failed_commit_come_again():
    table = Table()
    rows = table.take(message(1), message(2))
    table.handle(rows[:1])
    table.inbox.floor(BOB, Floor(EPOCH, 2), NOW)
    failed = table.inbox.next_batch(later(1))
    table.handle(rows[1:])
    table.inbox.floor(BOB, Floor(EPOCH, 3), NOW)
    table.inbox.commit_failed(failed, later(1))
    assert table.inbox.next_batch(later(10)).ops == (
        MarkHandled((1, 2)),
        SetFloor(BOB, EPOCH, 3, NOW.wall),
    )


def test_only_the_batch_under_way_can_end():
    table = Table()
    table.arrive(message(1))
    batch = table.inbox.next_batch(NOW)
    table.inbox.committed(batch)
    with pytest.raises(LocalProtocolError):
        table.inbox.committed(batch)


# --- Handlers -------------------------------------------------------------------------------------


def test_a_message_is_given_to_its_handler_once():
    table = Table()
    (row,) = table.take(message(1))
    with pytest.raises(LocalProtocolError):
        table.inbox.handled([row.sequence], NOW)
    table.inbox.started([row.sequence])
    with pytest.raises(LocalProtocolError):
        table.inbox.started([row.sequence])
    table.inbox.handled([row.sequence], NOW)
    with pytest.raises(LocalProtocolError):
        table.inbox.handled([row.sequence], NOW)
    with pytest.raises(LocalProtocolError):
        table.inbox.started([99])


def test_handled_messages_are_noted_after_a_second_or_when_many():
    table = Table()
    rows = table.take(*(message(number) for number in range(1, 400)))
    table.handle(rows[:1])
    assert table.inbox.next_batch(NOW) is None
    assert table.inbox.next_batch(later(0.9)) is None
    table.commit(later(1))
    assert table.store.snapshot().unhandled == rows[1:]
    table.handle(rows[1:2])
    table.arrive(message(1000))
    batch = table.inbox.next_batch(later(0.9))
    assert [type(op) for op in batch.ops] == [PutInbox]
    table.inbox.committed(batch)
    table.arrive(message(1001))
    assert [type(op) for op in table.inbox.next_batch(later(1)).ops] == [PutInbox, MarkHandled]
    table = Table()
    table.handle(table.take(*(message(number) for number in range(256))))
    assert table.inbox.next_batch(NOW) is None
    table.arrive(message(1000))
    (put, marks) = table.inbox.next_batch(later(GATHER_S)).ops
    assert (len(put.rows), len(marks.sequences)) == (1, 256)
    table = Table()
    table.handle(table.take(*(message(number) for number in range(1024))))
    assert len(table.inbox.next_batch(NOW).ops[0].sequences) == 1024


def test_a_stream_of_many_goes_to_disk_in_large_batches():
    table = Table()
    table.take(*(message(number) for number in range(MANY_MESSAGES)))
    table.arrive(message(100))
    assert table.inbox.next_batch(later(GATHER_S / 2)) is None
    assert table.inbox.next_timer == later(GATHER_S).mono
    table.arrive(message(101))
    assert len(table.commit(later(GATHER_S)).rows) == 2
    table.arrive(message(102))  # after so few nothing waits
    assert len(table.commit(later(GATHER_S)).rows) == 1


def test_what_is_urgent_waits_for_nothing():
    table = Table()
    table.take(*(message(number) for number in range(MANY_MESSAGES)))
    table.arrive(message(100))
    urgent = msgspec.structs.replace(message(101), priority=MessagePriority.HIGH)
    table.arrive(urgent)
    assert [row.message for row in table.commit(NOW).rows] == [message(100), urgent]


def test_what_nobody_would_send_again_waits_for_nothing():
    table = Table()
    table.take(*(message(number) for number in range(MANY_MESSAGES)))
    table.arrive(message(100), is_foreign=True)
    assert len(table.commit(NOW).rows) == 1


def test_a_full_batch_waits_for_nothing():
    table = Table()
    table.take(*(message(number) for number in range(MANY_MESSAGES)))
    table.arrive(*(message(100 + number) for number in range(FULL_BATCH - 1)))
    assert table.inbox.next_batch(NOW) is None
    table.arrive(message(1000))
    assert len(table.inbox.next_batch(NOW).rows) == FULL_BATCH


def test_what_was_not_handled_comes_first_after_a_restart():
    table = Table()
    rows = table.take(message(1), message(2), message(3))
    table.inbox.started([1])
    table.store.note_started(1)
    table.store.note_completed(1)
    table.inbox.started([2])
    table.store.note_started(2)
    again = table.restart()
    assert [(row.sequence, row.is_redelivered) for row in again] == [(2, True), (3, False)]
    table.handle(again)
    assert rows[2] == again[1]


def test_after_a_power_loss_all_that_was_not_noted_on_disk_is_marked():
    table = Table()
    table.take(message(1), message(2))
    table.store.note_started(1)
    table.store.note_completed(1)
    again = table.restart(is_power_loss=True)
    assert [(row.sequence, row.is_redelivered) for row in again] == [(1, True), (2, True)]
    again = table.restart()
    assert all(row.is_redelivered for row in again)


def test_any_sixteen_bytes_are_an_id():
    table = Table()
    for number in range(20):
        strange = MessageId(bytes([number]) * 16)
        table.arrive(
            Message(id=strange, type="MSG", payload=b"", source=CAROL, destination=OWN),
            is_foreign=True,
        )
    assert len(table.commit().rows) == 20

"""The in-memory twin of the delivery store: what a crash leaves."""

from __future__ import annotations

import pytest

from ironmesh.delivery.records import (
    ForgetEpochs,
    InboxRow,
    MarkHandled,
    OutboxRow,
    OutboxState,
    PruneHistory,
    PutInbox,
    PutOutbox,
    SetFloor,
    ShiftClock,
    UpdateOutbox,
)
from ironmesh.errors import StoreError, StoreFullError
from ironmesh.store.memory import CommitPoint, MemoryStore
from ironmesh.types import Message, MessagePriority, NodeId
from ironmesh.wire.receipts import join_id

OWN, BOB = NodeId("a" * 32), NodeId("b" * 32)
EPOCH = b"epoch--1"


def out(number, **changes):
    values = {
        "id": join_id(EPOCH, number),
        "destination": BOB,
        "type": "MSG",
        "priority": MessagePriority.NORMAL,
        "size_bytes": 1,
        "accepted_wall": 100.0,
        "lifetime_s": 10.0,
        "as_of_wall": 100.0,
    }
    return OutboxRow(**{**values, **changes})


def came(sequence, number, *, is_foreign=False):
    message = Message(join_id(EPOCH, number), "MSG", b"x", BOB, OWN)
    return InboxRow(
        sequence=sequence, message=message, via=BOB, arrived_wall=100.0, is_foreign=is_foreign
    )


async def test_what_was_committed_is_found_and_nothing_else():
    store = MemoryStore()
    await store.commit([PutOutbox(((out(1), b"one"), (out(2), b"two")))])
    await store.commit([UpdateOutbox(out(1).id, BOB, OutboxState.DELIVERED, 105.0, "", 3)])
    await store.commit([PutInbox((came(1, 7), came(2, 8, is_foreign=True)))])
    store = store.crash()
    found = await store.load()
    assert found.outbox == (out(2),)
    assert [(one.destination, one.epoch, one.next_number) for one in found.epochs] == [
        (BOB, EPOCH, 3)
    ]
    assert [row.sequence for row in found.unhandled] == [1, 2]
    assert [(one.floor, one.numbers) for one in found.sources] == [(0, (7,))]
    assert [one.id for one in found.foreign] == [came(2, 8).message.id]
    assert found.next_sequence == 3
    assert await store.payloads([(BOB, out(2).id), (OWN, out(2).id)]) == [b"two", None]
    assert [(row.state, row.attempts) for row in store.history()] == [
        (OutboxState.DELIVERED, 3),
        (OutboxState.QUEUED, 0),
    ]


def test_notes_survive_the_process_but_not_the_machine():
    for is_power_loss, expected in (
        (False, [(2, True), (3, False)]),
        (True, [(1, True), (2, True), (3, True)]),
    ):
        store = MemoryStore()
        store.apply([PutInbox((came(1, 1), came(2, 2), came(3, 3)))])
        store.note_started(1)
        store.note_completed(1)
        store.note_started(2)
        store = store.crash(is_power_loss=is_power_loss)
        found = store.snapshot().unhandled
        assert [(row.sequence, row.is_redelivered) for row in found] == expected
        again = store.crash().snapshot().unhandled
        assert again == found, "a mark lasts until the message is handled"
        store.crash()


def test_handled_messages_do_not_come_again():
    store = MemoryStore()
    store.apply([PutInbox((came(1, 1), came(2, 2)))])
    store.note_started(1)
    store.apply([MarkHandled((1,))])
    assert [row.sequence for row in store.crash(is_power_loss=True).snapshot().unhandled] == [2]


def test_floors_forget_and_stay():
    store = MemoryStore()
    store.apply([PutInbox((came(1, 1), came(2, 5))), SetFloor(BOB, EPOCH, 3, 200.0)])
    store.apply([PutInbox((came(3, 2),)), SetFloor(BOB, EPOCH, 1, 201.0)])
    (source,) = store.snapshot().sources
    assert (source.floor, source.numbers) == (3, (5,))
    assert store.remembered() == 1


def test_old_things_are_forgotten():
    store = MemoryStore()
    ended = out(1, state=OutboxState.SENT, ended_wall=150.0)
    store.apply([PutOutbox(((ended, b""), (out(2), b"")))])
    store.apply([PutInbox((came(1, 1), came(2, 2, is_foreign=True))), MarkHandled((1,))])
    store.apply([ForgetEpochs(101.0, 101.0), PruneHistory(160.0)])
    found = store.snapshot()
    assert (found.sources, found.foreign) == ((), ())
    assert found.outbox == (out(2),)
    assert [row.sequence for row in found.unhandled] == [2]
    assert store.history() == [out(2)]


def test_a_moved_clock_moves_what_ages_and_not_what_people_read():
    store = MemoryStore()
    ended = out(1, state=OutboxState.SENT, ended_wall=150.0)
    store.apply([PutOutbox(((ended, b""), (out(2), b"")))])
    store.apply([PutInbox((came(1, 1), came(2, 2, is_foreign=True))), ShiftClock(1000.0)])
    found = store.snapshot()
    assert found.outbox == (out(2, as_of_wall=1100.0),)
    assert found.sources[0].used_wall == found.foreign[0].arrived_wall == 1100.0
    assert store.history()[0] == ended


def test_a_commit_can_fail_or_be_the_last_thing_that_happens():
    points = []

    def hook(point, batch):
        points.append((point, len(batch)))
        if len(points) == 1:
            raise StoreFullError("the disk is full", "make room")
        if point is CommitPoint.AFTER:
            raise KeyboardInterrupt

    store = MemoryStore(hook)
    with pytest.raises(StoreFullError):
        store.apply([PutOutbox(((out(1), b""),))])
    with pytest.raises(KeyboardInterrupt):
        store.apply([PutOutbox(((out(2), b""),))])
    assert store.crash().snapshot().outbox == (out(2),)
    assert [point for point, _ in points] == [
        CommitPoint.BEFORE,
        CommitPoint.BEFORE,
        CommitPoint.AFTER,
    ]


async def test_a_dead_store_does_nothing_more():
    store = MemoryStore()
    store.crash()
    with pytest.raises(StoreError):
        await store.commit([])
    with pytest.raises(StoreError):
        store.note_started(1)
    await store.close()

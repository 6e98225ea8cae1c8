"""What the store keeps, and what a start finds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.support.stores import (
    BOB,
    CAROL,
    DATA_KEY,
    EPOCH,
    WALL,
    inbox_row,
    message_id,
    outbox_row,
    put_inbox,
    put_outbox,
)

from ironmesh.delivery.records import (
    DeliveryStore,
    EpochRecord,
    ForeignId,
    ForgetEpochs,
    MarkHandled,
    OutboxState,
    PruneHistory,
    PutInbox,
    PutOutbox,
    SetFloor,
    Snapshot,
    SourceRecord,
    UpdateOutbox,
)
from ironmesh.errors import StoreError
from ironmesh.store.database import SqliteStore
from ironmesh.store.database.outbox_rows import SMALL_BYTES
from ironmesh.types import MessagePriority


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[SqliteStore, Snapshot]]:
    store = SqliteStore(folder, DATA_KEY)
    snapshot = await store.load()
    try:
        yield store, snapshot
    finally:
        await store.close()


async def found(folder: Path) -> Snapshot:
    """What the next start finds."""
    async with opened(folder) as (_store, snapshot):
        return snapshot


async def test_an_empty_folder_is_an_empty_snapshot(tmp_path: Path) -> None:
    store: DeliveryStore = SqliteStore(tmp_path / "store", DATA_KEY)
    assert await store.load() == Snapshot()
    await store.close()


async def test_a_row_comes_back_as_it_was_put(tmp_path: Path) -> None:
    row = outbox_row(
        7,
        type="app.order/ö",
        priority=MessagePriority.CRITICAL,
        attempts=3,
        lifetime_s=12.5,
        as_of_wall=WALL + 9,
        state=OutboxState.HELD,
        reason="waits for its operator",
    )
    async with opened(tmp_path) as (store, _):
        await store.commit([PutOutbox(((row, b"body"),))])
        assert await store.payloads([(BOB, row.id)]) == [b"body"]
    snapshot = await found(tmp_path)
    assert snapshot.outbox == (row,)
    assert snapshot.epochs == (EpochRecord(BOB, EPOCH, 8),)


async def test_an_arrived_message_comes_back_as_it_was_put(tmp_path: Path) -> None:
    row = inbox_row(4, type="app.order", payload=b"\0body\xff", number=2**64 - 1)
    async with opened(tmp_path) as (store, _):
        await store.commit([PutInbox((row,))])
    snapshot = await found(tmp_path)
    assert snapshot.unhandled == (row,)
    assert snapshot.sources == (SourceRecord(BOB, EPOCH, 0, (2**64 - 1,), WALL + 4),)
    assert snapshot.next_sequence == 5


@pytest.mark.parametrize("size", [0, 1, SMALL_BYTES - 4, SMALL_BYTES - 3, 2 * SMALL_BYTES])
@pytest.mark.parametrize("kind", ["MSG", "ö" * 2 * SMALL_BYTES])
async def test_payloads_and_types_come_back_whatever_their_size(
    tmp_path: Path, size: int, kind: str
) -> None:
    payload = bytes(range(256)) * 8
    sent = outbox_row(1, type=kind, size_bytes=size)
    arrived = inbox_row(1, type=kind, payload=payload[:size])
    async with opened(tmp_path) as (store, _):
        await store.commit([PutOutbox(((sent, payload[:size]),)), PutInbox((arrived,))])
    async with opened(tmp_path) as (store, snapshot):
        assert await store.payloads([(BOB, sent.id)]) == [payload[:size]]
    assert (snapshot.outbox, snapshot.unhandled) == ((sent,), (arrived,))


async def test_ended_rows_stay_as_history_with_their_payload(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        await store.commit([put_outbox(1, 2)])
        ended = UpdateOutbox(message_id(1), BOB, OutboxState.DELIVERED, ended_wall=WALL + 5)
        await store.commit([ended])
        assert await store.payloads([(BOB, message_id(1))]) == [b"hello"]
    assert [row.id for row in (await found(tmp_path)).outbox] == [message_id(2)]


async def test_updates_of_one_row_in_one_batch_take_effect_in_order(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        await store.commit(
            [
                put_outbox(1),
                UpdateOutbox(message_id(1), BOB, OutboxState.QUEUED, attempts=4),
                UpdateOutbox(message_id(1), BOB, OutboxState.HELD, reason="later"),
            ]
        )
    (row,) = (await found(tmp_path)).outbox
    assert (row.state, row.attempts, row.reason) == (OutboxState.HELD, 4, "later")


async def test_an_update_of_an_unknown_message_changes_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        await store.commit([UpdateOutbox(message_id(1), BOB, OutboxState.EXPIRED)])
        await store.commit(
            [UpdateOutbox(message_id(2), BOB, OutboxState.EXPIRED, ended_wall=1.0), put_outbox(2)]
        )
    assert [row.id for row in (await found(tmp_path)).outbox] == [message_id(2)]


async def test_rows_come_back_in_the_order_in_which_they_were_put(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        for number, destination in ((5, BOB), (1, CAROL), (6, BOB), (2, CAROL)):
            await store.commit([put_outbox(number, destination=destination)])
    numbers = [int.from_bytes(row.id[8:]) for row in (await found(tmp_path)).outbox]
    assert numbers == [5, 1, 6, 2]


async def test_numbers_are_kept_when_history_is_gone(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        await store.commit([put_outbox(1, 2, 3), put_inbox(1, 2, 3)])
        await store.commit(
            [UpdateOutbox(message_id(n), BOB, OutboxState.SENT, ended_wall=WALL) for n in (1, 2, 3)]
        )
        await store.commit([MarkHandled((1, 2, 3)), PruneHistory(WALL + 1_000)])
        assert await store.payloads([(BOB, message_id(2))]) == [None]
    snapshot = await found(tmp_path)
    assert snapshot.outbox == ()
    assert snapshot.epochs == (EpochRecord(BOB, EPOCH, 4),)
    assert snapshot.next_sequence == 4


async def test_only_what_ended_before_the_moment_is_pruned(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        await store.commit([put_outbox(1, 2, 3), put_inbox(1, 2)])
        await store.commit(
            [
                UpdateOutbox(message_id(1), BOB, OutboxState.SENT, ended_wall=WALL + 10),
                UpdateOutbox(message_id(2), BOB, OutboxState.SENT, ended_wall=WALL + 30),
                MarkHandled((2,)),
                PruneHistory(WALL + 20),
            ]
        )
        ids = [(BOB, message_id(number)) for number in (1, 2, 3)]
        assert await store.payloads(ids) == [None, b"hello", b"hello"]
    snapshot = await found(tmp_path)
    assert [row.sequence for row in snapshot.unhandled] == [1]
    assert [row.id for row in snapshot.outbox] == [message_id(3)]


async def test_a_floor_settles_what_is_below_it_and_never_sinks(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        await store.commit([put_inbox(1, 2, 3, 4), SetFloor(BOB, EPOCH, 3, WALL + 50)])
        await store.commit([SetFloor(BOB, EPOCH, 2, WALL + 60)])
    assert (await found(tmp_path)).sources == (SourceRecord(BOB, EPOCH, 3, (3, 4), WALL + 60),)


async def test_ids_of_published_nodes_are_remembered_until_they_are_forgotten(
    tmp_path: Path,
) -> None:
    old = inbox_row(1, is_foreign=True, arrived_wall=WALL)
    new = inbox_row(2, is_foreign=True, arrived_wall=WALL + 100)
    async with opened(tmp_path) as (store, _):
        await store.commit([PutInbox((old, new)), put_inbox(3)])
    assert (await found(tmp_path)).foreign == (
        ForeignId(BOB, old.message.id, WALL),
        ForeignId(BOB, new.message.id, WALL + 100),
    )
    async with opened(tmp_path) as (store, _):
        await store.commit([ForgetEpochs(WALL + 1_000, WALL + 50)])
    snapshot = await found(tmp_path)
    assert snapshot.foreign == (ForeignId(BOB, new.message.id, WALL + 100),)
    assert snapshot.sources == ()


async def test_batches_of_many_tasks_take_effect_in_the_order_of_the_calls(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        numbers = list(range(1, 501))
        await asyncio.gather(*(store.commit([put_outbox(number)]) for number in numbers))
        await asyncio.gather(
            *(
                store.commit([UpdateOutbox(message_id(n), BOB, OutboxState.QUEUED, attempts=n)])
                for n in numbers
            )
        )
    rows = (await found(tmp_path)).outbox
    assert [row.attempts for row in rows] == numbers


async def test_a_batch_that_fails_takes_none_of_its_neighbours_along(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        await store.commit([put_outbox(3)])
        outcomes = await asyncio.gather(
            store.commit([put_outbox(1), put_inbox(1)]),
            store.commit([put_outbox(2), put_outbox(3)]),
            store.commit([put_inbox(2), put_outbox(4)]),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [type(None), StoreError, type(None)]
    snapshot = await found(tmp_path)
    assert [int.from_bytes(row.id[8:]) for row in snapshot.outbox] == [3, 1, 4]
    assert [row.sequence for row in snapshot.unhandled] == [1, 2]


async def test_what_no_row_can_hold_is_refused_by_name(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        bad = PutOutbox(((outbox_row(1, destination="bob"), b""),))
        with pytest.raises(StoreError, match="cannot be stored"):
            await store.commit([put_outbox(2), bad])
        await store.commit([put_outbox(3)])
    assert [row.id for row in (await found(tmp_path)).outbox] == [message_id(3)]


async def test_a_commit_whose_caller_went_away_still_lasts(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        task = asyncio.ensure_future(store.commit([put_outbox(1)]))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len((await found(tmp_path)).outbox) == 1


async def test_closing_finishes_what_was_handed_over_and_ends_the_thread(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, DATA_KEY)
    await store.load()
    commits = [asyncio.ensure_future(store.commit([put_outbox(n)])) for n in range(1, 200)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*commits)
    await store.close()
    assert "ironmesh-store" not in [thread.name for thread in threading.enumerate()]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["handled.journal", "messages.db"]
    assert len((await found(tmp_path)).outbox) == 199


async def test_a_store_that_is_not_open_says_so(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, DATA_KEY)
    with pytest.raises(StoreError, match="not open"):
        await store.commit([put_outbox(1)])
    with pytest.raises(StoreError, match="not open"):
        store.note_started(1)
    async with opened(tmp_path) as (opened_store, _):
        with pytest.raises(StoreError, match="open already"):
            await opened_store.load()
    with pytest.raises(StoreError, match="not open"):
        await opened_store.payloads([])

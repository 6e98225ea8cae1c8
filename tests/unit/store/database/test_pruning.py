"""Old rows go in slices, their space goes back to the disk, and nobody waits for it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.stores import BOB, DATA_KEY, WALL, inbox_row, message_id, put_outbox

from ironmesh.delivery.records import (
    ForgetEpochs,
    MarkHandled,
    OutboxState,
    PruneHistory,
    PutInbox,
    ShiftClock,
    UpdateOutbox,
)
from ironmesh.store.database import DATABASE, SqliteStore
from ironmesh.store.database.engine import Engine
from ironmesh.store.database.journal import Notes
from ironmesh.store.database.pruning import SLICE_ROWS

COUNT = 5 * SLICE_ROWS + 7


def ended(number: int, wall: float = WALL) -> UpdateOutbox:
    return UpdateOutbox(message_id(number), BOB, OutboxState.DELIVERED, ended_wall=wall)


def count(engine: Engine, table: str) -> int:
    return int(engine._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def opened(folder: Path) -> Engine:
    engine = Engine(folder / DATABASE, DATA_KEY)
    engine.load(Notes())
    return engine


def test_each_slice_is_bounded_and_the_last_one_ends_the_chore(tmp_path: Path) -> None:
    engine = opened(tmp_path)
    numbers = range(1, COUNT + 1)
    arrived = tuple(inbox_row(n, arrived_wall=WALL - n, is_foreign=True) for n in numbers)
    batch = [put_outbox(*numbers), PutInbox(arrived), MarkHandled(tuple(numbers))]
    assert engine.apply([batch, [ended(number) for number in numbers]]) == [None, None]
    assert not engine.has_chores
    assert engine.apply([[PruneHistory(WALL + 1), ForgetEpochs(WALL + 1, WALL + 1)]]) == [None]
    tables = ("outbox", "inbox", "foreign_id")
    left = {table: count(engine, table) for table in tables}
    assert left == dict.fromkeys(tables, COUNT - SLICE_ROWS)
    while engine.has_chores:
        engine.do_chore()
        now = {table: count(engine, table) for table in tables}
        assert all(left[table] - now[table] <= SLICE_ROWS for table in tables)
        left = now
    assert left == dict.fromkeys(tables, 0)
    engine.close()


def test_large_messages_make_small_slices(tmp_path: Path) -> None:
    engine = opened(tmp_path)
    row = inbox_row(1, payload=bytes(3 * 1024 * 1024), arrived_wall=WALL)
    rows = tuple(inbox_row(n, payload=row.message.payload, arrived_wall=WALL) for n in range(1, 6))
    engine.apply([[PutInbox(rows), MarkHandled((1, 2, 3, 4, 5)), PruneHistory(WALL + 1)]])
    assert count(engine, "inbox") == 3
    engine.close()


def test_the_space_goes_back_to_the_disk(tmp_path: Path) -> None:
    engine = opened(tmp_path)
    payload = bytes(10_000)
    engine.apply([[put_outbox(*range(1, 1_001), payload=payload)]])
    engine.apply([[ended(number) for number in range(1, 1_001)]])
    before = engine._connection.execute("PRAGMA page_count").fetchone()[0]
    engine.apply([[PruneHistory(WALL + 1)]])
    while engine.has_chores:
        engine.do_chore()
    after = engine._connection.execute("PRAGMA page_count").fetchone()[0]
    assert after < before / 20
    engine.close()
    assert (tmp_path / DATABASE).stat().st_size == after * 4096


def test_a_moved_clock_moves_a_chore_along(tmp_path: Path) -> None:
    engine = opened(tmp_path)
    numbers = range(1, COUNT + 1)
    rows = tuple(inbox_row(n, arrived_wall=WALL + n, is_foreign=True) for n in numbers)
    engine.apply([[PutInbox(rows)]])
    engine.apply([[ForgetEpochs(0.0, WALL + COUNT - 1), ShiftClock(-1_000.0)]])
    while engine.has_chores:
        engine.do_chore()
    assert count(engine, "foreign_id") == 2
    engine.close()


async def test_commits_go_on_while_history_is_pruned(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, DATA_KEY)
    await store.load()
    numbers = range(1, COUNT + 1)
    await store.commit([put_outbox(*numbers)])
    await store.commit([ended(number) for number in numbers])
    await store.commit([PruneHistory(WALL + 1)])
    assert await store.payloads([(BOB, message_id(COUNT))]) == [b"hello"], "not yet gone"
    for number in range(COUNT + 1, COUNT + 4):
        await store.commit([put_outbox(number)])
    while await store.payloads([(BOB, message_id(COUNT))]) != [None]:
        await asyncio.sleep(0.001)
    assert len(await store.outbox()) == 3
    await store.close()

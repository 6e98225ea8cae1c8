"""Messages that fared alike share a row, and nobody can tell."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from tests.support.stores import (
    ALICE,
    BOB,
    DATA_KEY,
    EPOCH,
    WALL,
    inbox_row,
    message_id,
    outbox_row,
)

from ironmesh.delivery.records import (
    MarkHandled,
    OutboxState,
    PutInbox,
    PutOutbox,
    Snapshot,
    UpdateOutbox,
)
from ironmesh.errors import StoreDamagedError
from ironmesh.store.database import DATABASE, Direction, SqliteStore
from ironmesh.store.database.outbox_rows import MAX_RUN_BYTES, MAX_RUN_MESSAGES, SMALL_BYTES
from ironmesh.types import MessagePriority

TYPES = ("MSG", "REQ", "app.order")


def put(*numbers: int, size: int = 3) -> PutOutbox:
    """Messages that were accepted together."""
    return PutOutbox(
        tuple(
            (
                outbox_row(
                    number,
                    accepted_wall=WALL,
                    as_of_wall=WALL,
                    type=TYPES[number % 3],
                    priority=[*MessagePriority][number % 4],
                    size_bytes=size,
                ),
                number.to_bytes(size),
            )
            for number in numbers
        )
    )


def arrive(*sequences: int) -> PutInbox:
    """Messages that arrived together."""
    return PutInbox(
        tuple(
            inbox_row(one, arrived_wall=WALL, type=TYPES[one % 3], payload=b"%d" % one)
            for one in sequences
        )
    )


def ended(number: int, state: OutboxState = OutboxState.DELIVERED) -> UpdateOutbox:
    return UpdateOutbox(message_id(number), BOB, state, WALL + 9, attempts=1)


def rows(folder: Path, table: str) -> list[int]:
    """How many messages each row of a table holds."""
    connection = sqlite3.connect(folder / DATABASE)
    counts = connection.execute(f"SELECT count FROM {table} ORDER BY 1").fetchall()
    connection.close()
    return [count for (count,) in counts]


async def opened(folder: Path) -> SqliteStore:
    store = SqliteStore(folder, DATA_KEY)
    await store.load()
    return store


async def found(folder: Path) -> Snapshot:
    """What the next start finds."""
    store = SqliteStore(folder, DATA_KEY)
    snapshot = await store.load()
    await store.close()
    return snapshot


async def test_what_was_accepted_together_is_one_row(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    sent = put(*range(1, 101))
    await store.commit([sent])
    assert rows(tmp_path, "outbox") == [100]
    ids = [(BOB, message_id(number)) for number in (100, 1, 50, 101)]
    assert await store.payloads(ids) == [b"\0\0d", b"\0\0\1", b"\0\0" + b"2", None]
    await store.close()
    snapshot = await found(tmp_path)
    assert snapshot.outbox == tuple(row for row, _payload in sent.rows)


async def test_a_row_is_divided_where_its_messages_fare_differently(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.commit([put(*range(1, 101))])
    await store.commit([ended(number) for number in range(20, 31)])
    assert rows(tmp_path, "outbox") == [11, 19, 70]
    await store.commit([UpdateOutbox(message_id(60), BOB, OutboxState.HELD, reason="wait")])
    assert rows(tmp_path, "outbox") == [1, 11, 19, 29, 40]
    left = await store.outbox()
    assert [row.id for row in left] == [
        message_id(number) for number in range(1, 101) if not 20 <= number <= 30
    ]
    assert [row.id for row in left if row.state is OutboxState.HELD] == [message_id(60)]
    ids = [(BOB, message_id(number)) for number in range(1, 101)]
    assert await store.payloads(ids) == [number.to_bytes(3) for number in range(1, 101)]
    await store.close()


async def test_ends_of_whole_rows_divide_none(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.commit([put(*range(1, 11)), put(*range(11, 21), size=2)])
    await store.commit([ended(number) for number in range(1, 21)])
    assert rows(tmp_path, "outbox") == [20]
    assert await store.outbox() == []
    await store.close()


async def test_a_row_is_bounded_and_large_messages_have_their_own(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.commit([put(*range(1, MAX_RUN_MESSAGES + 2))])
    assert rows(tmp_path, "outbox") == [1, MAX_RUN_MESSAGES]
    begin = MAX_RUN_MESSAGES + 2
    many = MAX_RUN_BYTES // 1000 + 5
    await store.commit([put(*range(begin, begin + many), size=1000)])
    assert len(rows(tmp_path, "outbox")) == 4
    await store.commit([put(begin + many, size=SMALL_BYTES + 1)])
    assert rows(tmp_path, "outbox").count(0) == 1
    everything = [(BOB, message_id(number)) for number in range(1, begin + many + 1)]
    found = await store.payloads(everything)
    assert [int.from_bytes(one or b"") for one in found] == [*range(1, begin + many + 1)]
    await store.close()


async def test_history_and_search_see_single_messages(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.commit([put(*range(1, 41)), arrive(*range(1, 41))])
    await store.commit([*map(ended, range(10, 20)), MarkHandled(tuple(range(1, 15)))])
    sent = await store.history(direction=Direction.SENT, limit=35)
    assert [one.id for one in sent] == [message_id(number) for number in range(40, 5, -1)]
    assert [one.type for one in sent[:3]] == [TYPES[40 % 3], TYPES[39 % 3], TYPES[38 % 3]]
    assert [one.state is OutboxState.DELIVERED for one in sent].count(True) == 10
    received = await store.history(direction=Direction.RECEIVED, limit=30)
    assert [one.id for one in received] == [message_id(number) for number in range(40, 10, -1)]
    assert [one.is_handled for one in received] == [False] * 26 + [True] * 4
    assert {one.size_bytes for one in received} == {2}
    assert [row.id for row in await store.outbox(limit=12)] == [
        *map(message_id, range(1, 10)),
        *map(message_id, range(20, 23)),
    ]
    found = await store.sent(message_id(17))
    assert found is not None
    assert (found.row.id, found.row.state, found.payload) == (
        message_id(17),
        OutboxState.DELIVERED,
        b"\0\0\x11",
    )
    assert await store.sent(message_id(41)) is None
    beginning = message_id(16).hex()[:-1]
    assert await store.sent_like(beginning, 100) == [*map(message_id, range(16, 32))]
    assert await store.sent_like(beginning, 3) == [*map(message_id, range(16, 19))]
    await store.close()


async def test_only_the_message_whose_handler_ran_comes_again_marked(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.commit([arrive(*range(1, 21))])
    assert rows(tmp_path, "inbox") == [20]
    store.note_started(1)
    for sequence in range(2, 8):
        store.note_started(sequence, after=sequence - 1)
    await store.close()
    snapshot = await found(tmp_path)
    assert [row.sequence for row in snapshot.unhandled] == [*range(7, 21)]
    assert [row.sequence for row in snapshot.unhandled if row.is_redelivered] == [7]
    assert snapshot.unhandled[3].message == arrive(10).rows[0].message
    assert snapshot.next_sequence == 21


async def test_numbers_that_arrived_are_remembered_above_the_floor(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    arrived = [inbox_row(n, number=n, arrived_wall=WALL) for n in (1, 2, 3, 5, 6, 9)]
    await store.commit([PutInbox(tuple(arrived[:5]))])
    await store.commit([PutInbox(tuple(arrived[5:]))])
    await store.close()
    (source,) = (await found(tmp_path)).sources
    assert (source.epoch, source.numbers) == (EPOCH, (1, 2, 3, 5, 6, 9))


@pytest.mark.parametrize("table", ["outbox", "inbox"])
@pytest.mark.parametrize("count", [0, 2, 4])
async def test_a_row_that_counts_other_messages_than_it_holds_is_damaged(
    tmp_path: Path, table: str, count: int
) -> None:
    store = await opened(tmp_path)
    await store.commit([put(1, 2, 3), arrive(1, 2, 3)])
    await store.close()
    connection = sqlite3.connect(tmp_path / DATABASE)
    connection.execute(f"UPDATE {table} SET count = ?", (count,))
    connection.commit()
    connection.close()
    with pytest.raises(StoreDamagedError):
        await SqliteStore(tmp_path, DATA_KEY).load()


async def test_nothing_of_a_run_that_was_refused_is_kept(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    bad = inbox_row(1, source=ALICE, number=1)
    with pytest.raises(Exception, match="cannot be stored"):
        await store.commit([put(1, 2), PutInbox((bad,)), PutInbox((inbox_row(2**70, number=2),))])
    await store.commit([put(3)])
    await store.close()
    snapshot = await found(tmp_path)
    assert [row.id for row in snapshot.outbox] == [message_id(3)]
    assert snapshot.unhandled == ()

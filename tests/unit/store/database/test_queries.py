"""The outbox and the history, as people ask for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.stores import (
    BOB,
    CAROL,
    DATA_KEY,
    WALL,
    inbox_row,
    message_id,
    put_inbox,
    put_outbox,
)

from ironmesh.delivery.records import MarkHandled, OutboxState, PutInbox, UpdateOutbox
from ironmesh.errors import StoreDamagedError, StoreError
from ironmesh.store.database import DATABASE, Direction, SqliteStore
from ironmesh.store.database.queries import open_reader
from ironmesh.types import Secret


async def filled(folder: Path) -> SqliteStore:
    """Five messages: 1, 3 to Bob, 2 to Carol, 4 from Bob, 5 from Carol; 1 was delivered."""
    store = SqliteStore(folder, DATA_KEY)
    await store.load()
    await store.commit([put_outbox(1, 3), put_outbox(2, destination=CAROL)])
    await store.commit([put_inbox(4), PutInbox((inbox_row(5, source=CAROL, type="app.x"),))])
    done = UpdateOutbox(message_id(1), BOB, OutboxState.DELIVERED, ended_wall=WALL + 9)
    await store.commit([done, MarkHandled((4,))])
    return store


async def test_history_shows_both_directions_the_newest_first(tmp_path: Path) -> None:
    store = await filled(tmp_path)
    entries = await store.history()
    assert [(e.direction, int.from_bytes(e.id[8:]), e.peer) for e in entries] == [
        (Direction.RECEIVED, 5, CAROL),
        (Direction.RECEIVED, 4, BOB),
        (Direction.SENT, 3, BOB),
        (Direction.SENT, 2, CAROL),
        (Direction.SENT, 1, BOB),
    ]
    received, handled, *_others, delivered = entries
    assert (received.type, received.is_handled, received.state) == ("app.x", False, None)
    assert handled.is_handled
    assert (delivered.state, delivered.ended_wall) == (OutboxState.DELIVERED, WALL + 9)
    await store.close()


async def test_history_is_narrowed_by_peer_direction_time_and_number(tmp_path: Path) -> None:
    store = await filled(tmp_path)

    async def numbers(**question: object) -> list[int]:
        entries = await store.history(**question)  # type: ignore[arg-type]
        return [int.from_bytes(entry.id[8:]) for entry in entries]

    assert await numbers(peer=CAROL) == [5, 2]
    assert await numbers(peer=BOB, direction=Direction.SENT) == [3, 1]
    assert await numbers(direction=Direction.RECEIVED) == [5, 4]
    assert await numbers(since_wall=WALL + 3) == [5, 4, 3]
    assert await numbers(limit=2) == [5, 4]
    await store.close()


async def test_the_outbox_lists_what_has_not_ended(tmp_path: Path) -> None:
    store = await filled(tmp_path)
    assert [int.from_bytes(row.id[8:]) for row in await store.outbox()] == [3, 2]
    assert [row.destination for row in await store.outbox(destination=CAROL)] == [CAROL]
    assert len(await store.outbox(limit=1)) == 1
    await store.close()


async def test_a_message_of_ours_is_shown_whole_also_when_it_has_ended(tmp_path: Path) -> None:
    store = await filled(tmp_path)
    sent = await store.sent(message_id(1))
    assert sent is not None
    assert (sent.row.state, sent.payload) == (OutboxState.DELIVERED, b"hello")
    carols = await store.sent(message_id(2))
    assert carols is not None
    assert carols.row.destination == CAROL
    assert await store.sent(message_id(99)) is None
    with pytest.raises(ValueError, match="3 bytes"):
        await store.sent(b"abc")  # type: ignore[arg-type]
    await store.close()


async def test_a_reader_sees_a_store_that_runs_and_one_that_does_not(tmp_path: Path) -> None:
    store = await filled(tmp_path)
    with open_reader(tmp_path / DATABASE, DATA_KEY) as reader:
        assert len(reader.history()) == 5
        await store.commit([put_outbox(6)])
        assert len(reader.history()) == 5, "a reader sees one moment"
    await store.close()
    with open_reader(tmp_path / DATABASE, DATA_KEY) as reader:
        assert len(reader.history()) == 6


async def test_a_reader_refuses_what_it_cannot_read(tmp_path: Path) -> None:
    with (
        pytest.raises(StoreError, match="no message store"),
        open_reader(tmp_path / DATABASE, DATA_KEY),
    ):
        pass
    await (await filled(tmp_path)).close()
    with (
        pytest.raises(StoreDamagedError),
        open_reader(tmp_path / DATABASE, Secret(bytes(32))),
    ):
        pass
    (tmp_path / DATABASE).write_bytes(b"no database" * 1000)
    with pytest.raises(StoreDamagedError), open_reader(tmp_path / DATABASE, DATA_KEY):
        pass

"""The database and its twin in memory hold the same after the same batches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.stores import BOB, CAROL, DATA_KEY, WALL, inbox_row, message_id, outbox_row

from ironmesh.delivery.records import (
    EndOutbox,
    ForgetEpochs,
    MarkHandled,
    OutboxState,
    PruneHistory,
    PutInbox,
    PutOutbox,
    SetFloor,
    ShiftClock,
    Snapshot,
    StoreOp,
    UpdateOutbox,
)
from ironmesh.store.database import SqliteStore
from ironmesh.store.memory import MemoryStore
from ironmesh.types import MessageId, MessagePriority, NodeId

NODES = (BOB, CAROL)
EPOCHS = (b"epoch--1", b"epoch--2")
WALLS = st.floats(min_value=WALL, max_value=WALL + 100)

Ids = list[tuple[NodeId, MessageId]]


class Maker:
    """Makes batches as the machines do: ids and sequences count up, ends have their time."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._sent = 0
        self._arrived = 0
        self.ids: Ids = []
        self._unhandled: list[int] = []

    def batch(self) -> list[StoreOp]:
        """One batch of up to five operations."""
        makers = [
            self.put_outbox,
            self.update,
            self.update_many,
            self.end_many,
            self.put_inbox,
            self.mark,
            self.floor,
            self.forget,
            self.prune,
            self.shift,
        ]
        made = [make() for make in self._draw(st.lists(st.sampled_from(makers), max_size=5))]
        return [one for some in made for one in (some if isinstance(some, list) else [some])]

    def put_outbox(self) -> StoreOp:
        rows = []
        destinations = self._draw(st.sampled_from([(BOB,), (CAROL,), NODES]))
        wall = WALL + self._sent
        for _ in range(self._draw(st.integers(1, 6))):
            self._sent += 1
            row = outbox_row(
                self._sent,
                destination=self._draw(st.sampled_from(destinations)),
                epoch=EPOCHS[self._sent > 10],
                accepted_wall=wall,
                as_of_wall=wall,
                type=self._draw(st.text(max_size=5)),
                priority=self._draw(st.sampled_from(MessagePriority)),
                reason=self._draw(st.sampled_from(["", "", "", "why"])),
            )
            self.ids.append((row.destination, row.id))
            rows.append((row, self._draw(st.binary(max_size=10))))
        return PutOutbox(tuple(rows))

    def update(self) -> StoreOp:
        unknown = (BOB, message_id(999))
        destination, chosen = self._draw(st.sampled_from([*self.ids, unknown]))
        state = self._draw(st.sampled_from(OutboxState))
        return UpdateOutbox(
            chosen,
            destination,
            state,
            ended_wall=self._draw(WALLS) if state.is_end else None,
            reason=self._draw(st.sampled_from(["", "so"])),
            attempts=self._draw(st.none() | st.integers(0, 9)),
        )

    def update_many(self) -> list[StoreOp]:
        begin = self._draw(st.integers(0, len(self.ids)))
        state, wall = self._draw(st.sampled_from(OutboxState)), self._draw(WALLS)
        return [
            UpdateOutbox(one, destination, state, wall if state.is_end else None, "", 1)
            for destination, one in self.ids[begin : begin + self._draw(st.integers(1, 6))]
        ]

    def end_many(self) -> StoreOp:
        destination = self._draw(st.sampled_from(NODES))
        ids = [one for to, one in self.ids if to == destination and self._draw(st.booleans())]
        state = self._draw(st.sampled_from([one for one in OutboxState if one.is_end]))
        reason = self._draw(st.sampled_from(["", "", "so"]))
        wall, attempts = self._draw(WALLS), self._draw(st.integers(0, 9))
        return EndOutbox(tuple(ids), destination, state, wall, reason, attempts)

    def put_inbox(self) -> StoreOp:
        rows = []
        sources = self._draw(st.sampled_from([(BOB,), (CAROL,), NODES]))
        wall, is_foreign = self._draw(WALLS), self._draw(st.booleans())
        for _ in range(self._draw(st.integers(1, 6))):
            self._arrived += 1
            self._unhandled.append(self._arrived)
            row = inbox_row(
                self._arrived,
                source=self._draw(st.sampled_from(sources)),
                epoch=self._draw(st.sampled_from(EPOCHS)),
                # The inbox takes no id of a published node twice while it is remembered.
                number=100 + self._arrived if is_foreign else self._draw(st.integers(1, 12)),
                arrived_wall=wall,
                is_foreign=is_foreign,
            )
            rows.append(row)
        return PutInbox(tuple(rows))

    def mark(self) -> StoreOp:
        handled = [s for s in self._unhandled if self._draw(st.booleans())]
        self._unhandled = [s for s in self._unhandled if s not in handled]
        return MarkHandled(tuple(handled))

    def floor(self) -> StoreOp:
        source = self._draw(st.sampled_from(NODES))
        epoch = self._draw(st.sampled_from(EPOCHS))
        return SetFloor(source, epoch, self._draw(st.integers(1, 12)), self._draw(WALLS))

    def forget(self) -> StoreOp:
        return ForgetEpochs(self._draw(WALLS), self._draw(WALLS))

    def prune(self) -> StoreOp:
        return PruneHistory(self._draw(WALLS))

    def shift(self) -> StoreOp:
        return ShiftClock(self._draw(st.floats(min_value=-50, max_value=50)))


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[list[StoreOp]], Ids]:
    """Batches, and the ids of all messages of ours in them."""
    maker = Maker(draw)
    batches = [maker.batch() for _ in range(draw(st.integers(0, 12)))]
    return batches, maker.ids


def settled(snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot without the order of what has none."""
    return {
        "outbox": snapshot.outbox,
        "epochs": set(snapshot.epochs),
        "unhandled": snapshot.unhandled,
        "sources": set(snapshot.sources),
        "foreign": set(snapshot.foreign),
        "next_sequence": snapshot.next_sequence,
    }


async def kept(
    folder: Path, batches: Sequence[Sequence[StoreOp]], ids: Ids, *, is_at_once: bool
) -> tuple[Snapshot, list[bytes | None]]:
    """What a second start finds, after batches one by one, or all at once."""
    store = SqliteStore(folder, DATA_KEY)
    await store.load()
    if is_at_once:
        await asyncio.gather(*(store.commit(batch) for batch in batches))
    else:
        for batch in batches:
            await store.commit(batch)
    await store.close()
    store = SqliteStore(folder, DATA_KEY)
    snapshot = await store.load()
    payloads = await store.payloads(ids)
    await store.close()
    return snapshot, payloads


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=histories(), is_at_once=st.booleans())
def test_database_and_twin_hold_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    history: tuple[list[list[StoreOp]], Ids],
    is_at_once: bool,
) -> None:
    batches, ids = history
    twin = MemoryStore()
    for batch in batches:
        twin.apply(batch)
    folder = tmp_path_factory.mktemp("store")
    snapshot, payloads = asyncio.run(kept(folder, batches, ids, is_at_once=is_at_once))
    assert settled(snapshot) == settled(twin.snapshot())
    assert payloads == twin.read(ids)

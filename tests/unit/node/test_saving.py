"""What many tasks accept is brought to disk together, and what fails fails alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from ironmesh.delivery.actions import Accepted
from ironmesh.delivery.records import PruneHistory, StoreOp
from ironmesh.errors import StoreError
from ironmesh.node.saving import MAX_BYTES, MAX_CALLS, Saver
from ironmesh.types import MessageId


class SlowStore:
    """Commits when it is let, and refuses the numbers that it was told to."""

    def __init__(self, refused: Sequence[int] = ()) -> None:
        self.commits: list[list[int]] = []
        self.may_commit = asyncio.Event()
        self.may_commit.set()
        self._refused = set(refused)

    async def commit(self, batch: Sequence[StoreOp]) -> None:
        numbers = [int(op.before_wall) for op in batch if isinstance(op, PruneHistory)]
        await self.may_commit.wait()
        if self._refused.intersection(numbers):
            raise StoreError("the disk is full")
        self.commits.append(numbers)


class Told:
    """A saver, and what it told."""

    def __init__(self, store: SlowStore) -> None:
        self.saved: list[int] = []
        self.failed: list[int] = []
        self.tasks: list[asyncio.Task[None]] = []
        self._saver = Saver(
            store,  # type: ignore[arg-type]
            lambda ids: self.saved.extend(map(int, ids)),
            lambda ids: self.failed.extend(map(int, ids)),
            self.tasks.append,
        )

    async def save(self, number: int, size_bytes: int = 1) -> None:
        message_id = MessageId(str(number).encode())
        accepted = Accepted((message_id,), (PruneHistory(float(number)),), size_bytes)
        await self._saver.save(accepted)


async def test_what_is_accepted_at_once_is_one_commit_in_the_order_of_the_calls() -> None:
    store = SlowStore()
    told = Told(store)
    await asyncio.gather(*(told.save(number) for number in range(10)))
    assert store.commits == [list(range(10))]
    assert told.saved == list(range(10))


async def test_what_gathers_during_a_commit_is_the_next_one() -> None:
    store = SlowStore()
    told = Told(store)
    store.may_commit.clear()
    first = asyncio.create_task(told.save(0))
    await asyncio.sleep(0.01)
    rest = [asyncio.create_task(told.save(number)) for number in (1, 2)]
    await asyncio.sleep(0.01)
    assert not first.done()
    store.may_commit.set()
    await asyncio.gather(first, *rest)
    assert store.commits == [[0], [1, 2]]


async def test_a_commit_is_bounded() -> None:
    store = SlowStore()
    told = Told(store)
    await asyncio.gather(*(told.save(number) for number in range(MAX_CALLS + 1)))
    assert [len(commit) for commit in store.commits] == [MAX_CALLS, 1]
    store.commits.clear()
    await asyncio.gather(*(told.save(number, MAX_BYTES) for number in range(3)))
    assert store.commits == [[0], [1], [2]]


async def test_one_that_cannot_be_stored_does_not_cost_the_others() -> None:
    store = SlowStore(refused=[1])
    told = Told(store)
    outcomes = await asyncio.gather(
        *(told.save(number) for number in range(3)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), StoreError, type(None)]
    assert store.commits == [[0], [2]]
    assert (told.saved, told.failed) == ([0, 2], [1])


async def test_who_stops_waiting_changes_nothing() -> None:
    store = SlowStore()
    told = Told(store)
    store.may_commit.clear()
    waiting = [asyncio.create_task(told.save(number)) for number in (0, 1)]
    await asyncio.sleep(0.01)
    waiting[0].cancel()
    store.may_commit.set()
    await waiting[1]
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
    assert told.saved == [0, 1]
    await asyncio.gather(*told.tasks)
    assert len(told.tasks) == 1

"""What many tasks accept is brought to disk together, and what fails fails alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from ironmesh.delivery.actions import Accepted, Draft
from ironmesh.delivery.records import PruneHistory, StoreOp
from ironmesh.errors import QueueFullError, StoreError
from ironmesh.node.saving import MAX_BYTES, MAX_CALLS, MAX_LATER, Saver
from ironmesh.types import MessageId, NodeId

BOB = NodeId("b" * 32)


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
    """A saver, and what it told. Drafts are numbers, which are their ids as well."""

    def __init__(self, store: SlowStore, too_many: int = -1) -> None:
        self.saved: list[int] = []
        self.later: list[int] = []
        self.failed: list[int] = []
        self._too_many = too_many
        self._saver = Saver(
            store,  # type: ignore[arg-type]
            self._accept,
            self._on_saved,
            lambda ids: self.failed.extend(map(int, ids)),
        )

    def _accept(self, drafts: Sequence[Draft]) -> Accepted:
        numbers = [int(draft.type) for draft in drafts]
        if self._too_many in numbers:
            raise QueueFullError("too much waits", "wait")
        ids = tuple(MessageId(str(number).encode()) for number in numbers)
        return Accepted(ids, tuple(PruneHistory(float(number)) for number in numbers))

    def _on_saved(self, ids: Sequence[MessageId], later: Sequence[MessageId]) -> None:
        self.saved += map(int, ids)
        self.later += map(int, later)

    async def save(self, number: int, size_bytes: int = 1) -> None:
        (message_id,) = await self._saver.save([Draft(BOB, str(number), bytes(size_bytes))])
        assert int(message_id) == number

    async def finish(self) -> None:
        await self._saver.finish()

    def save_later(self, number: int) -> None:
        self._saver.save_later([PruneHistory(float(number))], [MessageId(str(number).encode())])


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
    assert told.saved == [0, 2]
    assert told.failed == [0, 1, 2, 1]  # first together, then the one by itself


async def test_one_that_is_not_accepted_does_not_cost_the_others() -> None:
    store = SlowStore()
    told = Told(store, too_many=1)
    outcomes = await asyncio.gather(
        *(told.save(number) for number in range(3)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), QueueFullError, type(None)]
    assert store.commits == [[0, 2]]
    assert (told.saved, told.failed) == ([0, 2], [])


async def test_what_may_wait_is_part_of_the_next_commit() -> None:
    store = SlowStore()
    told = Told(store)
    told.save_later(7)
    told.save_later(8)
    await told.save(0)
    assert store.commits == [[0, 7, 8]]
    assert (told.saved, told.later) == ([0], [7, 8])


async def test_what_may_wait_does_not_wait_long() -> None:
    store = SlowStore()
    told = Told(store)
    told.save_later(7)
    async with asyncio.timeout(5):
        while not told.later:
            await asyncio.sleep(0.001)
    assert store.commits == [[7]]


async def test_no_more_waits_than_may() -> None:
    store = SlowStore()
    told = Told(store)
    for number in range(MAX_LATER):
        told.save_later(number)
    await told.finish()
    assert store.commits == [list(range(MAX_LATER))]


async def test_what_waited_for_a_commit_that_failed_is_told() -> None:
    store = SlowStore(refused=[0])
    told = Told(store)
    told.save_later(7)
    with pytest.raises(StoreError):
        await told.save(0)
    assert (told.saved, told.later, sorted(told.failed)) == ([], [], [0, 7])


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
    assert store.commits == [[0, 1]]


async def test_finishing_waits_for_all_that_was_to_be_saved() -> None:
    store = SlowStore()
    told = Told(store)
    store.may_commit.clear()
    first = asyncio.create_task(told.save(0))
    await asyncio.sleep(0.01)
    told.save_later(7)
    finishing = asyncio.create_task(told.finish())
    await asyncio.sleep(0.01)
    assert not finishing.done()
    store.may_commit.set()
    await finishing
    assert store.commits == [[0], [7]]
    await first

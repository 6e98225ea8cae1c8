"""The inbox in its shell: receipts and handlers, when the disk or the handlers lag behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from tests.support.nodes import eventually
from tests.support.slow_store import SlowStore
from tests.support.stores import ALICE, BOB, message_id

from ironmesh.delivery.inbox import Inbox, InboxLimits
from ironmesh.node.clock import SystemClock
from ironmesh.node.deliveries import Deliveries
from ironmesh.node.events import EventBus, MessageReceived
from ironmesh.node.mailroom import Mailroom
from ironmesh.node.supervisor import TaskSupervisor
from ironmesh.observe.counters import Counters
from ironmesh.types import Message, NodeId
from ironmesh.wire.receipts import Item, Receipt, Verdict, live_id, split_id

LIMIT = 8


class Room:
    """A mailroom with a store, a handler that waits when told to, and what peers were told."""

    def __init__(self, store: SlowStore, *, is_served: bool = False) -> None:
        counters = Counters()
        self.tasks = TaskSupervisor(counters)
        self.store = store
        self.told: list[Item] = []
        self.begun: list[MessageReceived] = []
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.mailroom = Mailroom(
            Inbox(InboxLimits(messages=LIMIT)),
            store,
            tell=self._tell,
            name_of=lambda *_: "bob",
            tasks=self.tasks,
            clock=SystemClock(),
            counters=counters,
            events=EventBus(self.tasks.guard_call),
        )
        if is_served:
            self.mailroom.serve(self._serve)
        else:
            self.mailroom.add_handler(self._handle)
        self.mailroom.start(store.snapshot(), SystemClock().now())

    def _tell(self, peer: NodeId, items: Sequence[Item]) -> None:
        assert peer == BOB
        self.told += items

    async def _handle(self, event: MessageReceived) -> None:
        self.begun.append(event)
        await self.may_end.wait()

    async def _serve(self, deliveries: Deliveries) -> None:
        while (event := deliveries.next()) is not None:
            await self._handle(event)

    async def take(self, *numbers: int, is_foreign: bool = False) -> None:
        messages = [Message(message_id(n), "MSG", b"x", BOB, ALICE) for n in numbers]
        if (lag := self.mailroom.take(BOB, messages, is_foreign=is_foreign)) is not None:
            await lag

    def numbers(self, verdict: Verdict) -> list[int]:
        """Return the numbers that the peer was told this of."""
        said = [one for one in self.told if isinstance(one, Receipt) and one.verdict is verdict]
        return sorted(split_id(one_id)[1] for one in said for one_id in one.ids)

    async def end(self) -> None:
        await self.mailroom.close()
        await self.tasks.close()


@pytest.fixture(params=[False, True], ids=["handlers", "server"])
async def room(request: pytest.FixtureRequest) -> AsyncIterator[Room]:
    made = Room(SlowStore(), is_served=request.param)
    yield made
    made.store.may_commit.set()
    await made.end()


async def test_while_handlers_lag_behind_links_are_read_and_receipts_wait(room: Room) -> None:
    room.may_end.clear()
    await room.take(*range(1, LIMIT + 1))
    await room.take(LIMIT + 1)
    await eventually(lambda: len(room.begun) == 1)
    await eventually(lambda: room.mailroom._committing is None)
    assert room.numbers(Verdict.ACCEPTED) == []
    await room.take(1)  # again, as nobody confirmed it
    assert room.numbers(Verdict.ACCEPTED) == []
    room.may_end.set()
    await eventually(lambda: len(room.begun) == LIMIT + 1)
    await eventually(lambda: room.numbers(Verdict.ACCEPTED) == [*range(1, LIMIT + 2)])


async def test_beyond_twice_the_limit_a_peer_is_told_to_wait(room: Room) -> None:
    room.may_end.clear()
    await room.take(*range(1, 2 * LIMIT + 4))
    assert room.numbers(Verdict.BUSY) == [2 * LIMIT + 1, 2 * LIMIT + 2, 2 * LIMIT + 3]


async def test_a_published_peer_waits_for_room(room: Room) -> None:
    room.may_end.clear()
    await room.take(*range(1, LIMIT), is_foreign=True)
    waiting = asyncio.ensure_future(room.take(LIMIT, is_foreign=True))
    await eventually(lambda: len(room.begun) == 1)
    assert not waiting.done()
    room.may_end.set()
    await waiting
    assert room.told == []


async def test_live_messages_wait_only_for_live_ones(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ironmesh.node.mailroom.MAX_LIVE", 2)
    room.may_end.clear()
    await room.take(*range(1, LIMIT))
    await eventually(lambda: len(room.begun) == 1)
    live = [Message(live_id(number), "MSG", b"x", BOB, ALICE) for number in range(3)]
    assert room.mailroom.take_live(BOB, live[:1]) is None
    lag = room.mailroom.take_live(BOB, live[1:])
    assert lag is not None
    rest = asyncio.ensure_future(lag)
    await asyncio.sleep(0)
    assert not rest.done()
    room.may_end.set()
    await rest
    await eventually(lambda: len(room.begun) == LIMIT + 2)


async def test_a_full_disk_pauses_receiving_and_loses_nothing(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ironmesh.delivery.inbox.STORE_PAUSE_S", 0.02)
    room.store.is_full = True
    await room.take(1, 2)
    await room.take(3)
    await eventually(lambda: room.mailroom._counters["store_errors"] >= 2)
    assert (room.told, room.begun) == ([], [])
    room.store.is_full = False
    await eventually(lambda: len(room.begun) == 3)
    assert room.numbers(Verdict.ACCEPTED) == [1, 2, 3]


async def test_a_handler_waits_until_its_start_can_be_noted(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ironmesh.node.mailroom.RETRY_S", 0.02)
    room.may_end.clear()
    await room.take(1, 2)
    await eventually(lambda: len(room.begun) == 1)
    room.store.is_full = True
    room.may_end.set()
    await eventually(lambda: room.mailroom._counters["store_errors"] >= 2)
    assert len(room.begun) == 1
    room.store.is_full = False
    await eventually(lambda: len(room.begun) == 2)


async def test_at_the_end_no_handler_begins_and_what_none_began_comes_unmarked(room: Room) -> None:
    room.may_end.clear()
    await room.take(1, 2, 3)
    await eventually(lambda: len(room.begun) == 1)
    room.mailroom.end_handlers()
    room.may_end.set()
    await eventually(lambda: 1 in room.store._completed)
    await room.take(4)
    await room.end()
    assert len(room.begun) == 1
    left = room.store.snapshot().unhandled
    assert [(split_id(row.message.id)[1], row.is_redelivered) for row in left] == [
        (2, False),
        (3, False),
        (4, False),
    ]


async def test_a_handler_that_the_end_interrupts_comes_again_marked(room: Room) -> None:
    room.may_end.clear()
    await room.take(1, 2)
    await eventually(lambda: len(room.begun) == 1)
    await room.end()
    left = room.store.snapshot().unhandled
    assert [row.is_redelivered for row in left] == [True, False]
    again = Room(room.store)
    await eventually(lambda: len(again.begun) == 2)
    assert [event.is_redelivered for event in again.begun] == [True, False]
    await again.end()


async def test_the_end_waits_for_a_commit_and_leaves_no_clockwork(room: Room) -> None:
    room.store.may_commit.clear()
    await room.take(1)
    ending = asyncio.ensure_future(room.mailroom.close())
    await asyncio.sleep(0.01)
    assert not ending.done()
    room.store.may_commit.set()
    await ending
    assert room.numbers(Verdict.ACCEPTED) == [1]
    await room.take(2)
    assert room.mailroom._timer is None
    assert room.mailroom._committing is None

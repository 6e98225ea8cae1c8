"""The outbox in its shell: who waits, who gives up, and what the end of a node waits for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from tests.support.nodes import eventually
from tests.support.slow_store import SlowStore
from tests.support.stores import ALICE, BOB, message_id

from ironmesh.delivery.actions import Draft
from ironmesh.delivery.outbox import Outbox
from ironmesh.delivery.records import OutboxState
from ironmesh.errors import NotRunningError, StoreFullError
from ironmesh.node.clock import SystemClock
from ironmesh.node.events import EventBus
from ironmesh.node.linktable import LinkTable
from ironmesh.node.outbound import LiveMessages
from ironmesh.node.outgoing import Outgoing
from ironmesh.node.supervisor import TaskSupervisor
from ironmesh.node.ways import Ways
from ironmesh.observe.counters import Counters
from ironmesh.types import Message, MessageId, NodeId
from ironmesh.wire.receipts import MAX_IDS, Receipt, Verdict, decode


class FakeLink:
    """Keeps what it is to carry."""

    is_usable = True
    can_confirm = True
    max_payload_bytes = 1024

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def enqueue(self, messages: list[Message], *, can_wait: bool = False) -> None:
        self.messages += messages


class Office:
    """An outgoing outbox with its store, and no link."""

    def __init__(self) -> None:
        clock, self.counters = SystemClock(), Counters()
        self.tasks = TaskSupervisor(self.counters)
        self.links = LinkTable(ALICE)
        self.store = SlowStore()
        self.outgoing = Outgoing(
            Outbox(ALICE, bytes),
            self.store,
            ways=Ways(self.links),
            make_live=LiveMessages(ALICE, clock, bytes).make,
            tasks=self.tasks,
            clock=clock,
            counters=self.counters,
            events=EventBus(self.tasks.guard_call),
            journal=cast("Any", None),
        )

    async def accept(self, *payloads: bytes, lifetime_s: float = 60.0) -> tuple[MessageId, ...]:
        drafts = [Draft(BOB, "MSG", payload, lifetime_s=lifetime_s) for payload in payloads]
        return await self.outgoing.accept(drafts)

    @property
    def states(self) -> list[OutboxState]:
        """On disk."""
        return [row.state for row in self.store.history()]


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    made = Office()
    yield made
    made.store.may_commit.set()
    await made.outgoing.close()
    await made.tasks.close()


async def test_who_stops_waiting_for_the_disk_has_sent_all_the_same(office: Office) -> None:
    office.store.may_commit.clear()
    sending = asyncio.ensure_future(office.accept(b"x"))
    await asyncio.sleep(0)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    office.store.may_commit.set()
    await eventually(lambda: office.counters["messages.accepted"] == 1)
    assert office.outgoing.count(BOB) == 1


async def test_what_the_disk_does_not_take_was_never_sent(office: Office) -> None:
    office.store.is_full = True
    with pytest.raises(StoreFullError):
        await office.accept(b"x")
    assert office.outgoing.count(BOB) == 0
    office.store.is_full = False
    await office.accept(b"y")
    assert office.outgoing.count(BOB) == 1


async def test_a_wait_that_was_given_up_leaves_nothing(office: Office) -> None:
    (one,) = await office.accept(b"x")
    patient = asyncio.ensure_future(office.outgoing.wait_end(one))
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await office.outgoing.wait_end(one)
    assert len(office.outgoing._waiters[one]) == 1
    office.outgoing.cancel([one])
    assert (await patient).state is OutboxState.CANCELLED
    assert office.outgoing._waiters == {}


async def test_a_cancelled_message_has_ended_once_that_is_on_disk(office: Office) -> None:
    (one,) = await office.accept(b"x")
    office.store.may_commit.clear()
    office.outgoing.cancel([one])
    waiting = asyncio.ensure_future(office.outgoing.wait_end(one))
    await asyncio.sleep(0.01)
    state = office.outgoing.ending(one)
    assert state is not None
    assert state.state is OutboxState.QUEUED
    office.store.may_commit.set()
    assert (await waiting).state is OutboxState.CANCELLED


async def test_the_end_of_the_node_waits_for_what_is_being_saved(office: Office) -> None:
    (one,) = await office.accept(b"x")
    office.store.may_commit.clear()
    office.outgoing.cancel([one])
    sending = asyncio.ensure_future(office.accept(b"y"))
    await asyncio.sleep(0)
    ending = asyncio.ensure_future(office.outgoing.close())
    await asyncio.sleep(0.01)
    assert not ending.done()
    office.store.may_commit.set()
    await ending
    assert office.states == [OutboxState.CANCELLED, OutboxState.QUEUED]
    assert await sending


async def test_after_the_end_everybody_is_told_by_name(office: Office) -> None:
    (one,) = await office.accept(b"x")
    waiting = asyncio.ensure_future(office.outgoing.wait_end(one))
    await asyncio.sleep(0)
    await office.outgoing.close()
    with pytest.raises(NotRunningError):
        await waiting
    with pytest.raises(NotRunningError):
        await office.outgoing.wait_end(one)
    with pytest.raises(NotRunningError):
        await office.accept(b"y")
    assert office.outgoing._timer is None


async def test_more_receipts_than_one_payload_holds_go_in_several(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = FakeLink()
    monkeypatch.setattr(office.links, "get", lambda peer: link if peer == BOB else None)
    ids = [message_id(number) for number in range(MAX_IDS + 5)]
    said = [
        Receipt(Verdict.ACCEPTED, tuple(ids[:MAX_IDS])),
        Receipt(Verdict.ACCEPTED, tuple(ids[MAX_IDS:])),
    ]
    office.outgoing.tell(BOB, said)
    office.outgoing.tell(NodeId("c" * 32), said)
    office.outgoing.tell(BOB, [])
    assert [item for message in link.messages for item in decode(message.payload)] == said

"""The promise of `docs/delivery.md` between two live nodes: bursts, absence, slow handlers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

import pytest
from tests.support.nodes import Live, Nodes, eventually

from ironmesh.delivery.inbox import InboxLimits
from ironmesh.delivery.records import OutboxState, StoreOp
from ironmesh.errors import NoPathError, StoreFullError
from ironmesh.node.events import MessageReceived
from ironmesh.types import MessageId, MessagePriority

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(autouse=True)
def longer_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of messages take a busy machine a while."""
    monkeypatch.setattr("tests.support.nodes.WAIT_S", 40.0)


def rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


async def send_all(
    sender: Live, target: str, count: int, *, width: int = 64, kind: str = "NORMAL"
) -> list[MessageId]:
    """Send the numbers below `count`, `width` at a time, in order; return their ids."""
    numbers = iter(range(count))
    ids: dict[int, MessageId] = {}

    async def send_some() -> None:
        for number in numbers:
            payload, priority = str(number).encode(), MessagePriority(kind)
            _, ids[number] = await sender.node.send(target, payload, priority=priority)

    await asyncio.gather(*(send_some() for _ in range(width)))
    return [ids[number] for number in range(count)]


def numbers(live: Live) -> list[int]:
    return [int(event.message.payload) for event in live.received]


# --- Absence and bursts --------------------------------------------------------------------------


async def test_what_waited_for_an_absent_peer_arrives_in_order_and_once(nodes: Nodes) -> None:
    alice, bob = await nodes.pair()
    await bob.node.stop()
    await send_all(alice, bob.known_id, 2000)
    bob = await nodes.again(bob)
    await alice.dial(bob)
    began = monotonic()
    await bob.has_received(2000)
    print(f"2,000 messages arrived {monotonic() - began:.2f} s after the session was up")
    assert numbers(bob) == list(range(2000))
    await eventually(lambda: alice.waiting(bob) == 0, "every receipt")


async def test_a_burst_arrives_with_bounded_memory_and_few_receipts(nodes: Nodes) -> None:
    alice, bob = await nodes.pair()
    link, back = alice.link(bob), bob.link(alice)
    assert link is not None
    assert back is not None
    before, most_queued = rss_bytes(), 0

    async def watch() -> None:
        nonlocal most_queued
        while True:
            most_queued = max(most_queued, link.queued)
            await asyncio.sleep(0.01)

    watching = asyncio.ensure_future(watch())
    await send_all(alice, bob.id, 10_000)
    await bob.has_received(10_000)
    await eventually(lambda: alice.waiting(bob) == 0, "every receipt")
    watching.cancel()
    grown = (rss_bytes() - before) / 2**20
    print(f"{back.traffic.messages_sent} answers to 10,000; {grown:.0f} MiB; {most_queued} queued")
    assert numbers(bob) == list(range(10_000))
    assert back.traffic.messages_sent < 2000
    assert most_queued < 2500
    assert grown < 100


# --- Live only -----------------------------------------------------------------------------------


async def test_a_message_that_is_not_kept_needs_a_path_and_leaves_no_trace(nodes: Nodes) -> None:
    alice, bob = await nodes.pair()
    await alice.node.send(bob.id, b"live", is_durable=False)
    await bob.has_received(1)
    assert await alice.node.store.history() == []  # type: ignore[attr-defined]
    assert await bob.node.store.history() == []  # type: ignore[attr-defined]
    await bob.node.stop()
    await alice.offline(bob.known_id)
    with pytest.raises(NoPathError, match="no session"):
        await alice.node.send(bob.known_id, b"live", is_durable=False)
    assert alice.waiting(bob) == 0
    bob = await nodes.again(bob)
    assert bob.received == []


# --- A full disk ---------------------------------------------------------------------------------


class FullDisk:
    """Takes the place of a store's `commit`; while it is full, nothing is committed."""

    def __init__(self, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = False
        self.refused = 0
        self._commit = live.node.store.commit
        monkeypatch.setattr(live.node.store, "commit", self.commit)

    async def commit(self, batch: Sequence[StoreOp]) -> None:
        if self.is_full:
            self.refused += 1
            raise StoreFullError("the disk is full", "make room")
        await self._commit(batch)


async def test_with_a_full_disk_send_says_so_and_works_again_when_there_is_room(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = await nodes.pair()
    disk = FullDisk(alice, monkeypatch)
    disk.is_full = True
    with pytest.raises(StoreFullError, match="the disk is full"):
        await alice.node.send(bob.id, b"1")
    assert alice.waiting(bob) == 0
    disk.is_full = False
    await alice.node.send(bob.id, b"2")
    assert await bob.has_received(1) == ["2"]


async def test_while_its_disk_is_full_a_peer_confirms_nothing_and_loses_nothing(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ironmesh.delivery.inbox.STORE_PAUSE_S", 0.2)
    alice, bob = await nodes.pair()
    disk = FullDisk(bob, monkeypatch)
    disk.is_full = True
    ids = await send_all(alice, bob.id, 50)
    await eventually(lambda: disk.refused >= 2, "two commits refused")
    assert bob.received == []
    assert alice.waiting(bob) == 50
    disk.is_full = False
    await bob.has_received(50)
    assert numbers(bob) == list(range(50))
    ending = await alice.node.outgoing.wait_end(ids[-1])
    assert ending.state is OutboxState.DELIVERED


# --- Flow ----------------------------------------------------------------------------------------


class SlowHandler:
    """A handler of a node that waits when told to."""

    def __init__(self, live: Live) -> None:
        self.may_end = asyncio.Event()
        live.node.on_message(self._take)

    async def _take(self, event: MessageReceived) -> None:
        await self.may_end.wait()


async def test_a_slow_handler_slows_its_sender_while_control_traffic_flows(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = await nodes.pair()
    inbox = bob.node._traffic().post.mailroom._inbox
    monkeypatch.setattr(inbox, "_limits", InboxLimits(messages=512))
    slow = SlowHandler(bob)
    await send_all(alice, bob.id, 2500)
    await eventually(lambda: inbox.backlog >= 512, "a backlog")
    link = alice.link(bob)
    assert link is not None
    await asyncio.sleep(0.3)  # whatever would still come had time to
    assert inbox.backlog <= 1024
    assert alice.waiting(bob) >= 2500 - 1024
    link.rtt_s = None
    link.ping()
    await eventually(lambda: link.rtt_s is not None, "a sign of life")
    _, back = await bob.node.send(alice.id, b"0")
    ending = await bob.node.outgoing.wait_end(back)
    assert ending.state is OutboxState.DELIVERED
    slow.may_end.set()
    await bob.has_received(2500)
    assert numbers(bob) == list(range(2500))
    await eventually(lambda: alice.waiting(bob) == 0, "every receipt")


async def test_a_critical_message_overtakes_what_is_less_urgent(nodes: Nodes) -> None:
    alice, bob = await nodes.pair()
    await bob.node.stop()
    await send_all(alice, bob.known_id, 500, kind="LOW")
    await alice.node.send(bob.known_id, b"1000", priority=MessagePriority.CRITICAL)
    bob = await nodes.again(bob)
    await alice.dial(bob)
    await bob.has_received(501)
    assert numbers(bob) == [1000, *range(500)]

"""Slow readers, slow handlers, and more messages than fit."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from contextlib import suppress

import pytest
from tests.support.nodes import Live, Nodes, PatientTransport, eventually
from tests.support.proxy import fault_proxy

from ironmesh.errors import IronMeshError, NoPathError
from ironmesh.node import sendqueue
from ironmesh.node.events import MessageReceived
from ironmesh.types import MessagePriority

HIGH_WATER_BYTES = 1_000_000


@pytest.fixture(autouse=True)
def low_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let queues be full sooner, so that less has to be sent."""
    monkeypatch.setattr(sendqueue, "HIGH_WATER_BYTES", HIGH_WATER_BYTES)


async def patient(nodes: Nodes, name: str) -> Live:
    return await nodes.start(name, transport=PatientTransport())


async def _flood(live: Live, to: str, payload: bytes) -> None:
    while True:
        await live.node.send(to, payload, is_durable=False)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, IronMeshError):
        await task


async def test_a_peer_that_does_not_read_slows_its_senders_and_nobody_else(nodes: Nodes) -> None:
    alice, bob, carol = [await patient(nodes, name) for name in ("alice", "bob", "carol")]
    async with fault_proxy(*bob.endpoint) as proxy:
        await alice.node.connect("127.0.0.1", proxy.port)
        await alice.dial(carol)
        proxy.to_server.stall()
        flood = asyncio.create_task(_flood(alice, "bob", bytes(50_000)))
        link = alice.link(bob)
        await eventually(lambda: link.is_full, "a full queue")
        gc.collect()
        tracemalloc.start()
        for number in range(100):
            await alice.node.send("carol", b"%d" % number)
        await carol.has_received(100)
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert not flood.done(), "the sender waits"
        assert link._writer.queue.size_bytes < HIGH_WATER_BYTES + 100_000
        assert grown < 2_000_000
        await _cancel(flood)
        proxy.to_server.resume()
        await eventually(lambda: link.queued == 0, "the queue written")


async def test_senders_go_on_when_the_peer_reads_again(nodes: Nodes) -> None:
    alice, bob = await patient(nodes, "alice"), await patient(nodes, "bob")
    async with fault_proxy(*bob.endpoint) as proxy:
        await alice.node.connect("127.0.0.1", proxy.port)
        proxy.to_server.stall()
        link = alice.link(bob)
        total = 0

        async def send_some() -> None:
            nonlocal total
            for _ in range(20):
                await alice.node.send("bob", bytes(40_000), is_durable=False)
                total += 1

        senders = asyncio.gather(*(send_some() for _ in range(8)))
        await eventually(lambda: link.is_full, "a full queue")
        assert link._writer.queue.size_bytes < HIGH_WATER_BYTES + 8 * 40_000, (
            "one each above the mark"
        )
        proxy.to_server.resume()
        await senders
        await bob.has_received(160)
        assert total == 160


async def test_whoever_waits_for_a_link_that_dies_is_told(nodes: Nodes) -> None:
    alice, bob = await patient(nodes, "alice"), await patient(nodes, "bob")
    async with fault_proxy(*bob.endpoint) as proxy:
        await alice.node.connect("127.0.0.1", proxy.port)
        proxy.to_server.stall()
        flood = asyncio.create_task(_flood(alice, "bob", bytes(100_000)))
        link = alice.link(bob)
        await eventually(lambda: link.is_full, "a full queue")
        proxy.refusing = True
        proxy.drop()
        with pytest.raises(NoPathError):
            async with asyncio.timeout(5):
                await flood


async def test_what_is_kept_does_not_fill_the_link_of_a_peer_that_does_not_read(
    nodes: Nodes,
) -> None:
    alice, bob, carol = [await patient(nodes, name) for name in ("alice", "bob", "carol")]
    async with fault_proxy(*bob.endpoint) as proxy:
        await alice.node.connect("127.0.0.1", proxy.port)
        await alice.dial(carol)
        proxy.to_server.stall()
        for _ in range(120):
            await alice.node.send("bob", bytes(50_000))
        assert alice.link(bob)._writer.queue.size_bytes < 5_000_000, "the outbox has a window"
        await alice.node.send("carol", b"unhindered")
        await carol.has_received(1)
        proxy.to_server.resume()
        await bob.has_received(120)


async def test_a_slow_handler_slows_no_session(nodes: Nodes) -> None:
    alice, bob, carol = [await patient(nodes, name) for name in ("alice", "bob", "carol")]
    go_on = asyncio.Event()

    async def think(event: MessageReceived) -> None:
        if event.source_name == "alice":
            await go_on.wait()

    bob.node.on_message(think)
    await alice.dial(bob)
    await carol.dial(bob)
    for _ in range(20):
        await alice.node.send("bob", b"slow")
    for _ in range(50):
        await carol.node.send("bob", b"quick")
    # All are taken and receipted while the first handler still thinks.
    await eventually(lambda: bob.node.counters["messages.received"] == 70, "all messages")
    await bob.node.send("alice", b"and bob can send")
    await alice.has_received(1)
    heard = bob.link(carol).last_heard_mono
    bob.link(carol).ping()
    await eventually(lambda: bob.link(carol).last_heard_mono > heard, "carol's pong")
    assert len(bob.received) < 70
    go_on.set()
    await bob.has_received(70)


async def test_a_handler_that_fails_costs_its_sender_nothing(
    nodes: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    alice, bob = await nodes.pair()

    async def fail(event: MessageReceived) -> None:
        raise ZeroDivisionError(event.message.payload)

    bob.node.on_message(fail)
    for _ in range(3):
        await alice.node.send("bob", b"x")
    await eventually(lambda: bob.node.counters["handler_errors"] == 3, "three errors")
    assert alice.link(bob).is_usable
    assert len(alice.flaps()) == 1
    assert "a message handler failed" in caplog.text


async def test_a_subscriber_that_fails_costs_nothing(nodes: Nodes) -> None:
    alice = nodes.make("alice")

    def fail(event: object) -> None:
        raise ZeroDivisionError(type(event))

    alice.node.subscribe(fail)
    await alice.node.start()
    bob = await nodes.start("bob")
    await alice.dial(bob)
    await bob.node.send("alice", b"x")
    await alice.has_received(1)
    assert alice.node.counters["handler_errors"] > 0


async def test_the_urgent_overtakes_what_waits(nodes: Nodes) -> None:
    alice, bob = await patient(nodes, "alice"), await patient(nodes, "bob")
    async with fault_proxy(*bob.endpoint) as proxy:
        await alice.node.connect("127.0.0.1", proxy.port)
        proxy.to_server.stall()
        flood = asyncio.create_task(_flood(alice, "bob", bytes(50_000)))
        link = alice.link(bob)
        await eventually(lambda: link.is_full, "a full queue")
        await _cancel(flood)
        behind = link.queued

        def payloads() -> list[bytes]:
            return [event.message.payload for event in bob.received]

        make = alice.node._traffic().post.outbound._live.make
        link.enqueue([make(bob.id, "MSG", b"urgent", MessagePriority.CRITICAL)])
        proxy.to_server.resume()
        await eventually(lambda: link.queued == 0, "the queue written")
        await eventually(lambda: b"urgent" in payloads(), "the urgent message")
        arrived_before = payloads().index(b"urgent")
        await eventually(lambda: len(bob.received) > arrived_before + behind // 2, "the others")

"""Clocks that are set or that jump by hours: nothing between two nodes is decided by them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.nodes import Live, MemoryTransport, MovableClock, Nodes

from ironmesh.delivery.records import OutboxState
from ironmesh.node.events import PeerOffline, PeerOnline, PeerRefused

Place = Callable[[], MemoryTransport]
HOUR_S = 3600.0
WALL = [5 * HOUR_S, -5 * HOUR_S, 9000 * HOUR_S, -9000 * HOUR_S]


async def talk(live: Live, other: Live, text: str) -> None:
    """Send a message, and see it arrive and be confirmed."""
    count = len(other.received)
    _, message_id = await live.node.send(other.name, text.encode())
    assert (await other.has_received(count + 1))[count:] == [text]
    ending = await live.node.outgoing.wait_end(message_id)
    assert ending.state is OutboxState.DELIVERED


async def two(nodes: Nodes, place: Place, **settings: Any) -> tuple[Live, Live, MovableClock]:
    """Return two nodes, and the clock of the second one."""
    clock = MovableClock()
    alice = await nodes.start("alice", transport=place(), **settings)
    return alice, await nodes.start("bob", transport=place(), clock=clock, **settings), clock


@pytest.mark.parametrize("ahead_s", WALL)
async def test_nodes_whose_wall_clocks_differ_by_hours_meet_and_talk(
    nodes: Nodes, place: Place, ahead_s: float
) -> None:
    alice, bob, clock = await two(nodes, place)
    clock.set_wall(ahead_s)
    await alice.dial(bob)
    await talk(alice, bob, "there")
    await talk(bob, alice, "and back")
    assert alice.seen.of(PeerRefused) == bob.seen.of(PeerRefused) == []


@pytest.mark.parametrize("ahead_s", WALL)
async def test_a_wall_clock_that_jumps_by_hours_ends_no_session_and_loses_nothing(
    nodes: Nodes, place: Place, ahead_s: float
) -> None:
    alice, bob, clock = await two(nodes, place)
    link = await alice.dial(bob)
    await talk(alice, bob, "before")
    for step_s in (ahead_s, 0.0):
        clock.set_wall(step_s)
        await talk(alice, bob, "there")
        await talk(bob, alice, "and back")
        assert link.rekey()
        await talk(alice, bob, "with new keys")
    assert alice.link(bob) is link
    assert [live.seen.of(PeerOffline) for live in (alice, bob)] == [[], []]


@pytest.mark.parametrize("hours", [1, 9, 25])
async def test_a_monotonic_clock_that_jumps_by_hours_loses_nothing(
    nodes: Nodes, place: Place, hours: int
) -> None:
    """As after a sleep during which it went on: the session may end, and comes back by itself."""
    alice, bob, clock = await two(nodes, place)
    await alice.dial(bob)
    await talk(bob, alice, "before")
    clock.advance(hours * HOUR_S)
    texts = [f"{number}" for number in range(20)]
    await asyncio.gather(*(bob.node.send("alice", text.encode()) for text in texts))
    await alice.has_received(1 + len(texts))
    assert sorted(alice.texts) == sorted(["before", *texts])
    assert {event.node_id for event in alice.seen.of(PeerOnline)} == {bob.id}
    await talk(alice, bob, "and back")

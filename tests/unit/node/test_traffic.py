"""What talks to peers and carries messages is made for the first of either, and not before."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.announcements import Announcements
from tests.support.nodes import Live, MemoryTransport, Nodes, eventually

from ironmesh.errors import NotRunningError
from ironmesh.node.events import Notice

Place = Callable[[], MemoryTransport]


def has_traffic(live: Live) -> bool:
    return live.node._traffic_entry.traffic is not None


async def test_a_node_alone_has_none_and_answers_all_the_same(nodes: Nodes, place: Place) -> None:
    alice = await nodes.start("alice", transport=place(), capabilities=("llm:llama3",))
    assert list(alice.node.links.online()) == []
    assert alice.node.mesh is None
    assert alice.node.published_routes == []
    assert alice.node.capabilities.find("*") == [(alice.id, "llm:llama3")]
    assert not has_traffic(alice)


async def test_who_dials_and_who_is_dialled_have_it(nodes: Nodes, place: Place) -> None:
    alice = await nodes.start("alice", transport=place())
    bob = await nodes.start("bob", transport=place())
    await alice.dial(bob)
    assert has_traffic(alice)
    assert has_traffic(bob)


async def test_only_a_found_node_that_is_dialled_makes_it(nodes: Nodes, place: Place) -> None:
    bob = await nodes.start("bob", transport=place())
    for name, is_open in (("alice", False), ("carol", True)):
        announcements = Announcements()
        live = await nodes.start(
            name, transport=place(), discovery=announcements, open_discovery=is_open
        )
        announcements.announce("bob", bob.endpoint)
        announcements.withdraw("bob")
        assert has_traffic(live) is is_open
        told = [event for event in live.seen.of(Notice) if event.text.startswith("found a node")]
        assert bool(told) is not is_open


async def test_what_waits_on_disk_makes_it_at_the_start(nodes: Nodes, place: Place) -> None:
    bob = await nodes.start("bob", transport=place())
    alice = await nodes.start("alice", transport=place())
    await alice.node.send(bob.id, b"later")
    assert has_traffic(alice)
    alice = await nodes.again(alice)
    assert has_traffic(alice)
    assert alice.waiting(bob) == 1
    await alice.dial(bob)
    assert await bob.has_received(1) == ["later"]
    await eventually(lambda: alice.waiting(bob) == 0)
    assert not has_traffic(await nodes.again(alice))


async def test_what_was_remembered_before_a_start_counts_when_it_is_made_later(
    nodes: Nodes, place: Place
) -> None:
    alice, bob = (
        await nodes.start("alice", transport=place()),
        await nodes.start("bob", transport=place()),
    )
    await alice.dial(bob)
    await alice.node.send(bob.id, b"first")
    await bob.has_received(1)
    await eventually(lambda: alice.waiting(bob) == 0)
    bob = await nodes.again(bob)
    assert not has_traffic(bob)
    await alice.online(bob)
    await alice.node.send(bob.id, b"second")
    assert await bob.has_received(1) == ["second"]


async def test_a_node_that_stops_makes_none_any_more(nodes: Nodes, place: Place) -> None:
    announcements = Announcements()
    alice = await nodes.start(
        "alice", transport=place(), discovery=announcements, open_discovery=True
    )
    bob = await nodes.start("bob", transport=place())
    found, entry = announcements.found, alice.node._traffic_entry
    await alice.node.stop()
    announcements.found = found
    announcements.announce("bob", bob.endpoint)
    assert not entry.admit("127.0.0.1")
    with pytest.raises(NotRunningError):
        entry.made()
    with pytest.raises(NotRunningError):
        alice.node.send(bob.id, b"too late")
    assert not has_traffic(alice)

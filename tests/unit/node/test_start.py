"""The order in which a node starts, and what a find of discovery leads to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.support.announcements import Announcements
from tests.support.leftovers import Leftovers
from tests.support.nodes import MemoryTransport, Nodes

from ironmesh.node.events import NodeListening, Notice, PeerOnline
from ironmesh.types import Endpoint, Refusal

Place = Callable[[], MemoryTransport]


class LateAnnouncements(Announcements):
    """Discovery that never gets anywhere: as on a network where multicast is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.searching: asyncio.Task[object] | None = None
        self.seen: list[str] = []

    def start(self, *arguments: object) -> None:
        super().start(*arguments)  # type: ignore[arg-type]
        self.seen.append("discovery began")
        self.searching = asyncio.get_running_loop().create_task(asyncio.Event().wait())

    async def stop(self) -> None:
        await super().stop()
        if self.searching is not None:
            self.searching.cancel()
            await asyncio.wait([self.searching])


async def test_a_node_is_up_before_discovery_begins_and_does_not_wait_for_it(
    nodes: Nodes, place: Place
) -> None:
    late = LateAnnouncements()
    alice = nodes.make("alice", transport=place(), discovery=late)
    alice.node.subscribe(
        lambda event: late.seen.append("listening") if isinstance(event, NodeListening) else None
    )
    await alice.node.start()
    assert late.seen == ["listening", "discovery began"]
    assert late.searching is not None
    assert not late.searching.done(), "and still it is up:"
    bob = await nodes.start("bob", transport=place())
    await bob.dial(alice)


async def test_a_stop_ends_discovery_and_leaves_nothing(nodes: Nodes, place: Place) -> None:
    before = await Leftovers.now()
    late = LateAnnouncements()
    alice = await nodes.start("alice", transport=place(), discovery=late)
    await alice.node.stop()
    after = await Leftovers.now()
    assert (after.tasks, after.files) == (before.tasks, before.files)


async def test_without_a_list_who_is_found_is_not_dialled_and_the_flag_is_told(
    nodes: Nodes, place: Place
) -> None:
    announcements, transport = Announcements(), place()
    alice = await nodes.start("alice", transport=transport, discovery=announcements)
    bob = await nodes.start("bob", transport=place())
    announcements.announce("bob", bob.endpoint)
    announcements.announce("bob", Endpoint("127.0.0.1", 1))
    await asyncio.sleep(0.05)
    assert transport.dials == []
    told = [event.text for event in alice.seen.of(Notice)]
    assert sum("default-deny" in text for text in told) == 1
    [found] = [text for text in told if text.startswith("found a node of this mesh at")]
    assert "--allowed-peers NAME" in found


async def test_who_proves_a_name_that_is_not_listed_is_not_dialled_again(
    nodes: Nodes, place: Place
) -> None:
    announcements, transport = Announcements(), place()
    alice = await nodes.start(
        "alice", transport=transport, discovery=announcements, allowed_peers=frozenset({"carol"})
    )
    bob = await nodes.start("bob", transport=place())
    carol = await nodes.start("carol", transport=place())
    announcements.announce("bob", bob.endpoint)
    await alice.refused(Refusal.NOT_ALLOWED)
    announcements.announce("bob", bob.endpoint, Endpoint("127.0.0.1", 1))
    announcements.announce("carol", carol.endpoint)
    await alice.online(carol)
    assert transport.dials == [bob.endpoint, carol.endpoint]
    assert bob.seen.of(PeerOnline) == []

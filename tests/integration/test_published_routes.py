"""Nodes of the 0.8 wire that are several hops away, as operators see them."""

from __future__ import annotations

from tests.support import legacy
from tests.support.hostile_relay import hostile_relay
from tests.support.nodes import LEGACY, Live, Nodes, PatientTransport, eventually

from ironmesh.control.mesh import MeshOffice

CAROL = legacy.identity("carol")
PLAIN = {"transport": PatientTransport()}


async def test_routes_show_who_is_reached_over_published_relays_and_bridges(nodes: Nodes) -> None:
    alice = await nodes.start("alice", **PLAIN)
    bridge = await nodes.start("bridge", **PLAIN, **LEGACY)
    await alice.dial(bridge)
    async with hostile_relay(bridge) as relay:
        await relay.announce(CAROL.node_id)
        here, there = MeshOffice(bridge.node), MeshOffice(alice.node)
        await eventually(lambda: any(view.wire == "legacy" for view in here.routes()))
        (over_relay,) = [view for view in here.routes() if view.wire == "legacy"]
        assert (over_relay.node_id, over_relay.hops) == (CAROL.node_id, 2)
        assert over_relay.next_hop.node_id == relay.node_id
        await eventually(lambda: any(view.wire == "legacy" for view in there.routes()))
        (behind,) = [view for view in there.routes() if view.wire == "legacy"]
        assert (behind.node_id, behind.name, behind.hops) == (relay.node_id, "mallory", 2)
        assert behind.next_hop.node_id == bridge.id
        assert [view.wire for view in there.routes() if view.hops == 1] == ["native"]


async def test_a_direct_session_takes_over_from_a_tunnel_and_never_the_reverse(
    nodes: Nodes,
) -> None:
    alice = await nodes.start("alice", **PLAIN, **LEGACY)
    bob = await nodes.start("bob", **PLAIN, **LEGACY)
    async with hostile_relay(alice, bob) as relay:
        await relay.announce()
        await alice.online(bob)
        await bob.online(alice)
        assert transports(alice, bob) == {"tunnel"}
        await alice.node.connect(*bob.endpoint)
        await eventually(lambda: transports(alice, bob) == {"websocket"})
        for number in range(20):
            await alice.node.send(bob.id, f"{number}".encode())
        assert await bob.has_received(20) == [str(number) for number in range(20)]
        await relay.announce()
        opened = sum(live.node.counters["tunnel.opened"] for live in (alice, bob))
        await alice.node.send(bob.id, b"still direct")
        await bob.has_received(21)
        assert sum(live.node.counters["tunnel.opened"] for live in (alice, bob)) == opened == 1
        assert transports(alice, bob) == {"websocket"}


def transports(one: Live, other: Live) -> set[str]:
    """Return what carries messages between two nodes, as each of them sees it."""
    links = [one.node.links.get(other.id), other.node.links.get(one.id)]
    return {link.connection_info.transport for link in links if link is not None}

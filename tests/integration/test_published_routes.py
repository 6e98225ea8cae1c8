"""Nodes of the 0.8 wire that are several hops away, as operators see them."""

from __future__ import annotations

from tests.support import legacy
from tests.support.hostile_relay import hostile_relay
from tests.support.nodes import LEGACY, Nodes, PatientTransport, eventually

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

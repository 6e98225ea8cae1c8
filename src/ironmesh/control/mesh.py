"""What the operator asks about the mesh of a running node."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from ironmesh.control.api import PeerView
from ironmesh.control.mesh_views import (
    CapabilityView,
    HopView,
    MapEdge,
    MapNode,
    MapView,
    NextHopView,
    RouteView,
    TraceView,
)
from ironmesh.errors import NoPathError, UnknownPeerError
from ironmesh.node.node import Node
from ironmesh.types import NodeId, WireKind
from ironmesh.wire.native.constants import PROTOCOL_VERSION
from ironmesh.wire.native.relaying import Outcome

if TYPE_CHECKING:
    from ironmesh.mesh.routing.values import NextHop
    from ironmesh.node.mesh.published_route import PublishedRoute
    from ironmesh.node.mesh.service import Mesh
    from ironmesh.node.mesh.tracer import TracedHop

MAP_TRACE_S: Final = 3.0
MAP_LIMIT_S: Final = 20.0
MAP_AT_ONCE: Final = 8


class MeshOffice:
    """The routes of one node, for people.

    Args:
        node: the node; it need not run yet.
    """

    def __init__(self, node: Node) -> None:
        self._node = node

    # --- Names -------------------------------------------------------------------------------

    def name_of(self, node_id: NodeId) -> str:
        """Return how a node is called: its pinned name, else the one that it gives itself."""
        if node_id == self._node.node_id:
            return self._node.config.name
        link = self._node.links.get(node_id)
        if link is not None:
            return link.info.peer_name
        try:
            return self._node.trust.get(node_id).name
        except UnknownPeerError:
            mesh = self._node.mesh
            return "" if mesh is None else mesh.name_of(node_id)

    def trust_of(self, node_id: NodeId) -> str:
        """Return the state of a pin, or `revoked` or `unknown`."""
        try:
            return self._node.trust.get(node_id).state.value
        except UnknownPeerError:
            return "revoked" if self._node.trust.is_revoked(node_id) else "unknown"

    # --- Routes ------------------------------------------------------------------------------

    def routes(self) -> list[RouteView]:
        """Return how every node is reached, the nearest first; nothing where the mesh is off."""
        published = map(self._published_route, self._node.published_routes)
        return _in_order([*self._native_routes(), *published])

    def _native_routes(self) -> list[RouteView]:
        mesh = self._node.mesh
        if mesh is None:
            return []
        views = [self._route(mesh, node_id) for node_id in mesh.native_destinations()]
        return _in_order([view for view in views if view is not None])

    def _published_route(self, route: PublishedRoute) -> RouteView:
        by = NextHopView(
            node_id=route.next_hop,
            name=self.name_of(route.next_hop),
            metric=0,
            hops=route.hops,
            is_radio=False,
        )
        return RouteView(
            node_id=route.destination,
            name=self.name_of(route.destination) or route.name,
            hops=route.hops,
            metric=0,
            is_radio=False,
            next_hop=by,
            backups=(),
            trust=self.trust_of(route.destination),
            wire=WireKind.LEGACY.value,
        )

    def _route(self, mesh: Mesh, node_id: NodeId) -> RouteView | None:
        route = mesh.route(node_id)
        if route is None or not route.next_hops:
            return None
        first, *others = map(self._next_hop, route.next_hops)
        return RouteView(
            node_id=node_id,
            name=self.name_of(node_id),
            hops=route.hops,
            metric=route.metric,
            is_radio=route.is_radio,
            next_hop=first,
            backups=tuple(others),
            trust=self.trust_of(node_id),
        )

    def _next_hop(self, hop: NextHop) -> NextHopView:
        return NextHopView(
            node_id=hop.peer,
            name=self.name_of(hop.peer),
            metric=hop.metric,
            hops=hop.hops,
            is_radio=hop.is_radio,
        )

    def peers(self) -> list[PeerView]:
        """Return the nodes that can be reached over others and have no session with this one."""
        return [
            PeerView(
                node_id=view.node_id,
                name=view.name,
                is_online=True,
                transport="mesh",
                address="",
                direction="",
                hops=view.hops,
                via=view.next_hop.node_id,
                is_encrypted=True,
                wire=WireKind.NATIVE.value,
                is_ours=True,
                protocol_version=PROTOCOL_VERSION,
                trust=view.trust,
                is_verified=False,
            )
            for view in self._native_routes()
            if not self._node.links.is_online(view.node_id)
        ]

    # --- Traces ------------------------------------------------------------------------------

    async def trace(self, target: str, timeout_s: float) -> TraceView:
        """Ask every node on the way to a node to say that it is on it.

        Raises:
            UnknownPeerError: nobody of this name is known.
            NoPathError: no route leads there.
        """
        node_id = self._node.resolve(target)
        mesh = self._node.mesh
        if mesh is None or mesh.route(node_id) is None:
            raise NoPathError(f"no route leads to {target!r}", "see: ironmesh routes")
        hops = await mesh.trace(node_id, timeout_s)
        return TraceView(
            node_id=node_id,
            name=self.name_of(node_id),
            has_arrived=_has_arrived(hops),
            hops=tuple(map(self._hop, hops)),
        )

    def _hop(self, hop: TracedHop) -> HopView:
        return HopView(
            hop=hop.hop,
            node_id=hop.node_id,
            name=self.name_of(hop.node_id),
            rtt_ms=round(hop.rtt_s * 1000, 3),
            outcome=hop.outcome.name.lower(),
        )

    # --- Capabilities ------------------------------------------------------------------------

    def capabilities(self, pattern: str) -> list[CapabilityView]:
        """Return what this node and others can do, by capability and name."""
        views = [
            CapabilityView(
                capability=capability,
                node_id=node_id,
                name=self.name_of(node_id),
                hops=self._hops(node_id),
            )
            for node_id, capability in self._node.capabilities.find(pattern)
        ]
        return sorted(views, key=lambda view: (view.capability, view.name, view.node_id))

    def _hops(self, node_id: NodeId) -> int | None:
        if node_id == self._node.node_id:
            return 0
        if self._node.links.is_online(node_id):
            return 1
        mesh = self._node.mesh
        return None if mesh is None else mesh.native_hops(node_id)

    # --- The map -----------------------------------------------------------------------------

    async def map(self) -> MapView:
        """Return every node and one way to each; asks those on the way who they are."""
        routes = self._native_routes()
        own = MapNode(node_id=self._node.node_id, name=self._node.config.name, hops=0)
        nodes = [MapNode(node_id=view.node_id, name=view.name, hops=view.hops) for view in routes]
        above = await self._parents(routes)
        known = {own.node_id, *(node.node_id for node in nodes)}
        edges = [
            MapEdge(near=near, far=far, is_known=is_known)
            for far, (near, is_known) in above.items()
            if {near, far} <= known
        ]
        return MapView(nodes=(own, *nodes), edges=tuple(edges))

    async def _parents(self, routes: list[RouteView]) -> dict[NodeId, tuple[NodeId, bool]]:
        """Return the node before each node on the way to it, and whether that is known."""
        own_id, mesh = self._node.node_id, self._node.mesh
        above: dict[NodeId, tuple[NodeId, bool]] = {}
        for view in routes:
            near = own_id if view.hops == 1 else view.next_hop.node_id
            above[view.node_id] = (near, view.hops <= 2)
        # Who is farthest is asked first: those on the way there need not be asked any more.
        far = [view.node_id for view in reversed(routes) if view.hops > 2]
        if mesh is None or not far:
            return above
        at_once = asyncio.Semaphore(MAP_AT_ONCE)

        async def ask(node_id: NodeId) -> None:
            async with at_once:
                if not above[node_id][1]:
                    hops = await mesh.trace(node_id, MAP_TRACE_S)
                    way = [own_id, *(hop.node_id for hop in hops)]
                    for hop in hops:
                        if hop.node_id in above and hop.hop < len(way):
                            above[hop.node_id] = (way[hop.hop - 1], True)

        try:
            async with asyncio.timeout(MAP_LIMIT_S), asyncio.TaskGroup() as group:
                for node_id in far:
                    group.create_task(ask(node_id))
        except TimeoutError:
            pass
        return above


def _in_order(views: list[RouteView]) -> list[RouteView]:
    return sorted(views, key=lambda view: (view.hops, view.name, view.node_id))


def _has_arrived(hops: list[TracedHop]) -> bool:
    return bool(hops) and hops[-1].outcome is Outcome.ARRIVED

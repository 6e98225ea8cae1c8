"""Everything of a node that deals with published meshes, put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ironmesh.config import LegacyMode, NodeConfig
from ironmesh.crypto.identity import Identity
from ironmesh.node.clock import Clock
from ironmesh.node.link import Link
from ironmesh.node.linktable import LinkTable
from ironmesh.node.mesh.bridge import Bridge, Tokens
from ironmesh.node.mesh.legacy import LegacyMesh
from ironmesh.node.mesh.legacy_keys import LegacyKeys
from ironmesh.node.mesh.legacy_news import LegacyNews
from ironmesh.node.mesh.legacy_ways import LegacyWays
from ironmesh.node.mesh.published_route import PublishedRoute
from ironmesh.node.mesh.reach import NativeReach, NativeRoutes
from ironmesh.node.outgoing import MakeLive, Outgoing
from ironmesh.node.refusals import RefusalDesk
from ironmesh.node.supervisor import TaskSupervisor
from ironmesh.node.ways import Way, Ways
from ironmesh.observe.counters import Counters
from ironmesh.trust.store import TrustStore
from ironmesh.types import MeshMode, Message, MessageType, NodeId
from ironmesh.wire.legacy.constants import TUNNEL_TYPE
from ironmesh.wire.legacy.transit import Transit

_FOR_THIS_PART = frozenset({MessageType.ROUTE_ANNOUNCE, MessageType.ROUTE_UNREACHABLE, TUNNEL_TYPE})


class TunnelKeeper(Protocol):
    """Reaches nodes of ours through published relays; see `Tunnels`."""

    async def run(self) -> None:
        """Dial until the node stops."""
        ...

    def route_changed(self, destination: NodeId) -> None:
        """A published route is new, other or gone."""
        ...

    def unreachable(self, destination: NodeId) -> None:
        """A relay says that it has no route."""
        ...

    def link_down(self, neighbour: NodeId) -> None:
        """A neighbour is gone."""
        ...

    def received(self, link: Link, message: Message) -> None:
        """A frame of a tunnel arrived."""
        ...


class LegacySide:
    """The published meshes around a node: their routes, and what goes over them."""

    def __init__(
        self,
        config: NodeConfig,
        identity: Identity,
        *,
        links: LinkTable,
        trust: TrustStore,
        outgoing: Outgoing,
        ways: Ways,
        make_live: MakeLive,
        tokens: Tokens,
        finish: Callable[[int], None],
        refusals: RefusalDesk,
        counters: Counters,
        clock: Clock,
        tasks: TaskSupervisor,
    ) -> None:
        self._tasks = tasks
        self._outgoing = outgoing
        self._tunnels: TunnelKeeper | None = None
        self._counters = counters
        self._is_on = config.legacy is not LegacyMode.OFF
        self.reach = NativeReach(links)
        self.keys = LegacyKeys(trust)
        self.mesh = LegacyMesh(
            identity.node_id,
            config.mesh_routing,
            links=links,
            reach=self.reach,
            make_live=make_live,
            refusals=refusals,
            counters=counters,
            clock=clock,
            on_change=self._route_changed,
            on_unreachable=self._unreachable,
            interval_s=config.route_announce_interval_s,
            route_life_s=config.route_ttl_s,
        )
        self.ways = LegacyWays(
            identity,
            self.mesh,
            links=links,
            reach=self.reach,
            keys=self.keys,
            allows_plain=config.allow_plain_relay,
            max_hops=config.max_hops,
        )
        self.bridge = Bridge(
            identity,
            config.mesh_routing if self._is_on else MeshMode.PASSIVE,
            self.mesh,
            links=links,
            reach=self.reach,
            keys=self.keys,
            ways=ways,
            outgoing=outgoing,
            tokens=tokens,
            refusals=refusals,
            counters=counters,
            tasks=tasks,
            finish=finish,
            max_hops=config.max_hops,
        )
        self._news: LegacyNews | None = None
        if self._is_on and config.mesh_routing is MeshMode.RELAY:
            self._news = LegacyNews(
                identity.node_id, links=links, tokens=tokens, make_live=make_live, clock=clock
            )
        self.mesh.use(self.bridge)

    def use(self, tunnels: TunnelKeeper) -> None:
        """Reach nodes of ours through published relays."""
        self._tunnels = tunnels

    def use_routes(self, routes: NativeRoutes) -> None:
        """Announce whoever these routes of our own wire lead to."""
        self.reach.use(routes)
        if self._is_on:
            routes.on_routes_changed(lambda _: self.mesh.routes_changed())

    def start(self) -> None:
        """Begin to announce, and to dial through relays."""
        self._tasks.spawn(self.bridge.run(), name="bridges")
        if not self._is_on:
            return
        self._tasks.spawn(self.mesh.run(), name="0.8 mesh")
        if self._news is not None:
            self._tasks.spawn(self._news.run(), name="0.8 capabilities")
        if self._tunnels is not None:
            self._tasks.spawn(self._tunnels.run(), name="tunnels")

    def _route_changed(self, destination: NodeId) -> None:
        self._outgoing.way_changed(destination)
        if self._tunnels is not None:
            self._tunnels.route_changed(destination)

    def _unreachable(self, destination: NodeId) -> None:
        if self._tunnels is not None:
            self._tunnels.unreachable(destination)

    def link_up(self, link: Link) -> None:
        """A session with a peer is up, on whichever wire."""
        if self._is_on:
            self.mesh.link_up(link)
            self.bridge.link_up(link)

    def link_down(self, peer: NodeId) -> None:
        """The last session with a peer ended."""
        if self._is_on:
            self.mesh.link_down(peer)
            self.bridge.link_down(peer)
            if self._news is not None:
                self._news.link_down(peer)
            if self._tunnels is not None:
                self._tunnels.link_down(peer)

    def find(self, destination: NodeId) -> Way | None:
        """Return the way to a node of the 0.8 wire: over published relays, else over a bridge."""
        way = self.ways.find(destination)
        return way if way is not None and way.is_usable else self.bridge.find(destination)

    def check(self, destination: NodeId) -> None:
        """Accept a destination; see `LegacyWays.check`."""
        if self._is_on and self.bridge.find(destination) is None:
            self.ways.check(destination)

    def routes(self) -> list[PublishedRoute]:
        """Return the nodes of the 0.8 wire that are reached over others, in no order."""
        if not self._is_on:
            return self.bridge.routes()
        over_relays = self.mesh.routes()
        known = {route.destination for route in over_relays}
        return over_relays + [one for one in self.bridge.routes() if one.destination not in known]

    def wants(self, message: Message) -> bool:
        """Tell whether a message of a published neighbour is for this part."""
        return message.type in _FOR_THIS_PART or isinstance(message, Transit)

    async def take(self, link: Link, message: Message) -> None:
        """Take such a message."""
        if isinstance(message, Transit):
            await self.mesh.take_transit(link, message)
        elif message.type == TUNNEL_TYPE:
            if self._tunnels is not None:
                self._tunnels.received(link, message)
        else:
            self.mesh.received(link, message)

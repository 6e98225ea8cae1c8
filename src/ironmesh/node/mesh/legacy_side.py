"""Everything of a node that deals with published meshes, put together."""

from __future__ import annotations

from ironmesh.config import LegacyMode, NodeConfig
from ironmesh.crypto.identity import Identity
from ironmesh.node.clock import Clock
from ironmesh.node.link import Link
from ironmesh.node.linktable import LinkTable
from ironmesh.node.mesh.legacy import LegacyMesh
from ironmesh.node.mesh.legacy_keys import LegacyKeys
from ironmesh.node.mesh.legacy_ways import LegacyWays
from ironmesh.node.mesh.reach import NativeReach
from ironmesh.node.outgoing import MakeLive, Outgoing
from ironmesh.node.refusals import RefusalDesk
from ironmesh.node.supervisor import TaskSupervisor
from ironmesh.node.ways import Ways
from ironmesh.observe.counters import Counters
from ironmesh.trust.store import TrustStore
from ironmesh.types import Message, MessageType, NodeId
from ironmesh.wire.legacy.transit import Transit

_OF_THE_MESH = frozenset({MessageType.ROUTE_ANNOUNCE, MessageType.ROUTE_UNREACHABLE})


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
        refusals: RefusalDesk,
        counters: Counters,
        clock: Clock,
        tasks: TaskSupervisor,
    ) -> None:
        self._tasks = tasks
        self._counters = counters
        self._is_on = config.legacy is not LegacyMode.OFF
        self.reach = NativeReach(links)
        self.mesh = LegacyMesh(
            identity.node_id,
            config.mesh_routing,
            links=links,
            reach=self.reach,
            make_live=make_live,
            refusals=refusals,
            counters=counters,
            clock=clock,
            on_change=outgoing.way_changed,
            interval_s=config.route_announce_interval_s,
            route_life_s=config.route_ttl_s,
        )
        self.ways = LegacyWays(
            identity,
            self.mesh,
            links=links,
            reach=self.reach,
            keys=LegacyKeys(trust),
            allows_plain=config.allow_plain_relay,
            max_hops=config.max_hops,
        )
        ways.add(self.ways.find)

    def start(self) -> None:
        """Begin to announce."""
        if self._is_on:
            self._tasks.spawn(self.mesh.run(), name="0.8 mesh")

    def link_up(self, link: Link) -> None:
        """A session with a peer is up, on whichever wire."""
        if self._is_on:
            self.mesh.link_up(link)

    def link_down(self, peer: NodeId) -> None:
        """The last session with a peer ended."""
        if self._is_on:
            self.mesh.link_down(peer)

    def check(self, destination: NodeId) -> None:
        """Accept a destination; see `LegacyWays.check`."""
        if self._is_on:
            self.ways.check(destination)

    def wants(self, message: Message) -> bool:
        """Tell whether a message of a published neighbour is for this part."""
        return message.type in _OF_THE_MESH or isinstance(message, Transit)

    async def take(self, link: Link, message: Message) -> None:
        """Take such a message."""
        if isinstance(message, Transit):
            await self.mesh.take_transit(link, message)
        else:
            self.mesh.received(link, message)

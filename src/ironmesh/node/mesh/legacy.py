"""A good citizen of a published mesh: tells of routes, learns them, and passes frames on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from ironmesh.errors import RemoteProtocolError
from ironmesh.mesh.breaker import CircuitBreakers
from ironmesh.mesh.legacy.announcer import Announcer
from ironmesh.mesh.legacy.relaying import Drop, Hand, LegacyRelay, NoRoute, PassOn
from ironmesh.mesh.legacy.table import RoutingTable, is_forged
from ironmesh.node.clock import Clock
from ironmesh.node.link import Link
from ironmesh.node.linktable import LinkTable
from ironmesh.node.mesh.published_route import PublishedRoute
from ironmesh.node.mesh.reach import NativeReach
from ironmesh.node.outgoing import MakeLive
from ironmesh.node.pacing import Pacer
from ironmesh.node.refusals import RefusalDesk
from ironmesh.observe.counters import Counters
from ironmesh.types import (
    MeshMode,
    Message,
    MessagePriority,
    MessageType,
    NodeId,
    Refusal,
    WireKind,
    is_node_id,
)
from ironmesh.wire.legacy.inner import Inner
from ironmesh.wire.legacy.mesh import (
    RouteAnnounce,
    RouteEntry,
    RouteUnreachable,
    decode_route_announce,
    decode_route_unreachable,
    encode_route_announce,
    encode_route_unreachable,
)
from ironmesh.wire.legacy.transit import Transit

_log = logging.getLogger("ironmesh.node")

GATHER_S: Final = 0.1
"""How long changes are gathered: in a large mesh many routes change at once."""
SWEEP_S: Final = 5.0
"""How often routes that nobody repeated are looked for."""
RELAYED_PER_S: Final = 20.0
RELAYED_BURST: Final = 100
"""Frames for others that one neighbour may give us: as many as published nodes take of us."""
MAX_QUEUED: Final = 256
"""Messages that wait on a link before a frame for others is dropped: it would grow too old."""
NOTICES_PER_S: Final = 2.0
NOTICE_BURST: Final = 10


class Elsewhere(Protocol):
    """Reaches nodes otherwise than over published neighbours."""

    def hops(self) -> dict[NodeId, int]:
        """Return whom it reaches, and how far away they are."""
        ...

    async def hand_over(self, said: Inner) -> None:
        """Take a frame that a published neighbour handed over."""
        ...


class LegacyMesh:
    """The published mesh around this node.

    Args:
        on_change: told of a destination that may be reached in another way than before.
        on_unreachable: told of one to which a neighbour, so it says, has no route.
    """

    def __init__(
        self,
        own_id: NodeId,
        mode: MeshMode,
        *,
        links: LinkTable,
        reach: NativeReach,
        make_live: MakeLive,
        refusals: RefusalDesk,
        counters: Counters,
        clock: Clock,
        on_change: Callable[[NodeId], None],
        on_unreachable: Callable[[NodeId], None],
        interval_s: float,
        route_life_s: float,
    ) -> None:
        self._own_id = own_id
        self._mode = mode
        self._links = links
        self._reach = reach
        self._make_live = make_live
        self._refusals = refusals
        self._counters = counters
        self._clock = clock
        self._on_change = on_change
        self._on_unreachable = on_unreachable
        self._elsewhere: Elsewhere | None = None
        self.table = RoutingTable(own_id, route_life_s=route_life_s)
        self._announcer = Announcer(own_id, mode, interval_s=interval_s)
        self._relay = LegacyRelay(own_id, mode)
        self._breakers = CircuitBreakers()
        self._budgets: dict[NodeId, Pacer] = {}
        self._notices = Pacer(NOTICES_PER_S, NOTICE_BURST, clock.now().mono)
        self._sequence = 0
        self._others: dict[NodeId, int] = {}
        self._wake = asyncio.Event()

    def use(self, elsewhere: Elsewhere) -> None:
        """Let frames for nodes of our own wire, and for those behind them, be handed over."""
        self._elsewhere = elsewhere

    async def run(self) -> None:
        """Announce what is due, and forget old routes, until the node stops."""
        while True:
            due = self._announcer.next_timer
            if due is None:
                await self._wake.wait()
            else:
                pause = min(max(0.0, due - self._clock.now().mono), SWEEP_S)
                try:
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
                except TimeoutError:
                    pass
            self._wake.clear()
            self._look_elsewhere()
            self._forget_old()
            for neighbour in self._announcer.take_due(self._clock.now().mono):
                self._announce(neighbour)
            await asyncio.sleep(GATHER_S)

    # --- Neighbours --------------------------------------------------------------------------

    def link_up(self, link: Link) -> None:
        """A session is up."""
        now = self._clock.now().mono
        if link.info.wire is WireKind.LEGACY and self._mode is not MeshMode.OFF:
            self._budgets[link.peer] = Pacer(RELAYED_PER_S, RELAYED_BURST, now)
            self._announcer.link_up(link.peer, now)
            self._learn(link.peer, (RouteEntry(link.peer, 0),))
        self.routes_changed()

    def link_down(self, peer: NodeId) -> None:
        """The last session with a peer ended."""
        self._announcer.link_down(peer)
        self._budgets.pop(peer, None)
        self._changed(self.table.forget(peer, self._clock.now().mono))
        self.routes_changed()

    def routes_changed(self) -> None:
        """Other nodes may be reached over our own wire than before."""
        self._wake.set()

    def _look_elsewhere(self) -> None:
        others = self._reach.hops()
        if self._elsewhere is not None:
            others = self._elsewhere.hops() | others
        if others == self._others:
            return
        now = self._clock.now().mono
        gone = self._others.keys() - others.keys()
        self._others = others
        for destination in gone:
            self._announcer.withdraw(destination, now)
        self._announcer.changed(now)

    # --- Routes ------------------------------------------------------------------------------

    def routes(self) -> list[PublishedRoute]:
        """Return whom published neighbours lead to that are no direct peers of ours."""
        return [
            PublishedRoute(destination, route.next_hop, route.cost)
            for destination, route in self.table.items()
            if not self._links.is_online(destination)
            and not self._reach.is_reached(destination)
            and self.next_hop(destination) is not None
        ]

    def next_hop(self, destination: NodeId) -> NodeId | None:
        """Return the published neighbour through which a node is reached; None = through none."""
        online = {
            link.peer
            for link in self._links.online()
            if link.info.wire is WireKind.LEGACY and link.is_usable
        }
        hop = self.table.next_hop(destination, online)
        now = self._clock.now().mono
        if hop is None or self._breakers.is_open(hop, destination, now):
            return None
        return hop

    def received(self, link: Link, message: Message) -> None:
        """A published neighbour speaks of the mesh."""
        try:
            if message.type == MessageType.ROUTE_ANNOUNCE:
                self._take_routes(link, decode_route_announce(message.payload))
            elif message.type == MessageType.ROUTE_UNREACHABLE:
                self._take_unreachable(link, decode_route_unreachable(message.payload))
        except RemoteProtocolError as error:
            self._refusals.frame(error.reason, link.peer, link.info.peer_name, error.what)

    def _take_routes(self, link: Link, announce: RouteAnnounce) -> None:
        if self._mode is MeshMode.OFF:
            return
        if announce.origin != link.peer:
            raise RemoteProtocolError(Refusal.SOURCE_FORGED, "routes of another node")
        if any(is_forged(entry, link.peer) for entry in announce.routes):
            self._refusals.frame(
                Refusal.SOURCE_FORGED, link.peer, link.info.peer_name, "a route of cost 0"
            )
        self._learn(link.peer, announce.routes)

    def _take_unreachable(self, link: Link, notice: RouteUnreachable) -> None:
        """A hint: it says nothing about what was sent, only something about the next try."""
        self._counters.add("legacy.unreachable")
        self._on_unreachable(notice.destination)
        if self.next_hop(notice.destination) == link.peer:
            now = self._clock.now().mono
            if self._breakers.failed(link.peer, notice.destination, now):
                self._on_change(notice.destination)

    def _learn(self, neighbour: NodeId, entries: tuple[RouteEntry, ...]) -> None:
        now = self._clock.now().mono
        self._changed(self.table.learn(neighbour, entries, now))

    def _forget_old(self) -> None:
        self._changed(self.table.expire(self._clock.now().mono))

    def _changed(self, destinations: list[NodeId]) -> None:
        """These are reached in another way than before, or no longer."""
        if not destinations:
            return
        now = self._clock.now().mono
        self._announcer.changed(now)
        self._wake.set()
        for destination in destinations:
            if self.table.get(destination) is None:
                self._announcer.withdraw(destination, now)
            self._on_change(destination)

    def _announce(self, neighbour: NodeId) -> None:
        link = self._links.get(neighbour)
        if link is None or link.info.is_ours or not link.is_usable:
            return
        # A neighbour is reached for as long as its session lives, whatever it announces.
        now = self._clock.now().mono
        self.table.learn(neighbour, (RouteEntry(neighbour, 0),), now)
        self._sequence += 1
        routes = self._announcer.routes_for(neighbour, self.table, self._others, now)
        payload = encode_route_announce(RouteAnnounce(self._own_id, routes, self._sequence))
        self._say(link, MessageType.ROUTE_ANNOUNCE, payload, neighbour)

    def _say(self, link: Link, kind: str, payload: bytes, destination: NodeId) -> None:
        link.enqueue([self._make_live(destination, kind, payload, MessagePriority.NORMAL)])

    # --- Frames for others -------------------------------------------------------------------

    async def take_transit(self, link: Link, message: Transit) -> None:
        """A frame for somebody else: pass it on, hand it over, or drop it by name."""
        now = self._clock.now()
        budget = self._budgets.get(link.peer)
        if budget is None or budget.available(now.mono) < 1:
            self._dropped("busy")
            return
        budget.spend(1, now.mono)
        verdict = self._relay.judge(
            message.said,
            link.peer,
            now,
            is_otherwise=self._others.__contains__,
            next_hop=self.next_hop,
        )
        match verdict:
            case PassOn(next_hop, said):
                self._pass_on(next_hop, message, said)
            case Hand(said):
                if self._elsewhere is not None:
                    await self._elsewhere.hand_over(said)
            case Drop(reason):
                self._dropped(reason.value)
            case NoRoute():
                self._dropped("no_route")
                self._tell_unreachable(message)

    def _pass_on(self, next_hop: NodeId, message: Transit, said: Inner) -> None:
        link = self._links.get(next_hop)
        if link is None or not link.is_usable or link.queued >= MAX_QUEUED:
            self._breakers.failed(next_hop, message.destination, self._clock.now().mono)
            self._dropped("busy")
            return
        link.enqueue([msgspec.structs.replace(message, said=said)])
        self._counters.add("legacy.relayed")

    def _dropped(self, reason: str) -> None:
        self._counters.add(f"legacy.dropped.{reason}")

    def _tell_unreachable(self, message: Transit) -> None:
        """Tell the source, if a route leads there (10.5)."""
        now = self._clock.now().mono
        if not is_node_id(message.source) or self._notices.available(now) < 1:
            return
        hop = self.next_hop(message.source)
        link = self._links.get(hop) if hop is not None else None
        if link is None:
            return
        self._notices.spend(1, now)
        notice = RouteUnreachable(message.destination, message.said.msg_id)
        self._say(
            link,
            MessageType.ROUTE_UNREACHABLE,
            encode_route_unreachable(notice),
            message.source,
        )

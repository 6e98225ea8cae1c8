"""The mesh of a node, put together: what its links tell goes to the part that it concerns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from ironmesh.audit.events import AuditEvent
from ironmesh.config import NodeConfig
from ironmesh.crypto.identity import Identity
from ironmesh.errors import RemoteProtocolError, StoreError, TrustFileError, UnknownPeerError
from ironmesh.mesh.beacons import check_beacon
from ironmesh.mesh.breaker import CircuitBreakers
from ironmesh.mesh.fairness import RelayQueues
from ironmesh.mesh.forwarding import Forwarder
from ironmesh.mesh.routing.router import Router
from ironmesh.mesh.routing.snapshot import decode_snapshot, encode_snapshot
from ironmesh.mesh.routing.values import RouteView
from ironmesh.mesh.tracing import Traces
from ironmesh.node.books import Books
from ironmesh.node.clock import Clock
from ironmesh.node.events import MeshPartitioned, RouteFound, RouteLost
from ironmesh.node.link import Link
from ironmesh.node.linktable import LinkTable
from ironmesh.node.mesh.arrivals import Arrivals, Reader
from ironmesh.node.mesh.neighbours import mesh_message
from ironmesh.node.mesh.paths import Path, Paths, first_stream
from ironmesh.node.mesh.records import Records
from ironmesh.node.mesh.relay import Parcel, Relay
from ironmesh.node.mesh.revocations import Bar, Revocations
from ironmesh.node.mesh.routing import Routing
from ironmesh.node.mesh.tracer import TracedHop, Tracer
from ironmesh.node.outgoing import Outgoing
from ironmesh.node.supervisor import TaskSupervisor
from ironmesh.node.threads import in_thread
from ironmesh.observe.counters import Counters
from ironmesh.session.parcels.sealing import DestinationKeys
from ironmesh.store.mesh_state import MeshState
from ironmesh.trust.pins import TrustState
from ironmesh.trust.store import TrustStore
from ironmesh.types import MeshMode, MeshType, Message, MessageType, NodeId, Random
from ironmesh.wire.native.beacons import Beacon
from ironmesh.wire.native.relaying import Obstacle

_log = logging.getLogger("ironmesh.node")

_ROUTE_TYPES: Final = frozenset({MeshType.ROUTES, MeshType.ROUTE_DIGEST, MeshType.ROUTE_REQUEST})
_RECORD_TYPES: Final = frozenset({MeshType.NODE_RECORDS, MeshType.RECORD_REQUEST})


class Mesh:
    """Routes, records, parcels and traces of one node.

    Args:
        state: where it is remembered between runs.
        capabilities: what this node can do.
        reader: takes messages that came by parcels.
        bar: refuses a node whose identity ended.
    """

    def __init__(
        self,
        config: NodeConfig,
        identity: Identity,
        *,
        state: MeshState,
        links: LinkTable,
        outgoing: Outgoing,
        reader: Reader,
        capabilities: Callable[[], Sequence[str]],
        trust: TrustStore,
        bar: Bar,
        books: Books,
        tasks: TaskSupervisor,
        clock: Clock,
        random: Random,
        counters: Counters,
    ) -> None:
        self._own_id = identity.node_id
        self._state = state
        self._links = links
        self._outgoing = outgoing
        self._trust = trust
        self._books = books
        self._tasks = tasks
        self._clock = clock
        self._random = random
        self._counters = counters
        self._has_spoken = False
        """Neighbours were told of a beacon of this run."""
        self._told: set[NodeId] = set()
        """Nodes of which programs and people were told that they can be reached."""
        self._changed: list[Callable[[NodeId], None]] = []
        is_relay = config.mesh_routing is MeshMode.RELAY
        self._router = Router(self._own_id, config.mesh_routing, check=check_beacon, random=random)
        self._routing = Routing(
            self._router,
            tell=self._tell,
            listener=self,
            clock=clock,
            counters=counters,
            journal=books.journal,
        )

        def is_pinned(node_id: NodeId) -> bool:
            try:
                return trust.public_key(node_id) is not None
            except TrustFileError:  # nobody is pushed out because of it
                return True

        self._records = Records(
            identity,
            config.name,
            state=state,
            capabilities=capabilities,
            tell=self._tell,
            may_answer=self._reads,
            listener=self,
            next_hops=self._router.next_hops,
            is_pinned=is_pinned,
            clock=clock,
            random=random,
            counters=counters,
            journal=books.journal,
        )
        self._revocations = Revocations(
            identity,
            config,
            state=state,
            tell=self._tell,
            bar=bar,
            is_pinned=is_pinned,
            is_near=lambda node_id: is_pinned(node_id) or links.get(node_id) is not None,
            tasks=tasks,
            clock=clock,
            counters=counters,
        )
        queues = RelayQueues[Parcel]()
        self._breakers = CircuitBreakers()
        self._forwarder = Forwarder(
            self._own_id,
            next_hops=self._usable_hops,
            has_room=queues.has_room,
            breakers=self._breakers,
            is_relay=is_relay,
        )
        self._relay = Relay(
            self._own_id,
            forwarder=self._forwarder,
            queues=queues,
            links=links,
            clock=clock,
            counters=counters,
            arrive=self._arrive,
            came_back=self._came_back,
            has_room=self._has_room,
        )
        self._paths = Paths(
            identity,
            guide=self,
            sender=self._relay,
            stream=first_stream(clock.now().wall),
            clock=clock,
            random=random,
            counters=counters,
            written=outgoing.written,
            way_changed=outgoing.way_changed,
            is_sending=outgoing.is_sending,
            doubt=self._doubt,
        )
        self._arrivals = Arrivals(
            identity,
            lambda: self._records.prekeys,
            trust=trust,
            books=books,
            clock=clock,
            counters=counters,
            reader=reader,
            name_of=self._records.name_of,
            is_revoked=self._revocations.is_revoked,
            answer=self._paths.send_content,
            reset=self._paths.reset,
            repeated=self._paths.repeated,
        )
        self._tracer = Tracer(
            Traces(self._own_id, is_relay=is_relay),
            tell=self._tell,
            next_hop=self._next_hop,
            own_id=self._own_id,
            clock=clock,
            random=random,
            counters=counters,
        )

    # --- Life --------------------------------------------------------------------------------

    def start(self) -> None:
        """Remember the last run, and say who this node is."""
        self._tasks.spawn(self._remember(), name="routes of the last run")
        self._tasks.spawn(self._records.run(), name="own record")
        self._tasks.spawn(self._revocations.load(), name="revocations of the last run")
        self._tasks.spawn(self._arrivals.run(), name="parcels")

    async def _remember(self) -> None:
        try:
            kept = await in_thread(self._state.load_routes)
            known = [] if kept is None else decode_snapshot(kept)
        except (StoreError, RemoteProtocolError) as error:
            _log.warning("the routes of the last run are not used: %s", error)
            return
        new = [item for item in known if self._router.beacon(item.beacon.origin) is None]
        self._router.restore(new)

    def finish(self) -> None:
        """Remember what is known, and do nothing any more; links are down by now."""
        self._save_routes(encode_snapshot(self._router.snapshot()))
        self._paths.close()
        self._routing.close()
        self._records.close()

    async def flush(self) -> None:
        """Write what is remembered of routes."""
        await in_thread(self._save_routes, encode_snapshot(self._router.snapshot()))

    def _save_routes(self, routes: bytes) -> None:
        try:
            self._state.save_routes(routes)
        except StoreError as error:
            _log.warning("the routes were not written: %s", error)

    # --- Links (LinkWatcher) -----------------------------------------------------------------

    def link_up(self, link: Link) -> None:
        """A link with a peer carries messages from now on."""
        if not link.info.is_ours or not self._revocations.link_up(link.peer):
            return
        self._paths.forget(link.peer)
        self._relay.link_up(link)
        self._records.link_up(link.peer, link.info.peer_clock_ms)
        self._routing.link_up(link)
        if self._records.get(link.peer) is None:  # and so, most likely, the other way round
            self._records.introduce(link.peer)
        self._tasks.spawn(self._routing.measure(link), name=f"cost-{link.peer[:8]}")

    def link_down(self, link: Link) -> None:
        """No link with a peer carries messages any more."""
        if not link.info.is_ours:
            return
        self._revocations.link_down(link.peer)
        self._routing.link_down(link.peer)
        self._records.link_down(link.peer)
        self._relay.link_down(link.peer)
        self._paths.lost_hop(link.peer)

    def link_written(self, messages: Sequence[Message]) -> None:
        """A link has written messages."""
        self._relay.written(messages[0].destination, messages)

    def received(self, link: Link, messages: Sequence[Message]) -> None:
        """A neighbour of ours says something about the mesh."""
        parcels: list[Message] = []
        is_current = self._links.get(link.peer) is link
        for message in messages:
            if message.type == MeshType.PARCEL:
                parcels.append(message)
            elif is_current:
                self._take(link.peer, message)
            else:  # all routes are told anew on the link that took over
                self._counters.add("ignored.mesh")
        self._records.ask()
        if parcels:
            self._relay.take(link.peer, parcels)

    def _take(self, peer: NodeId, message: Message) -> None:
        kind, body = message.type, message.payload
        try:
            if kind in _ROUTE_TYPES:
                self._routing.received(peer, kind, body)
            elif kind in _RECORD_TYPES:
                self._records.received(peer, kind, body)
            elif kind == MessageType.REVOCATION:
                self._revocations.received(peer, body)
            elif kind == MeshType.UNREACHABLE:
                self._relay.take_unreachable(peer, body)
            elif kind == MeshType.TRACE:
                self._tracer.take_trace(peer, body)
            else:
                self._tracer.take_reply(peer, body)
        except RemoteProtocolError as error:
            self._books.refusals.frame(error.reason, peer, "", f"{kind}: {error}")

    def _tell(self, peer: NodeId, kind: MeshType | MessageType, body: bytes) -> None:
        link = self._links.get(peer)
        if link is not None and link.is_usable and link.info.is_ours:
            link.enqueue([mesh_message(self._own_id, peer, kind, body)])

    def _reads(self, peer: NodeId) -> bool:
        link = self._links.get(peer)
        return link is not None and not link.is_full

    # --- What others ask ---------------------------------------------------------------------

    def find(self, destination: NodeId) -> Path | None:
        """Return the way to a destination over other nodes; none to one that may not be heard."""
        return None if self._is_barred(destination) else self._paths.find(destination)

    def forget(self, node_id: NodeId) -> None:
        """A node may not be heard any more: nothing goes to it by paths."""
        self._paths.forget(node_id)
        self._outgoing.way_changed(node_id)

    def _is_barred(self, node_id: NodeId) -> bool:
        try:
            if self._trust.is_revoked(node_id):
                return True
            return self._trust.get(node_id).state is TrustState.BLOCKED
        except UnknownPeerError:
            return False
        except TrustFileError:
            return True

    def next_native_hop(self, destination: NodeId) -> NodeId | None:
        """Return the neighbour on the best way to a destination; None = no route."""
        return next(iter(self._router.next_hops(destination)), None)

    def native_hops(self, destination: NodeId) -> int | None:
        """Return how many hops away a destination is; None = no route."""
        route = self._routing.route(destination)
        return None if route is None else route.hops

    def native_destinations(self) -> Iterable[NodeId]:
        """Return all nodes that can be reached, direct peers too."""
        return self._routing.destinations()

    def on_routes_changed(self, callback: Callable[[NodeId], None]) -> None:
        """Tell `callback` of each destination that is found or lost."""
        self._changed.append(callback)

    def route(self, destination: NodeId) -> RouteView | None:
        """Return how a destination is reached."""
        return self._routing.route(destination)

    def name_of(self, node_id: NodeId) -> str:
        """Return the name that a node gives itself; empty if unknown."""
        return self._records.name_of(node_id) or ""

    def claimants(self, name: str) -> list[NodeId]:
        """Return the nodes that give themselves this name: those that can be reached, else all."""
        known = [one for one in self._records.claimants(name) if not self._is_barred(one)]
        return [one for one in known if self._router.next_hops(one)] or known

    def capabilities(self, pattern: str) -> list[tuple[NodeId, str]]:
        """Return node and capability of others that match, of those that can be reached."""
        found = self._records.find(pattern)
        return [(one, text) for one, text in found if self._router.next_hops(one)]

    def capabilities_changed(self) -> None:
        """This node can do something more, or less."""
        self._records.capabilities_changed()

    async def trace(self, destination: NodeId, timeout_s: float) -> list[TracedHop]:
        """Return who is on the way to a destination; see `Tracer.trace`."""
        return await self._tracer.trace(destination, timeout_s)

    def revoke(self, node_id: NodeId, public: bytes | None) -> bool:
        """Tell everybody that an identity has ended; see `MeshEntry.revoke`."""
        known = self._records.get(node_id)
        public = known.identity_public if public is None and known is not None else public
        return public is not None and self._revocations.revoke(public)

    # --- What paths ask (Guide) --------------------------------------------------------------

    def next_hop(self, destination: NodeId, avoid: NodeId | None) -> NodeId | None:
        """Return the neighbour to hand a parcel to; `avoid` only if there is no other."""
        return self._forwarder.next_hop(destination, None, self._clock.now().mono, avoid)

    def hops(self, destination: NodeId) -> int:
        """Return the distance in hops, as far as it is known."""
        return self.native_hops(destination) or 1

    def keys(self, destination: NodeId) -> DestinationKeys | None:
        """Return what to seal to."""
        return self._records.keys(destination)

    def _next_hop(self, destination: NodeId, came_from: NodeId | None) -> NodeId | None:
        return self._forwarder.next_hop(destination, came_from, self._clock.now().mono)

    def _usable_hops(self, destination: NodeId) -> tuple[NodeId, ...]:
        return self._router.next_hops(destination)

    # --- What the parts tell -----------------------------------------------------------------

    def route_found(self, destination: NodeId) -> None:
        """A destination can be reached."""
        route, beacon = self._routing.route(destination), self._routing.beacon(destination)
        if route is not None and beacon is not None:
            # One of the last run is no news for the router; its record has to be asked for.
            self._records.heard(beacon, route.next_hops[0].peer)
        self._tell_found(destination)
        self._way_changed(destination)

    def route_lost(self, destination: NodeId) -> None:
        """A destination can be reached no longer."""
        if destination in self._told:
            self._told.discard(destination)
            self._books.events.publish(RouteLost(destination, self.name_of(destination)))
        self._records.lost(destination)
        self._way_changed(destination)

    def new_beacon(self, beacon: Beacon, peer: NodeId) -> None:
        """A node says something new about itself."""
        self._records.heard(beacon, peer)

    def bump(self, above: int) -> None:
        """A newer beacon of this node is needed."""
        self._records.bump(above)

    def partitioned(self, lost: int, remaining: int) -> None:
        """Over half of the mesh cannot be reached."""
        self._counters.add("mesh.partitions")
        self._books.journal.record(AuditEvent.MESH_PARTITIONED, lost=lost, remaining=remaining)
        self._books.events.publish(MeshPartitioned(lost, remaining))

    def own_beacon(self, beacon: Beacon) -> None:
        """This node says something new about itself."""
        is_first = not self._has_spoken
        self._has_spoken = True
        self._routing.announce(beacon)
        if is_first:
            for link in self._links.online():
                self._records.introduce(link.peer)

    def record_learned(self, node_id: NodeId) -> None:
        """Something is known of a node, or anew."""
        self._arrivals.learned(node_id)
        self._tell_found(node_id)
        self._way_changed(node_id)

    def _tell_found(self, node_id: NodeId) -> None:
        """Tell that a node can be reached, once it can be and its name is known."""
        name, hops = self._records.name_of(node_id), self.native_hops(node_id)
        if name is not None and hops is not None and node_id not in self._told:
            self._told.add(node_id)
            self._books.events.publish(RouteFound(node_id, name, hops))

    def _way_changed(self, destination: NodeId) -> None:
        self._paths.refresh(destination)
        for callback in self._changed:
            callback(destination)

    def _arrive(self, via: NodeId, parcel: bytes) -> bool:
        return self._arrivals.arrive(via, parcel)

    def _came_back(self, destination: NodeId, first_hop: NodeId, obstacle: Obstacle) -> None:
        self._paths.came_back(destination, first_hop, obstacle)

    def _has_room(self) -> None:
        self._paths.wake()

    def _doubt(self, neighbour: NodeId) -> None:
        """Nothing seems to arrive by a neighbour: see whether it lives."""
        link = self._links.get(neighbour)
        if link is not None:
            link.probe()

    def confirmed(self, destination: NodeId) -> None:
        """A destination receipted something."""
        self._paths.confirmed(destination)

"""Parcels on their way through this node: from the link that they came by to that of the next hop.

Nothing of a parcel is opened or verified here. Links get a few parcels ahead of what they have
written, and the rest waits in queues of its own, so that neighbours share a link fairly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from ironmesh.errors import RemoteProtocolError
from ironmesh.mesh.fairness import Held, RelayQueues
from ironmesh.mesh.forwarding import Crumb, Decision, Deliver, Drop, Forward, Forwarder, Refuse
from ironmesh.node.clock import Clock
from ironmesh.node.link import Link
from ironmesh.node.linktable import LinkTable
from ironmesh.node.mesh.neighbours import mesh_message
from ironmesh.observe.counters import Counters
from ironmesh.types import PRIORITIES, MeshType, Message, MessagePriority, NodeId, Refusal
from ironmesh.wire.native import relaying
from ironmesh.wire.native.relaying import Obstacle, Unreachable

AHEAD_PARCELS: Final = 256
"""Parcels that a link is given ahead of what it has written."""
AHEAD_BYTES: Final = 512 * 1024
OWN_BYTES: Final = 512 * 1024
"""What this node itself has sealed and not yet given to a link."""
MAX_BODY_BYTES: Final = 64 * 1024
"""Of a PARCEL: more than its writer puts into one."""

_RANKS: Final = {priority: rank for rank, priority in enumerate(PRIORITIES)}

Arrive = Callable[[NodeId, bytes], bool]
"""Takes a parcel for this node: the neighbour that handed it over, and the parcel; False = too many
of that neighbour wait already."""
CameBack = Callable[[NodeId, NodeId, Obstacle], None]
"""Is told that a parcel of this node came no further: its destination, its first hop, and why."""


class Parcel(NamedTuple):
    """A parcel on its way through this node."""

    hash: bytes
    body: bytes


class _Outlet:
    """The link to a next hop, and what it was given ahead."""

    __slots__ = ("ahead_bytes", "ahead_count", "given", "link")

    def __init__(self, link: Link) -> None:
        self.link = link
        self.given: tuple[deque[Held[Parcel]], ...] = tuple(deque() for _ in PRIORITIES)
        """What was given to it and not written, by priority; each is written in its order."""
        self.ahead_count = self.ahead_bytes = 0

    @property
    def has_room(self) -> bool:
        return self.ahead_count < AHEAD_PARCELS and self.ahead_bytes < AHEAD_BYTES

    def give(self, held: Held[Parcel]) -> None:
        self.given[held.rank].append(held)
        self.ahead_count += 1
        self.ahead_bytes += held.size_bytes

    def written(self, rank: int) -> Held[Parcel] | None:
        if not self.given[rank]:
            return None
        held = self.given[rank].popleft()
        self.ahead_count -= 1
        self.ahead_bytes -= held.size_bytes
        return held


class Relay:
    """Hands parcels on, those of others and those of this node.

    Args:
        arrive: takes what is for this node.
        came_back: is told of parcels of this node that came no further.
        has_room: is told that this node may seal more.
    """

    def __init__(
        self,
        own_id: NodeId,
        *,
        forwarder: Forwarder,
        queues: RelayQueues[Parcel],
        links: LinkTable,
        clock: Clock,
        counters: Counters,
        arrive: Arrive,
        came_back: CameBack,
        has_room: Callable[[], None],
    ) -> None:
        self._own_id = own_id
        self._forwarder = forwarder
        self._queues = queues
        self._links = links
        self._clock = clock
        self._counters = counters
        self._arrive = arrive
        self._came_back = came_back
        self._has_room = has_room
        self._outlets: dict[NodeId, _Outlet] = {}

    # --- Links -------------------------------------------------------------------------------

    def link_up(self, link: Link) -> None:
        """A link carries what goes to its peer from now on."""
        if link.peer in self._outlets:
            self.link_down(link.peer)
        self._outlets[link.peer] = _Outlet(link)
        self._pump(link.peer)

    def link_down(self, peer: NodeId) -> None:
        """No link leads to a neighbour: what waits goes another way, what was written may be lost.

        Call it when routes through the neighbour are gone.
        """
        outlet = self._outlets.pop(peer, None)
        if outlet is None:
            return
        now = self._clock.now().mono
        for parcel_hash, crumb in self._forwarder.link_down(peer, now):
            self._tell_back(crumb, peer, parcel_hash, Obstacle.LINK_LOST)
        waiting = [held for given in outlet.given for held in given]
        hops: set[NodeId] = set()
        for held in (*waiting, *self._queues.take_all(peer)):
            decision = self._forwarder.rerouted(held.item.hash, now)
            hops |= self._carry_out(decision, peer, held)
        for hop in hops:
            self._pump(hop)

    def written(self, hop: NodeId, messages: Iterable[Message]) -> None:
        """A link has written messages, parcels perhaps among them."""
        outlet = self._outlets.get(hop)
        if outlet is None or not outlet.ahead_count:
            return
        now = self._clock.now().mono
        is_own = False
        for message in messages:
            if message.type == MeshType.PARCEL:
                held = outlet.written(_RANKS[message.priority])
                if held is not None:
                    self._forwarder.written(held.item.hash, hop, now)
                    is_own = is_own or held.came_from == self._own_id
        if self._queues.count(hop):
            self._pump(hop)
        if is_own:
            self._has_room()

    # --- What arrives ------------------------------------------------------------------------

    def take(self, peer: NodeId, messages: Iterable[Message]) -> None:
        """Take parcels that a neighbour handed over."""
        now = self._clock.now().mono
        ready: dict[NodeId, list[Message]] = {}
        count = size_bytes = 0
        for message in messages:
            body = message.payload
            try:
                header = _header(body)
            except RemoteProtocolError as error:
                self._counters.add(f"refused.{error.reason.value}")
                continue
            parcel_hash = relaying.parcel_hash(body)
            decision = self._forwarder.received(peer, header, parcel_hash, len(body), now)
            if isinstance(decision, Forward):
                count += 1
                size_bytes += len(body)
                parcel = Parcel(parcel_hash, relaying.handed_on(body))
                held = Held(parcel, len(body), peer, _RANKS[message.priority])
                self._hand_on(decision.next_hop, held, ready)
            elif isinstance(decision, Deliver):
                if not self._arrive(peer, body[relaying.HEADER_BYTES :]):
                    crumb = Crumb(peer, self._own_id, now)
                    self._tell_back(crumb, peer, parcel_hash, Obstacle.BUSY)
            else:
                held = Held(Parcel(parcel_hash, body), len(body), peer, 0)
                self._carry_out(decision, None, held)
        for hop, batch in ready.items():
            self._outlets[hop].link.write(batch)
        if count:
            self._counters.add("mesh.parcels_relayed", count)
            self._counters.add("mesh.bytes_relayed", size_bytes)

    def _hand_on(self, hop: NodeId, held: Held[Parcel], ready: dict[NodeId, list[Message]]) -> None:
        """Let a parcel go at once where nothing waits before it, else wait for its turn."""
        outlet = self._outlets.get(hop)
        is_free = outlet is not None and outlet.has_room and outlet.link.is_usable
        if outlet is None or not is_free or self._queues.count(hop):
            self._queues.put(hop, held)
            self._pump(hop)
            return
        outlet.give(held)
        message = mesh_message(
            self._own_id, hop, MeshType.PARCEL, held.item.body, PRIORITIES[held.rank]
        )
        ready.setdefault(hop, []).append(message)

    def take_unreachable(self, peer: NodeId, body: bytes) -> None:
        """A neighbour says that a parcel came no further.

        Raises:
            RemoteProtocolError: malformed.
        """
        said = relaying.decode_unreachable(body)
        crumb = self._forwarder.came_back(
            peer, said.parcel_hash, said.obstacle, self._clock.now().mono
        )
        if crumb is None:
            self._counters.add("mesh.unreachable_unexpected")
            return
        self._counters.add(f"mesh.unreachable.{said.obstacle.name.lower()}")
        self._tell_back(crumb, peer, said.parcel_hash, said.obstacle)

    # --- What this node sends ----------------------------------------------------------------

    @property
    def has_own_room(self) -> bool:
        """This node may seal more."""
        return self._queues.held_bytes(self._own_id) < OWN_BYTES

    def send(
        self,
        destination: NodeId,
        hops_left: int,
        parcel: bytes,
        priority: MessagePriority,
        next_hop: NodeId,
    ) -> None:
        """Send a parcel of this node by a neighbour."""
        body = relaying.encode_parcel(destination, hops_left, parcel)
        parcel_hash = relaying.parcel_hash(body)
        self._forwarder.sent(parcel_hash, destination, next_hop, self._clock.now().mono)
        self._counters.add("mesh.parcels_sent")
        held = Held(Parcel(parcel_hash, body), len(body), self._own_id, _RANKS[priority])
        self._queues.put(next_hop, held)
        self._pump(next_hop)

    # --- Doing it ----------------------------------------------------------------------------

    def _carry_out(
        self, decision: Decision, gone: NodeId | None, held: Held[Parcel]
    ) -> set[NodeId]:
        """Do as the forwarder says; return the next hops that have something to write."""
        match decision:
            case Forward(next_hop):
                self._queues.put(next_hop, held)
                return {next_hop}
            case Refuse(peer, obstacle):
                self._counters.add(f"mesh.refused.{obstacle.name.lower()}")
                destination = relaying.decode_header(held.item.body).destination
                crumb = Crumb(peer, destination, 0.0)
                self._tell_back(crumb, gone or peer, held.item.hash, obstacle)
            case Drop(reason):
                self._counters.add(f"mesh.{reason}")
            case Deliver():
                pass
        return set()

    def _tell_back(
        self, crumb: Crumb, first_hop: NodeId, parcel_hash: bytes, obstacle: Obstacle
    ) -> None:
        if crumb.came_from == self._own_id:
            self._came_back(crumb.destination, first_hop, obstacle)
            return
        link = self._links.get(crumb.came_from)
        if link is not None and link.is_usable:
            body = relaying.encode_unreachable(Unreachable(parcel_hash, obstacle))
            link.enqueue([mesh_message(self._own_id, crumb.came_from, MeshType.UNREACHABLE, body)])

    def _pump(self, hop: NodeId) -> None:
        outlet = self._outlets.get(hop)
        if outlet is None or not outlet.link.is_usable:
            return
        batch: list[Message] = []
        while outlet.has_room:
            held = self._queues.take(hop)
            if held is None:
                break
            outlet.give(held)
            priority = PRIORITIES[held.rank]
            batch.append(mesh_message(self._own_id, hop, MeshType.PARCEL, held.item.body, priority))
        if batch:
            outlet.link.enqueue(batch)


def _header(body: bytes) -> relaying.Header:
    if len(body) > MAX_BODY_BYTES:
        raise RemoteProtocolError(Refusal.TOO_LARGE, f"a parcel of {len(body)} bytes")
    return relaying.decode_header(body)

"""What a node does with a parcel that a neighbour hands over: keep, hand on, or turn down. Pure.

A relay reads destination and hops left, and knows a parcel again by its SHA-256. It remembers for
a minute or more from whom a parcel came, so that "came no further" finds its way back without
anybody knowing the source.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from ironmesh.mesh.breaker import CircuitBreakers
from ironmesh.types import NodeId
from ironmesh.wire.native.relaying import Header, Obstacle

MAX_REMEMBERED: Final = 32_768
"""Parcels in one of the two halves of the memory."""
HALF_LIFE_S: Final = 300.0
"""Age of the younger half when it becomes the older one: a parcel is known for 5 to 10 minutes."""
CRUMB_S: Final = 60.0
"""For so long what comes back about a parcel is believed."""
IN_FLIGHT_S: Final = 2.0
"""What was written to a session so shortly before it ended may be lost."""
MAX_IN_FLIGHT: Final = 512


class Deliver(NamedTuple):
    """It is for this node."""


class Forward(NamedTuple):
    """Hand it on to this neighbour."""

    next_hop: NodeId


class Drop(NamedTuple):
    """Forget it; `reason` is the name of a counter."""

    reason: str


class Refuse(NamedTuple):
    """Tell the neighbour that it came from that it came no further."""

    peer: NodeId
    obstacle: Obstacle


Decision = Deliver | Forward | Drop | Refuse


class Crumb:
    """What is remembered of a parcel."""

    __slots__ = ("at", "came_from", "destination", "next_hop")

    def __init__(self, came_from: NodeId, destination: NodeId, at: float) -> None:
        self.came_from = came_from
        self.destination = destination
        self.next_hop: NodeId | None = None
        """Whom it was handed to last."""
        self.at = at


class _Memory:
    """Parcels by their hash, in two halves, of which the older one is dropped as a whole."""

    __slots__ = ("_old", "_since", "_young")

    def __init__(self) -> None:
        self._young: dict[bytes, Crumb] = {}
        self._old: dict[bytes, Crumb] = {}
        self._since = 0.0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, parcel_hash: bytes) -> Crumb | None:
        return self._young.get(parcel_hash) or self._old.get(parcel_hash)

    def add(self, parcel_hash: bytes, crumb: Crumb) -> None:
        if len(self._young) >= MAX_REMEMBERED or crumb.at - self._since >= HALF_LIFE_S:
            self._old = self._young if crumb.at - self._since < 2 * HALF_LIFE_S else {}
            self._young, self._since = {}, crumb.at
        self._young[parcel_hash] = crumb


class Forwarder:
    """Decides about parcels, and remembers where they came from.

    Args:
        own_id: this node.
        next_hops: the neighbours that lead to a destination, the best first.
        has_room: tells whether a neighbour may hand over so many bytes more.
        is_relay: parcels of others are handed on; otherwise only those for this node are taken.
    """

    def __init__(
        self,
        own_id: NodeId,
        *,
        next_hops: Callable[[NodeId], tuple[NodeId, ...]],
        has_room: Callable[[NodeId, int], bool],
        breakers: CircuitBreakers,
        is_relay: bool = True,
    ) -> None:
        self._own_id = own_id
        self._next_hops = next_hops
        self._has_room = has_room
        self._breakers = breakers
        self._is_relay = is_relay
        self._memory = _Memory()
        self._in_flight: dict[NodeId, deque[tuple[float, bytes]]] = {}

    @property
    def remembered(self) -> int:
        """Parcels that would be known again."""
        return len(self._memory)

    def received(
        self, peer: NodeId, header: Header, parcel_hash: bytes, size_bytes: int, now: float
    ) -> Decision:
        """A neighbour handed a parcel over.

        Args:
            peer: that neighbour.
            parcel_hash: SHA-256 of the parcel.
            size_bytes: of the parcel with its header.
            now: monotonic seconds.
        """
        destination = header.destination
        known = self._memory.get(parcel_hash)
        if known is not None:
            return Drop("parcel_repeated" if known.came_from == peer else "parcel_in_a_circle")
        if destination == self._own_id:
            self._memory.add(parcel_hash, Crumb(peer, destination, now))
            return Deliver()
        if not self._is_relay:
            return Refuse(peer, Obstacle.NO_ROUTE)
        if not header.hops_left:
            return Refuse(peer, Obstacle.HOP_LIMIT)
        if not self._has_room(peer, size_bytes):
            return Refuse(peer, Obstacle.BUSY)
        next_hop = self.next_hop(destination, peer, now)
        if next_hop is None:
            return Refuse(peer, Obstacle.NO_ROUTE)
        crumb = Crumb(peer, destination, now)
        crumb.next_hop = next_hop
        self._memory.add(parcel_hash, crumb)
        return Forward(next_hop)

    def next_hop(
        self,
        destination: NodeId,
        came_from: NodeId | None,
        now: float,
        avoid: NodeId | None = None,
    ) -> NodeId | None:
        """Return whom to hand a parcel to: never whoever it came from; None = nobody.

        The only way that there is is taken, however often it failed.

        Args:
            avoid: a neighbour that is to be left out, if there is another whose breaker is closed.
        """
        hops = [hop for hop in self._next_hops(destination) if hop != came_from]
        is_open = self._breakers.is_open
        return min(
            hops, key=lambda hop: (is_open(hop, destination, now), hop == avoid), default=None
        )

    def sent(self, parcel_hash: bytes, destination: NodeId, next_hop: NodeId, now: float) -> None:
        """A parcel of this node itself goes to a neighbour."""
        crumb = Crumb(self._own_id, destination, now)
        crumb.next_hop = next_hop
        self._memory.add(parcel_hash, crumb)

    def written(self, parcel_hash: bytes, next_hop: NodeId, now: float) -> None:
        """The session with a neighbour has taken a parcel."""
        flying = self._in_flight.get(next_hop)
        if flying is None:
            flying = self._in_flight[next_hop] = deque(maxlen=MAX_IN_FLIGHT)
        flying.append((now, parcel_hash))

    def link_down(self, next_hop: NodeId, now: float) -> list[tuple[bytes, Crumb]]:
        """The session with a neighbour ended; return the parcels that may be lost with it."""
        flying = self._in_flight.pop(next_hop, ())
        recent = [one for at, one in flying if now - at <= IN_FLIGHT_S]
        crumbs = [(one, self._memory.get(one)) for one in recent]
        return [
            (one, crumb)
            for one, crumb in crumbs
            if crumb is not None and crumb.next_hop == next_hop
        ]

    def rerouted(self, parcel_hash: bytes, now: float) -> Decision:
        """The neighbour that a parcel waits for is gone: say what becomes of it."""
        crumb = self._memory.get(parcel_hash)
        if crumb is None:
            return Drop("parcel_forgotten")
        crumb.next_hop = self.next_hop(crumb.destination, crumb.came_from, now)
        if crumb.next_hop is None:
            return Refuse(crumb.came_from, Obstacle.NO_ROUTE)
        return Forward(crumb.next_hop)

    def came_back(
        self, peer: NodeId, parcel_hash: bytes, obstacle: Obstacle, now: float
    ) -> Crumb | None:
        """A neighbour says that a parcel came no further; return what is remembered of it.

        Only the neighbour that the parcel was handed to is believed, once, and for a minute.
        """
        crumb = self._memory.get(parcel_hash)
        if crumb is None or crumb.next_hop != peer or now - crumb.at > CRUMB_S:
            return None
        crumb.next_hop = None
        if obstacle in (Obstacle.NO_ROUTE, Obstacle.HOP_LIMIT):
            self._breakers.failed(peer, crumb.destination, now)
        return crumb

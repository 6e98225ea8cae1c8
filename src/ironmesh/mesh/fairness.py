"""What a relay holds for its neighbours: each has its own room, and each gets its turn. Pure.

For every next hop there is a queue for each priority, and in it one for each neighbour that things
came from. Turns go round by bytes (deficit round robin, Shreedhar and Varghese 1995), so that a
neighbour with many large parcels gets no more of a link than one with few.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final, Generic, NamedTuple, TypeVar

from ironmesh.types import PRIORITIES, NodeId

T = TypeVar("T")

QUANTUM_BYTES: Final = 64 * 1024
"""What a neighbour may send in one turn; the largest parcel fits."""
ITEM_BYTES: Final = 256
"""What holding anything costs, beside its own size."""


class RelayLimits(NamedTuple):
    """How much a relay holds."""

    neighbour_bytes: int = 8 * 1024 * 1024
    """Of one neighbour."""
    total_bytes: int = 64 * 1024 * 1024


class Held(NamedTuple, Generic[T]):
    """Something that waits, and for whom."""

    item: T
    size_bytes: int
    came_from: NodeId
    rank: int
    """Place of its priority in `PRIORITIES`: 0 is the most urgent."""


class _Turns(Generic[T]):
    """The queues of one next hop and one priority."""

    __slots__ = ("_deficits", "_queues")

    def __init__(self) -> None:
        self._queues: OrderedDict[NodeId, deque[Held[T]]] = OrderedDict()
        self._deficits: dict[NodeId, int] = {}

    def put(self, held: Held[T]) -> None:
        queue = self._queues.get(held.came_from)
        if queue is None:
            queue = self._queues[held.came_from] = deque()
            self._deficits[held.came_from] = QUANTUM_BYTES
        queue.append(held)

    def take(self) -> Held[T] | None:
        while self._queues:
            neighbour, queue = next(iter(self._queues.items()))
            if queue[0].size_bytes > self._deficits[neighbour]:
                self._deficits[neighbour] += QUANTUM_BYTES
                self._queues.move_to_end(neighbour)
                continue
            held = queue.popleft()
            self._deficits[neighbour] -= held.size_bytes
            if not queue:
                del self._queues[neighbour], self._deficits[neighbour]
            return held
        return None


class RelayQueues(Generic[T]):
    """Everything that a relay holds, by next hop; bounded for each neighbour, and altogether."""

    def __init__(self, limits: RelayLimits | None = None) -> None:
        self._limits = limits or RelayLimits()
        self._hops: dict[NodeId, tuple[_Turns[T], ...]] = {}
        self._counts: dict[NodeId, int] = {}
        self._held: dict[NodeId, int] = {}
        """Bytes by the neighbour that they came from."""
        self.size_bytes = 0

    def has_room(self, came_from: NodeId, size_bytes: int) -> bool:
        """Tell whether a neighbour may hand over so much more."""
        size_bytes += ITEM_BYTES
        mine = self._held.get(came_from, 0) + size_bytes
        return (
            mine <= self._limits.neighbour_bytes
            and self.size_bytes + size_bytes <= self._limits.total_bytes
        )

    def held_bytes(self, came_from: NodeId) -> int:
        """Return how much waits of what a neighbour handed over."""
        return self._held.get(came_from, 0)

    def put(self, next_hop: NodeId, held: Held[T]) -> None:
        """Let something wait for a next hop; ask `has_room` first."""
        turns = self._hops.get(next_hop)
        if turns is None:
            turns = self._hops[next_hop] = tuple(_Turns() for _ in PRIORITIES)
        turns[held.rank].put(held)
        self._counts[next_hop] = self._counts.get(next_hop, 0) + 1
        self._account(held, +1)

    def take(self, next_hop: NodeId) -> Held[T] | None:
        """Return what goes next to a next hop: the most urgent, of the neighbour in turn."""
        for turns in self._hops.get(next_hop, ()):
            held = turns.take()
            if held is not None:
                self._account(held, -1)
                self._counts[next_hop] -= 1
                if not self._counts[next_hop]:
                    del self._hops[next_hop], self._counts[next_hop]
                return held
        return None

    def take_all(self, next_hop: NodeId) -> list[Held[T]]:
        """Return everything that waits for a next hop, which is gone."""
        taken: list[Held[T]] = []
        while (held := self.take(next_hop)) is not None:
            taken.append(held)
        return taken

    def count(self, next_hop: NodeId) -> int:
        """Return how many wait for a next hop."""
        return self._counts.get(next_hop, 0)

    def _account(self, held: Held[T], sign: int) -> None:
        size_bytes = sign * (held.size_bytes + ITEM_BYTES)
        self.size_bytes += size_bytes
        mine = self._held.get(held.came_from, 0) + size_bytes
        if mine:
            self._held[held.came_from] = mine
        else:
            self._held.pop(held.came_from, None)

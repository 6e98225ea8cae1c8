"""One destination as a router sees it, and which ways to it are safe.

A way is safe if its neighbour was nearer to the destination than this node ever told anybody
(RFC 8966, section 3.5.1). Told is (sequence, metric), and nearer means a newer sequence, or the
same one and a smaller metric. What a node has told never gets worse within its life, so along safe
ways every node is nearer than the one before, and there is no way round in a circle, whatever is
under way between them. So it suffices that a neighbour was near enough once in this session, if it
still has a route: the nearest that it told is a bound on what it told since (its *floor* here).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ironmesh.types import NodeId
from ironmesh.wire.native.beacons import Beacon
from ironmesh.wire.native.routes import INFINITY, MAX_HOPS, RouteEntry

NOBODY: Final = -1


class Destination:
    """What is known of one destination. Neighbours are numbers (slots) here, sets of them bits."""

    __slots__ = (
        "beacon",
        "best",
        "current",
        "entries",
        "exported",
        "fd_metric",
        "fd_sequence",
        "floors",
        "has_news",
        "hops",
        "is_remembered",
        "knows",
        "lost_at",
        "origin",
        "sequence",
        "sponsor",
        "told",
    )

    def __init__(self, origin: NodeId, beacon: Beacon, sponsor: int) -> None:
        self.origin = origin
        self.beacon = beacon
        self.sequence = beacon.sequence
        self.sponsor = sponsor
        """Which neighbour's share of the table it takes."""
        self.entries: list[RouteEntry | None] = []
        """What each neighbour told last."""
        self.floors: dict[int, RouteEntry] | None = None
        """The nearest that neighbours told in this session, where it is not what they told last."""
        self.best = NOBODY
        self.exported: RouteEntry | None = None
        """The route that we have, as others are told of it."""
        self.fd_sequence = 0
        self.fd_metric = 0
        """Feasibility distance: the nearest that we ever told."""
        self.told = 0
        """Neighbours that hold a route of ours."""
        self.current = 0
        """Those of them that hold the present one."""
        self.knows = 0
        """Neighbours that have this beacon."""
        self.hops: tuple[NodeId, ...] | None = None
        """Neighbours that may be used, the best first, if it was worked out."""
        self.has_news = False
        """It says something new about itself, and others wait to hear it by their chosen way."""
        self.lost_at: float | None = None
        self.is_remembered = False
        """Its beacon is of an earlier run, and nobody has told us of it in this one."""

    def put(self, slot: int, entry: RouteEntry) -> RouteEntry | None:
        """Take what a neighbour tells; return what it told before."""
        entries = self.entries
        if slot >= len(entries):
            entries += [None] * (slot + 1 - len(entries))
        old = entries[slot]
        entries[slot] = entry
        self.hops = None
        if old is not None and (
            self.floors is not None or entry.metric > old.metric or entry.sequence < old.sequence
        ):
            self._hold_floor(slot, old, entry)
        return old

    def _hold_floor(self, slot: int, old: RouteEntry, entry: RouteEntry) -> None:
        floor = old
        if self.floors is not None:
            floor = self.floors.pop(slot, old)
        if entry.sequence < floor.sequence or (
            entry.sequence == floor.sequence and entry.metric > floor.metric
        ):
            if self.floors is None:
                self.floors = {}
            self.floors[slot] = floor
        elif not self.floors:
            self.floors = None

    def drop(self, slot: int) -> bool:
        """Forget what a neighbour told; tell whether it had a route."""
        if slot >= len(self.entries) or self.entries[slot] is None:
            return False
        self.entries[slot] = None
        self.hops = None
        if self.floors is not None:
            self.floors.pop(slot, None)
        return True

    def forget_neighbour(self, slot: int) -> bool:
        """As `drop`, at the end of a session: nothing that it was told counts any more."""
        keep = ~(1 << slot)
        self.told &= keep
        self.current &= keep
        self.knows &= keep
        return self.drop(slot)

    def is_feasible(self, slot: int, entry: RouteEntry) -> bool:
        """Tell whether the way over a neighbour is safe."""
        if self.floors is not None:
            entry = self.floors.get(slot, entry)
        sequence = entry.sequence
        return sequence > self.fd_sequence or (
            sequence == self.fd_sequence and entry.metric < self.fd_metric
        )

    def cheapest(self, costs: Sequence[int], newest: int = 0) -> tuple[int, int]:
        """Return the best safe way, the present one if it is as good, as slot and metric.

        Args:
            newest: only ways with at least this sequence count.
        """
        best, least = NOBODY, INFINITY
        fd_sequence, fd_metric, floors = self.fd_sequence, self.fd_metric, self.floors
        for slot, entry in enumerate(self.entries):
            if entry is None or entry.sequence < newest:
                continue
            metric = entry.metric + costs[slot]
            if metric > least or (metric == least and slot != self.best):
                continue
            if floors is not None:
                entry = floors.get(slot, entry)
            sequence = entry.sequence
            if sequence > fd_sequence or (sequence == fd_sequence and entry.metric < fd_metric):
                best, least = slot, metric
        return (best, least) if least < INFINITY else (NOBODY, INFINITY)

    def least(self, costs: Sequence[int]) -> int:
        """Return the metric of the best way, safe or not."""
        entries = enumerate(self.entries)
        return min((each.metric + costs[slot] for slot, each in entries if each), default=INFINITY)

    def safe_slots(self, costs: Sequence[int]) -> tuple[int, ...]:
        """Return all safe ways, the chosen one first, then by their metric."""
        found = []
        fd_sequence, fd_metric, floors = self.fd_sequence, self.fd_metric, self.floors
        for slot, entry in enumerate(self.entries):
            if entry is None:
                continue
            metric = entry.metric + costs[slot]
            if floors is not None:
                entry = floors.get(slot, entry)
            sequence = entry.sequence
            is_safe = sequence > fd_sequence or (
                sequence == fd_sequence and entry.metric < fd_metric
            )
            if is_safe and metric < INFINITY:
                found.append((slot != self.best, metric, slot))
        found.sort()
        return tuple([slot for _, _, slot in found])

    def come_nearer(self, sequence: int, metric: int) -> None:
        """Somebody is told a nearer distance than ever: from now on only nearer ways are safe."""
        self.fd_sequence, self.fd_metric = sequence, metric
        self.hops = None

    def route_by(self, entry: RouteEntry | None) -> None:
        """Have another route, or none: nobody has been told of it yet."""
        self.exported = entry
        self.current = 0

    def renew(self, beacon: Beacon) -> None:
        """Take a newer beacon, which nobody has been shown yet."""
        self.beacon = beacon
        self.sequence = beacon.sequence
        self.knows = 0
        self.is_remembered = False

    def has_ways(self) -> bool:
        """Tell whether any neighbour has a route, safe or not."""
        return any(entry is not None for entry in self.entries)


def export(origin: NodeId, told: RouteEntry, metric: int, *, is_radio: bool) -> RouteEntry:
    """Return the route over a neighbour that told `told`, as others are told of it."""
    return RouteEntry(origin, told.sequence, metric, told.hops + 1, told.is_radio or is_radio)


def is_usable(entry: RouteEntry) -> bool:
    """Tell whether one more hop is allowed."""
    return entry.hops < MAX_HOPS

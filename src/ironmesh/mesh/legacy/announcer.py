"""What published neighbours are told of routes, and when (wire specification, section 10.1).

A published node tells its neighbours every 30 s, and never that something is gone. We also tell
them when a session begins, when something changed, and for a while what is gone, at cost 16.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ironmesh.mesh.legacy.table import INFINITY, ROUTE_LIFE_S, RoutingTable
from ironmesh.types import MeshMode, NodeId
from ironmesh.wire.legacy.mesh import MAX_ROUTES, RouteEntry

INTERVAL_S: Final = 30.0
"""Between two announcements to a neighbour while nothing changes."""
GAP_S: Final = 2.0
"""The least pause between two announcements to a neighbour: it takes 20 frames a second in all."""
AGAIN_S: Final = (3.0, 8.0)
"""Pauses after the first ones of a session: a published node that just started misses some."""
MAX_WITHDRAWN: Final = 1024
"""Destinations that are told to be gone."""


class Announcer:
    """Decides what to announce to whom, and when; `now` is monotonic seconds.

    Args:
        own_id: this node, which every announcement tells of first, at cost 0.
        mode: a node that does not relay announces nobody but itself.
    """

    def __init__(self, own_id: NodeId, mode: MeshMode, *, interval_s: float = INTERVAL_S) -> None:
        self._own_id = own_id
        self._mode = mode
        self._interval_s = interval_s
        self._last: dict[NodeId, float] = {}
        self._due: dict[NodeId, float] = {}
        self._count: dict[NodeId, int] = {}
        """How often each neighbour was told in this session."""
        self._told: set[NodeId] = set()
        self._withdrawn: dict[NodeId, float] = {}
        """What is gone, and until when we say so."""

    @property
    def next_timer(self) -> float | None:
        """When to call `due`, in monotonic seconds; None = nobody is to be told."""
        return min(self._due.values(), default=None)

    def link_up(self, neighbour: NodeId, now: float) -> None:
        """A published neighbour is there: it is told at once."""
        if self._mode is not MeshMode.OFF:
            self._due[neighbour] = now
            self._count[neighbour] = 0

    def link_down(self, neighbour: NodeId) -> None:
        """A neighbour is gone."""
        self._due.pop(neighbour, None)
        self._last.pop(neighbour, None)
        self._count.pop(neighbour, None)

    def changed(self, now: float) -> None:
        """Some route is new, worse, better or gone: all neighbours are told soon."""
        for neighbour, due in self._due.items():
            soon = max(now, self._last.get(neighbour, now - GAP_S) + GAP_S)
            self._due[neighbour] = min(due, soon)

    def take_due(self, now: float) -> list[NodeId]:
        """Return the neighbours that are to be told now."""
        neighbours = [neighbour for neighbour, due in self._due.items() if due <= now]
        for neighbour in neighbours:
            self._last[neighbour] = now
            self._due[neighbour] = now + self._pause_s(neighbour)
        return neighbours

    def _pause_s(self, neighbour: NodeId) -> float:
        count = self._count[neighbour]
        self._count[neighbour] = count + 1
        return min(self._interval_s, AGAIN_S[count] if count < len(AGAIN_S) else self._interval_s)

    def routes_for(
        self, neighbour: NodeId, table: RoutingTable, others: Mapping[NodeId, int], now: float
    ) -> tuple[RouteEntry, ...]:
        """Return what to tell a neighbour: ourselves, what its kind reaches, and all others.

        Args:
            table: routes over published nodes.
            others: what is reached otherwise, by its cost (hops, at least 1). Such a way wins over
                one in the table, since we take it ourselves.
        """
        if self._mode is not MeshMode.RELAY:
            return (RouteEntry(self._own_id, 0),)
        routes = {entry.destination: entry.cost for entry in table.announcement(neighbour)}
        for destination, cost in others.items():
            if destination not in (neighbour, self._own_id):
                routes[destination] = min(max(cost, 1), INFINITY)
        self._note_gone({one for one, cost in routes.items() if cost < INFINITY}, now)
        gone = [one for one in self._withdrawn if one not in routes and one != neighbour]
        nearest = sorted(routes.items(), key=lambda route: route[1])
        entries = [RouteEntry(destination, cost) for destination, cost in nearest]
        entries += [RouteEntry(destination, INFINITY) for destination in gone]
        return tuple(entries[:MAX_ROUTES])

    def _note_gone(self, reachable: set[NodeId], now: float) -> None:
        """Remember what was told of before; some neighbours are not told of what they told us."""
        self._told |= reachable
        old = [one for one, until in self._withdrawn.items() if until <= now or one in reachable]
        for destination in old:
            del self._withdrawn[destination]

    def withdraw(self, destination: NodeId, now: float) -> None:
        """A destination is gone: say so for as long as others would go on believing in it."""
        if destination in self._told:
            self._told.discard(destination)
            while len(self._withdrawn) >= MAX_WITHDRAWN:
                del self._withdrawn[next(iter(self._withdrawn))]
            self._withdrawn[destination] = now + ROUTE_LIFE_S
            self.changed(now)

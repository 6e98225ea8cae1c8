"""The published mesh's routing table: distance vector with poisoned reverse.

Wire specification 10.1 to 10.3. One route is used for each destination; a route lives as long as
the neighbour that told of it goes on announcing it. What other neighbours offered is remembered,
and takes over at once when that neighbour is gone: published nodes announce every 30 s only.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Final

import msgspec

from ironmesh.types import NodeId
from ironmesh.wire.legacy.mesh import RouteEntry

INFINITY: Final = 16
ROUTE_LIFE_S: Final = 90.0
MAX_DESTINATIONS: Final = 4096
"""Destinations kept; further ones are ignored until old ones expire."""


class Route(msgspec.Struct, frozen=True):
    """How to reach one destination."""

    next_hop: NodeId
    """The neighbour that announced it."""
    cost: int
    """Hops, 1 to 15."""
    learned_at: float
    """Monotonic seconds."""


def is_forged(entry: RouteEntry, neighbour: NodeId) -> bool:
    """Tell whether a neighbour says of another node what only that node can say."""
    return entry.cost == 0 and entry.destination != neighbour


class RoutingTable:
    """Routes of one node, learned from its neighbours' announcements.

    Args:
        own_id: the node whose table this is; never a destination.
        route_life_s: seconds after which a route that nobody repeats expires.
    """

    def __init__(self, own_id: NodeId, *, route_life_s: float = ROUTE_LIFE_S) -> None:
        self._own_id = own_id
        self._route_life_s = route_life_s
        self._routes: dict[NodeId, Route] = {}
        self._offers: dict[NodeId, dict[NodeId, Route]] = {}
        """By neighbour: the last that it said of each destination."""

    def __len__(self) -> int:
        return len(self._routes)

    def __iter__(self) -> Iterator[NodeId]:
        return iter(self._routes)

    def get(self, destination: NodeId) -> Route | None:
        """Return the route to `destination`, if there is one."""
        return self._routes.get(destination)

    def learn(self, neighbour: NodeId, entries: Iterable[RouteEntry], now: float) -> list[NodeId]:
        """Take over what `neighbour` announced (10.2), at monotonic time `now`.

        Cost 0 is what a node says of itself; of another it is a lie (14) and ignored.

        Returns:
            The destinations that are reached in another way than before, or no longer.
        """
        return [
            entry.destination
            for entry in entries
            if entry.destination != self._own_id
            and not is_forged(entry, neighbour)
            and self._learn(neighbour, entry.destination, entry.cost + 1, now)
        ]

    def _learn(self, neighbour: NodeId, destination: NodeId, cost: int, now: float) -> bool:
        self._note_offer(neighbour, destination, cost, now)
        known = self._routes.get(destination)
        is_same_source = known is not None and known.next_hop == neighbour
        if not 0 < cost < INFINITY:
            if is_same_source:
                del self._routes[destination]
            return is_same_source
        if known is None and len(self._routes) >= MAX_DESTINATIONS:
            return False
        if known is not None and not is_same_source and cost >= known.cost:
            return False
        self._routes[destination] = Route(neighbour, cost, now)
        return known is None or (known.next_hop, known.cost) != (neighbour, cost)

    def _note_offer(self, neighbour: NodeId, destination: NodeId, cost: int, now: float) -> None:
        offers = self._offers.setdefault(neighbour, {})
        if not 0 < cost < INFINITY:
            offers.pop(destination, None)
        elif destination in offers or len(offers) < MAX_DESTINATIONS:
            offers[destination] = Route(neighbour, cost, now)

    def _take_over(self, destination: NodeId, now: float) -> None:
        """Replace a route that is gone by the best that another neighbour offers, if one does."""
        del self._routes[destination]
        offers = [
            offer
            for each in self._offers.values()
            if (offer := each.get(destination)) is not None
            and now - offer.learned_at <= self._route_life_s
        ]
        if offers:
            self._routes[destination] = min(offers, key=lambda offer: offer.cost)

    def items(self) -> Iterable[tuple[NodeId, Route]]:
        """Return each destination with its route."""
        return self._routes.items()

    def announcement(self, neighbour: NodeId) -> tuple[RouteEntry, ...]:
        """Return what to tell `neighbour` (10.1): ourselves first, its own routes poisoned."""
        routes = [RouteEntry(self._own_id, 0)]
        for destination, route in self._routes.items():
            if destination != neighbour:
                cost = INFINITY if route.next_hop == neighbour else route.cost
                routes.append(RouteEntry(destination, cost))
        return tuple(routes)

    def next_hop(self, destination: NodeId, online: Container[NodeId]) -> NodeId | None:
        """Return the neighbour to hand a message for `destination` to (10.3); None = no route.

        Args:
            online: neighbours with a live session and, where breakers are used, a closed breaker.
        """
        if destination in online:
            return destination
        route = self._routes.get(destination)
        return route.next_hop if route is not None and route.next_hop in online else None

    def expire(self, now: float) -> list[NodeId]:
        """Drop the routes that nobody repeated within the route life.

        Returns:
            The destinations that are reached in another way than before, or no longer.
        """
        old = [
            destination
            for destination, route in self._routes.items()
            if now - route.learned_at > self._route_life_s
        ]
        for destination in old:
            self._take_over(destination, now)
        return old

    def forget(self, neighbour: NodeId, now: float) -> list[NodeId]:
        """Drop all routes through `neighbour`, whose session ended.

        Returns:
            The destinations that are reached in another way than before, or no longer.
        """
        self._offers.pop(neighbour, None)
        lost = [
            destination
            for destination, route in self._routes.items()
            if route.next_hop == neighbour
        ]
        for destination in lost:
            self._take_over(destination, now)
        return lost

"""Which nodes are reached over our own wire, as the parts that speak the 0.8 wire need to know."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from ironmesh.node.link import Link
from ironmesh.node.linktable import LinkTable
from ironmesh.transport.interface import TUNNEL
from ironmesh.types import NodeId


class NativeRoutes(Protocol):
    """What the native mesh knows beyond the direct peers."""

    def native_destinations(self) -> Iterable[NodeId]:
        """Return the nodes to which a route leads."""
        ...

    def native_hops(self, destination: NodeId) -> int | None:
        """Return how far a node is; None = no route leads there."""
        ...

    def next_native_hop(self, destination: NodeId) -> NodeId | None:
        """Return the direct peer on the best route."""
        ...

    def on_routes_changed(self, callback: Callable[[NodeId], None]) -> None:
        """Tell `callback` of each node to which a route is found or lost."""
        ...


class NativeReach:
    """Direct native peers, and whoever is reached through them."""

    def __init__(self, links: LinkTable) -> None:
        self._links = links
        self._routes: NativeRoutes | None = None

    def use(self, routes: NativeRoutes) -> None:
        """Count whoever these routes lead to."""
        self._routes = routes

    def is_reached(self, destination: NodeId) -> bool:
        """Tell whether messages for a node travel on our own wire, be it through a tunnel."""
        link = self._links.get(destination)
        if link is not None and link.info.is_ours:
            return True
        return self._routes is not None and self._routes.native_hops(destination) is not None

    def distance(self, destination: NodeId) -> int:
        """Return how many hops away a node is that is reached on our own wire, at least 1."""
        hops = None if self._routes is None else self._routes.native_hops(destination)
        return hops or 1

    def hops(self) -> dict[NodeId, int]:
        """Return how far the nodes are that are reached without published relays."""
        direct = [link.peer for link in self._links.online() if _is_untunnelled(link)]
        found = dict.fromkeys(direct, 1)
        if self._routes is not None:
            for destination in self._routes.native_destinations():
                hops = self._routes.native_hops(destination)
                if hops is not None and self._routes.next_native_hop(destination) in direct:
                    found.setdefault(destination, hops)
        return found


def _is_untunnelled(link: Link) -> bool:
    return link.info.is_ours and link.connection_info.transport != TUNNEL

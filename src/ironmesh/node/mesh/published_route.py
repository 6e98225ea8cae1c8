"""How a node of the 0.8 wire is reached that is no direct peer."""

from __future__ import annotations

from typing import NamedTuple

from ironmesh.types import NodeId


class PublishedRoute(NamedTuple):
    """A way over published relays, or over a bridge of ours."""

    destination: NodeId
    next_hop: NodeId
    """The published neighbour, or the bridge."""
    hops: int
    name: str = ""
    """As a bridge knows it: a claim."""

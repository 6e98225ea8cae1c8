"""The mesh as operators see it: routes, who is on the way, who can do what, and a map."""

from __future__ import annotations

import msgspec

from ironmesh.types import NodeId, WireKind


class NextHopView(msgspec.Struct, frozen=True, kw_only=True):
    """A neighbour that leads to a destination."""

    node_id: NodeId
    name: str
    metric: int
    """Of the whole way over it; a hop on a LAN is about 64."""
    hops: int
    is_radio: bool
    """At least one hop is radio."""


class RouteView(msgspec.Struct, frozen=True, kw_only=True):
    """How a node can be reached."""

    node_id: NodeId
    name: str
    """Its pinned name, or the one that it gives itself; empty while neither is known."""
    hops: int
    """1 = it is a direct peer."""
    metric: int
    is_radio: bool
    next_hop: NextHopView
    backups: tuple[NextHopView, ...]
    """Neighbours that take over at once if the next hop is gone, the best first."""
    trust: str
    """State of its pin; `revoked` or `unknown` where it has none."""
    wire: str = WireKind.NATIVE.value
    """`legacy` for a node of the 0.8 wire, which has no metric."""


class HopView(msgspec.Struct, frozen=True, kw_only=True):
    """One node on the way, as it says itself."""

    hop: int
    node_id: NodeId
    name: str
    rtt_ms: float
    """From asking to its answer."""
    outcome: str
    """`arrived`, `passed_on`, `no_route`, `hop_limit` or `does_not_relay`."""


class TraceView(msgspec.Struct, frozen=True, kw_only=True):
    """Who is on the way to a node."""

    node_id: NodeId
    name: str
    has_arrived: bool
    hops: tuple[HopView, ...]
    """Those that answered, the nearest first."""


class CapabilityView(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a node can do."""

    capability: str
    node_id: NodeId
    name: str
    hops: int | None
    """0 = this node; None = no route is known."""


class MapNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node on the map."""

    node_id: NodeId
    name: str
    hops: int
    """0 = this node."""


class MapEdge(msgspec.Struct, frozen=True, kw_only=True):
    """Two neighbours, the nearer one first."""

    near: NodeId
    far: NodeId
    is_known: bool
    """False = a node between them did not answer."""


class MapView(msgspec.Struct, frozen=True, kw_only=True):
    """The mesh as this node sees it: every node, and one way to each."""

    nodes: tuple[MapNode, ...]
    edges: tuple[MapEdge, ...]

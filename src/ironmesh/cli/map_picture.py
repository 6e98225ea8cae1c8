"""The map of a mesh as text for Graphviz, and as a picture."""

from __future__ import annotations

import math
from html import escape
from typing import Final

from ironmesh.cli.output import clean
from ironmesh.control.mesh_views import MapNode, MapView
from ironmesh.types import NodeId

RING: Final = 110.0
"""Between two rings of nodes, in pixels."""
MARGIN: Final = 90.0
RADIUS: Final = 7.0
MAX_LABEL: Final = 24

_STYLE: Final = (
    "text{font:12px sans-serif;text-anchor:middle;fill:#222}"
    "line{stroke:#789;stroke-width:1.5}.guess{stroke-dasharray:4 4}"
    "circle{fill:#4a7ba6}.own{fill:#b5532e}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}}"
)


def as_dot(view: MapView) -> str:
    """Return a graph in the language of Graphviz."""
    lines = ["graph mesh {", "  node [shape=box];"]
    for node in view.nodes:
        style = " [style=bold]" if node.hops == 0 else ""
        lines.append(f"  {_quoted(node.node_id)} [label={_quoted(label(node))}]{style};")
    for edge in view.edges:
        style = "" if edge.is_known else " [style=dashed]"
        lines.append(f"  {_quoted(edge.near)} -- {_quoted(edge.far)}{style};")
    return "\n".join([*lines, "}"])


def as_svg(view: MapView) -> str:
    """Return a picture: this node in the middle, the others around it by their distance."""
    places = _places(view)
    reach = max((math.hypot(x, y) for x, y in places.values()), default=0.0) + MARGIN
    size = 2 * reach
    head = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size:.0f} {size:.0f}"'
    parts = [
        f'<svg {head} width="{size:.0f}" height="{size:.0f}">',
        f"<style>{_STYLE}</style>",
    ]
    for edge in view.edges:
        (x1, y1), (x2, y2) = places[edge.near], places[edge.far]
        kind = "" if edge.is_known else ' class="guess"'
        parts.append(
            f'<line x1="{x1 + reach:.1f}" y1="{y1 + reach:.1f}"'
            f' x2="{x2 + reach:.1f}" y2="{y2 + reach:.1f}"{kind}/>'
        )
    for node in view.nodes:
        x, y = places[node.node_id]
        kind = ' class="own"' if node.hops == 0 else ""
        parts += [
            f'<circle cx="{x + reach:.1f}" cy="{y + reach:.1f}" r="{RADIUS:.0f}"{kind}/>',
            f'<text x="{x + reach:.1f}" y="{y + reach - 12:.1f}">{escape(label(node))}</text>',
        ]
    return "\n".join([*parts, "</svg>"])


def label(node: MapNode) -> str:
    """Return how a node is called on the map."""
    name = clean(node.name) or node.node_id[:8]
    return name if len(name) <= MAX_LABEL else name[: MAX_LABEL - 1] + "…"


def _places(view: MapView) -> dict[NodeId, tuple[float, float]]:
    """Give each node a sector of the circle as large as what is behind it."""
    below: dict[NodeId, list[NodeId]] = {}
    for edge in view.edges:
        below.setdefault(edge.near, []).append(edge.far)
    weights: dict[NodeId, int] = {}
    for node in sorted(view.nodes, key=lambda node: -node.hops):
        weights[node.node_id] = max(
            1, sum(weights.get(far, 1) for far in below.get(node.node_id, ()))
        )
    places: dict[NodeId, tuple[float, float]] = {}
    own = view.nodes[0].node_id
    waiting: list[tuple[NodeId, float, float, int]] = [(own, 0.0, math.tau, 0)]
    while waiting:
        node_id, start, end, ring = waiting.pop()
        if node_id in places:
            continue
        angle = (start + end) / 2
        places[node_id] = (ring * RING * math.cos(angle), ring * RING * math.sin(angle))
        behind = below.get(node_id, [])
        share = (end - start) / max(1, sum(weights.get(far, 1) for far in behind))
        for far in behind:
            width = share * weights.get(far, 1)
            waiting.append((far, start, start + width, ring + 1))
            start += width
    for number, node in enumerate(view.nodes):  # nobody is left out, whatever the edges say
        angle = math.tau * number / len(view.nodes)
        place = (node.hops * RING * math.cos(angle), node.hops * RING * math.sin(angle))
        places.setdefault(node.node_id, place)
    return places


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

"""A picture of a simulated mesh: its links, its nodes by how much they send, and who failed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from ironmesh.sim.topology import Topology

SIDE: Final = 800
MARGIN: Final = 24
FOOT: Final = 72
_STYLE: Final = (
    "svg{background:#fff;font:14px sans-serif;fill:#222}"
    "line{stroke:#b8c4d0;stroke-width:1}"
    ".gone{stroke:#e8d8d8}.dead{fill:#fff;stroke:#c0392b;stroke-width:1.5}"
)


def draw(
    topology: Topology, weights: Sequence[float], dead: Collection[int], lines: Sequence[str]
) -> str:
    """Return an SVG document.

    Args:
        weights: what each node sends; the more, the darker.
        dead: nodes that failed.
        lines: what stands below, two lines at most.
    """
    height = SIDE + FOOT
    size = f'viewBox="0 0 {SIDE} {height}" width="{SIDE}" height="{height}"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">']
    parts.append(f"<style>{_STYLE}</style>")
    gone = frozenset(dead)
    for a, b in topology.edges:
        kind = ' class="gone"' if a in gone or b in gone else ""
        (x1, y1), (x2, y2) = _place(topology.points[a]), _place(topology.points[b])
        parts.append(f'<line{kind} x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>')
    radius = max(2.0, min(9.0, 90 / len(topology) ** 0.5))
    most = max(weights, default=0.0) or 1.0
    for number, point in enumerate(topology.points):
        x, y = _place(point)
        look = 'class="dead"' if number in gone else f'fill="{_shade(weights[number] / most)}"'
        parts.append(f'<circle {look} cx="{x}" cy="{y}" r="{radius:.1f}"/>')
    for row, text in enumerate(lines[:2]):
        parts.append(f'<text x="{MARGIN}" y="{SIDE + 24 + 22 * row}">{_escaped(text)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _place(point: tuple[float, float]) -> tuple[float, float]:
    size = SIDE - 2 * MARGIN
    return round(MARGIN + size * point[0], 1), round(MARGIN + size * point[1], 1)


def _shade(part: float) -> str:
    """Return a blue between light (nothing) and dark (as much as the busiest)."""
    light, dark = (158, 202, 225), (8, 48, 107)
    mixed = (round(a + (b - a) * part) for a, b in zip(light, dark, strict=True))
    return "#" + "".join(f"{each:02x}" for each in mixed)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

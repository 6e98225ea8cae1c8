"""Shapes of meshes: who has a link to whom, and where everybody stands in the picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from ironmesh.errors import ConfigError

Edge = tuple[int, int]
Point = tuple[float, float]

DEGREE: Final = 9.0
"""Mean number of links of a node, where the shape leaves it open."""


@dataclass(frozen=True, slots=True)
class Topology:
    """Nodes by number; every edge once, the smaller number first."""

    points: tuple[Point, ...]
    """In a square from 0 to 1."""
    edges: tuple[Edge, ...]

    def __len__(self) -> int:
        return len(self.points)

    def components(self, without: frozenset[int] = frozenset()) -> list[set[int]]:
        """Return the connected parts of what is left without some nodes, the largest first."""
        near: dict[int, list[int]] = {each: [] for each in range(len(self)) if each not in without}
        for a, b in self.edges:
            if a in near and b in near:
                near[a].append(b)
                near[b].append(a)
        parts: list[set[int]] = []
        seen: set[int] = set()
        for start in near:
            if start in seen:
                continue
            part, todo = {start}, [start]
            while todo:
                for other in near[todo.pop()]:
                    if other not in part:
                        part.add(other)
                        todo.append(other)
            seen |= part
            parts.append(part)
        return sorted(parts, key=len, reverse=True)


def line(count: int) -> Topology:
    """Return one node after the other."""
    points = tuple(((each + 0.5) / count, 0.5) for each in range(count))
    return Topology(points, tuple((each, each + 1) for each in range(count - 1)))


def ring(count: int) -> Topology:
    """Return a line whose ends have a link, too."""
    turns = [2 * math.pi * each / count for each in range(count)]
    points = tuple((0.5 + 0.45 * math.cos(turn), 0.5 + 0.45 * math.sin(turn)) for turn in turns)
    edges = {
        (min(each, (each + 1) % count), max(each, (each + 1) % count)) for each in range(count)
    }
    return Topology(points, tuple(sorted(edge for edge in edges if edge[0] != edge[1])))


def grid(count: int) -> Topology:
    """Return rows and columns, as square as the number allows."""
    width = math.isqrt(count - 1) + 1
    points = tuple(
        ((each % width + 0.5) / width, (each // width + 0.5) / width) for each in range(count)
    )
    right = [(each, each + 1) for each in range(count - 1) if (each + 1) % width]
    below = [(each, each + width) for each in range(count - width)]
    return Topology(points, tuple(sorted(right + below)))


def geometric(count: int, random: Random, degree: float = DEGREE) -> Topology:
    """Return nodes at random places, with links to all that are near; parts are joined."""
    points = tuple((random.random(), random.random()) for _ in range(count))
    radius = math.sqrt(degree / (math.pi * max(1, count - 1)))
    cells: dict[tuple[int, int], list[int]] = {}
    for each, (x, y) in enumerate(points):
        cells.setdefault((int(x / radius), int(y / radius)), []).append(each)
    edges = []
    for a, (x, y) in enumerate(points):
        cell = int(x / radius), int(y / radius)
        around = [(cell[0] + dx, cell[1] + dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
        for b in (each for place in around for each in cells.get(place, ())):
            if a < b and math.dist(points[a], points[b]) <= radius:
                edges.append((a, b))
    return joined(Topology(points, tuple(sorted(edges))))


def scale_free(count: int, random: Random, degree: float = DEGREE) -> Topology:
    """Return nodes that came one by one and chose well-linked ones (Barabasi and Albert 1999)."""
    links = max(1, round(degree / 2))
    ends: list[int] = [0]
    edges: list[Edge] = []
    for each in range(1, count):
        chosen = {random.choice(ends) for _ in range(links)}
        edges += [(other, each) for other in sorted(chosen)]
        ends += [*sorted(chosen), *([each] * len(chosen))]
    return Topology(_spread(count), tuple(sorted(edges)))


def islands(count: int, random: Random, degree: float = DEGREE) -> Topology:
    """Return two geometric meshes with one link between them."""
    half = count // 2
    parts = geometric(half, random, degree), geometric(count - half, random, degree)
    left = [(x * 0.42, y * 0.84 + 0.08) for x, y in parts[0].points]
    right = [(0.58 + x * 0.42, y * 0.84 + 0.08) for x, y in parts[1].points]
    edges = [*parts[0].edges, *((half + a, half + b) for a, b in parts[1].edges)]
    bridge = min(
        ((a, half + b) for a in range(half) for b in range(count - half)),
        key=lambda edge: math.dist(left[edge[0]], right[edge[1] - half]),
    )
    return Topology((*left, *right), tuple(sorted([*edges, bridge])))


def joined(topology: Topology) -> Topology:
    """Return a topology in one part: each part gets a link to the nearest node of the others."""
    edges = list(topology.edges)
    points = topology.points
    largest, *others = topology.components()
    inside = sorted(largest)
    for part in others:
        pairs = ((a, b) for a in part for b in inside)
        a, b = min(pairs, key=lambda pair: (math.dist(points[pair[0]], points[pair[1]]), pair))
        edges.append((min(a, b), max(a, b)))
        inside += sorted(part)
    return Topology(points, tuple(sorted(edges)))


def _spread(count: int) -> tuple[Point, ...]:
    """Return places on a spiral, evenly spread, the first ones in the middle."""
    golden = math.pi * (3 - math.sqrt(5))
    places = [(0.48 * math.sqrt((each + 0.5) / count), each * golden) for each in range(count)]
    return tuple((0.5 + far * math.cos(turn), 0.5 + far * math.sin(turn)) for far, turn in places)


SHAPES: Final[dict[str, Callable[[int, Random, float], Topology]]] = {
    "line": lambda count, _random, _degree: line(count),
    "ring": lambda count, _random, _degree: ring(count),
    "grid": lambda count, _random, _degree: grid(count),
    "geometric": geometric,
    "scale-free": scale_free,
    "islands": islands,
}


def make(shape: str, count: int, random: Random, degree: float = DEGREE) -> Topology:
    """Return a mesh of a shape.

    Raises:
        ConfigError: there is no such shape, or it needs more nodes.
    """
    if shape not in SHAPES:
        raise ConfigError(f"no topology is called {shape!r}", f"one of {', '.join(SHAPES)}")
    if count < 2 or (shape == "islands" and count < 4):
        raise ConfigError(f"a mesh of {count} nodes", "take more of them")
    return SHAPES[shape](count, random, degree)

"""Shapes of meshes."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironmesh.errors import ConfigError
from ironmesh.sim.topology import SHAPES, make


@given(st.sampled_from(sorted(SHAPES)), st.integers(4, 60), st.integers(0, 2**32))
def test_every_mesh_is_in_one_part_and_names_each_link_once(
    shape: str, count: int, seed: int
) -> None:
    topology = make(shape, count, Random(seed), 4.0)
    assert len(topology) == count
    assert len(topology.components()) == 1
    assert len(set(topology.edges)) == len(topology.edges)
    assert all(a < b < count for a, b in topology.edges)
    assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y in topology.points)


def test_one_seed_makes_one_mesh() -> None:
    assert make("geometric", 100, Random(3)) == make("geometric", 100, Random(3))


def test_a_geometric_mesh_has_about_the_links_that_were_asked_for() -> None:
    topology = make("geometric", 1000, Random(1), 9.0)
    assert 8 < 2 * len(topology.edges) / 1000 < 9.5


def test_two_islands_have_one_bridge() -> None:
    topology = make("islands", 40, Random(1))
    assert sum(a < 20 <= b for a, b in topology.edges) == 1


def test_without_its_middle_a_line_falls_apart() -> None:
    topology = make("line", 5, Random(1))
    assert [sorted(part) for part in topology.components(frozenset({2}))] == [[0, 1], [3, 4]]


@pytest.mark.parametrize(("shape", "count"), [("star", 5), ("line", 1), ("islands", 3)])
def test_what_cannot_be_made_is_refused(shape: str, count: int) -> None:
    with pytest.raises(ConfigError):
        make(shape, count, Random(1))

"""Whatever happens to a mesh: never a circle, and at rest the shortest ways, exactly where there
are any."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ironmesh.mesh.routing.values import RouterLimits
from ironmesh.sim.engine import Engine
from ironmesh.sim.invariants import LoopWatch, check_at_rest, unrouted_pairs
from ironmesh.sim.links import LinkQuality
from ironmesh.sim.routing import RouterMesh
from ironmesh.sim.topology import SHAPES, Topology, make

REST_S = 150.0
"""Requests for sequences are repeated with pauses of up to a minute."""

events = st.lists(
    st.tuples(
        st.sampled_from(["cut", "join", "crash", "restart", "forget", "cost", "wait", "renew"]),
        st.integers(0, 1000),
        st.floats(0.0, 3.0),
    ),
    max_size=25,
)


def apply(mesh: RouterMesh, kind: str, number: int) -> None:
    """Do something to a mesh."""
    node = mesh.nodes[number % len(mesh.nodes)]
    edge = mesh.topology.edges[number % len(mesh.topology.edges)]
    does: dict[str, Callable[[], None]] = {
        "cut": lambda: mesh.disconnect(*edge),
        "join": lambda: mesh.connect(*edge),
        "cost": lambda: mesh.set_cost(*edge, 16 + number % 400),
        "crash": lambda: mesh.crash(node.number),
        "restart": lambda: mesh.restart(node.number),
        "forget": lambda: mesh.restart(node.number, remembers=False),
        "renew": lambda: mesh.renew(node.number),
        "wait": lambda: None,
    }
    if kind in ("restart", "forget") and node.is_alive:
        return
    if kind in ("crash", "renew") and not node.is_alive:
        return
    does[kind]()


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    shape = draw(st.sampled_from(sorted(SHAPES)))
    count = draw(st.integers(4, 9))
    return make(shape, count, Random(draw(st.integers(0, 2**32))), 3.0)


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(topologies(), st.integers(0, 2**32), events, st.sampled_from([0.001, 0.05, 0.6]))
@pytest.mark.timeout(180)
def test_there_is_never_a_circle_and_at_rest_all_ways_are_the_shortest(
    topology: Topology, seed: int, happens: list[tuple[str, int, float]], delay_s: float
) -> None:
    engine = Engine(seed)
    quality = LinkQuality(delay_s=delay_s, jitter_s=delay_s)
    limits = RouterLimits(small_delay_s=(1.0, 3.0))
    mesh = RouterMesh(engine, topology, quality=quality, costs=(16, 400), limits=limits)
    LoopWatch(mesh)
    mesh.start()
    for kind, number, wait_s in happens:
        engine.run_until(engine.now + wait_s)
        apply(mesh, kind, number)
    engine.run_until(engine.now + 2)
    for edge in topology.edges:
        mesh.connect(*edge)
    engine.run_until(engine.now + REST_S)
    assert unrouted_pairs(mesh) == 0
    for node in mesh.nodes:
        if node.is_alive:
            mesh.renew(node.number)
    engine.run_until(engine.now + REST_S)
    check_at_rest(mesh)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(topologies(), st.integers(0, 2**32), events)
@pytest.mark.timeout(180)
def test_a_table_that_is_too_small_never_makes_a_circle(
    topology: Topology, seed: int, happens: list[tuple[str, int, float]]
) -> None:
    engine = Engine(seed)
    mesh = RouterMesh(engine, topology, limits=RouterLimits(max_destinations=3))
    LoopWatch(mesh)
    mesh.start()
    for kind, number, wait_s in happens:
        engine.run_until(engine.now + wait_s)
        apply(mesh, kind, number)
    engine.run_until(engine.now + 30)


def test_one_seed_makes_one_run() -> None:
    def run() -> list[int]:
        engine = Engine(7)
        mesh = RouterMesh(
            engine, make("geometric", 30, engine.random), quality=LinkQuality(loss=0.1)
        )
        mesh.start()
        engine.run_until(5)
        mesh.crash(3)
        engine.run_until(30)
        return [engine.events, *(node.sent_bytes for node in mesh.nodes)]

    assert run() == run()

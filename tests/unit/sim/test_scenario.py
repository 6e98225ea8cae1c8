"""The life of a mesh, and lies told in one."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from ironmesh.errors import IronMeshError
from ironmesh.mesh.routing.values import Suspicion
from ironmesh.node.mesh.routing import MEASURE_SELDOM_S
from ironmesh.sim.engine import Engine
from ironmesh.sim.invariants import InvariantBrokenError, LoopWatch, check_at_rest, unrouted_pairs
from ironmesh.sim.picture import draw
from ironmesh.sim.routing import (
    ANSWER_S,
    QUIET_S,
    SILENCE_S,
    RouterMesh,
    RouterNode,
    Value,
)
from ironmesh.sim.scenario import BEAT_INTERVAL_S, MEASURE_INTERVAL_S, Run, Scenario
from ironmesh.sim.topology import make
from ironmesh.transport.websocket.limits import ACCEPTING, DIALLING
from ironmesh.types import MeshMode, NodeId
from ironmesh.wire.native.beacons import Beacon
from ironmesh.wire.native.routes import RouteEntry, Routes


def finished(**options: object) -> Run:
    run = Run(Scenario(**options))  # type: ignore[arg-type]
    for _ in run.steps():
        pass
    return run


def test_a_mesh_starts_rests_and_is_repaired() -> None:
    report = finished(nodes=40, seed=3).report()
    assert report.converged_s is not None
    assert report.converged_s < 10
    assert report.repaired_s is not None
    assert report.repaired_s < 30
    assert report.failed == 4
    assert report.delivered_at_rest == 1.0
    assert report.rest_bytes_per_s is not None
    assert report.rest_bytes_per_s < 100
    assert report.loop_checks > 0


def test_nodes_that_vanish_are_missed_by_their_silence_and_the_mesh_is_repaired() -> None:
    report = finished(nodes=40, seed=3, vanishing=1.0).report()
    assert report.vanished == report.failed == 4
    assert report.repaired_s is not None
    assert SILENCE_S[0] < report.repaired_s < 30


def test_the_simulated_times_are_those_of_a_node() -> None:
    assert ACCEPTING.ping_interval_s == QUIET_S
    assert DIALLING.ping_interval_s == BEAT_INTERVAL_S
    assert ACCEPTING.ping_timeout_s == DIALLING.ping_timeout_s == ANSWER_S
    assert MEASURE_INTERVAL_S == MEASURE_SELDOM_S


def test_one_seed_makes_one_report() -> None:
    reports = [finished(nodes=20, loss=0.05, seed=9, rest_s=60).report() for _ in range(2)]
    assert reports[0] == reports[1]
    assert finished(nodes=20, loss=0.05, seed=10, rest_s=60).report() != reports[0]


def test_a_line_that_loses_its_middle_is_repaired_in_its_parts() -> None:
    report = finished(nodes=12, topology="line", seed=2, rest_s=60).report()
    assert report.repaired_s is not None


def test_the_picture_is_a_picture() -> None:
    run = finished(nodes=10, rest_s=60)
    assert run.rest_rates is not None
    text = draw(run.mesh.topology, run.rest_rates, run.failed, ["a < b", "c"])
    root = ET.fromstring(text)
    kinds = [each.tag.rpartition("}")[2] for each in root]
    assert kinds.count("circle") == 10
    assert kinds.count("line") == len(run.mesh.topology.edges)
    assert kinds.count("text") == 2


# --- Lies ----------------------------------------------------------------------------------------


def lying_mesh(liar: int, lie: object, count: int = 16) -> RouterMesh:
    engine = Engine(5)
    mesh = RouterMesh(engine, make("grid", count, engine.random))
    LoopWatch(mesh, liars=[liar])
    mesh.tampers[liar] = lie  # type: ignore[assignment]
    mesh.start()
    engine.run_until(40)
    return mesh


def nearer(metric: int, hops: int):
    def lie(_node: RouterNode, _peer: NodeId, value: Value) -> Value:
        if not isinstance(value, Routes):
            return value
        told = (
            RouteEntry(each.origin, each.sequence, metric, hops) if each.metric else each
            for each in value.routes
        )
        return Routes(value.retracted, tuple(told), value.beacons, value.bucket)

    return lie


def test_a_node_that_says_it_is_everybody_is_not_believed() -> None:
    mesh = lying_mesh(5, nearer(0, 0))
    neighbours = [mesh.by_id[peer] for peer in mesh.nodes[5].sessions]
    for node in neighbours:
        assert {each.what for each in node.suspicious} == {Suspicion.CLAIMED_ORIGIN}
    honest = [node for node in mesh.nodes if node.number != 5]
    for node in honest:
        for other in honest:
            if other is not node:
                assert node.router.next_hops(other.id)[0] != mesh.nodes[5].id


def test_a_node_that_lies_about_distances_makes_no_circle_of_others() -> None:
    """It draws messages, and may lose them; that is all that it can do."""
    mesh = lying_mesh(5, nearer(1, 1))
    assert not any(node.suspicious for node in mesh.nodes)
    assert any(
        node.router.next_hops(mesh.nodes[15].id)[0] == mesh.nodes[5].id
        for node in mesh.nodes
        if node.number not in (5, 15)
    )
    mesh.crash(5)
    mesh.engine.run_until(80)
    assert unrouted_pairs(mesh) == 0


def test_forged_beacons_spread_no_further_than_one_hop() -> None:
    victim_key = b"v" * 32
    forged = Beacon(victim_key, 9, 0, bytes(32), b"forged" + bytes(58))

    def lie(_node: RouterNode, _peer: NodeId, value: Value) -> Value:
        if not isinstance(value, Routes) or value.bucket >= 0:
            return value
        entry = RouteEntry(forged.origin, 9, 1, 1)
        return Routes(value.retracted, (entry, *value.routes), (forged, *value.beacons))

    mesh = lying_mesh(5, lie)
    assert all(node.router.beacon(forged.origin) is None for node in mesh.nodes)
    suspecting = {node.number for node in mesh.nodes if node.suspicious}
    assert suspecting == {mesh.by_id[peer].number for peer in mesh.nodes[5].sessions}


def test_beacons_that_are_put_back_lead_nobody_astray() -> None:
    """The liar goes on telling of the first beacon of everybody, whatever comes after it."""
    first: dict[NodeId, Beacon] = {}

    def lie(_node: RouterNode, _peer: NodeId, value: Value) -> Value:
        if not isinstance(value, Routes):
            return value
        for each in value.beacons:
            first.setdefault(each.origin, each)
        old = tuple(
            RouteEntry(each.origin, first[each.origin].sequence, each.metric, each.hops)
            if each.metric and each.origin in first
            else each
            for each in value.routes
        )
        beacons = tuple(first.get(each.origin, each) for each in value.beacons)
        return Routes(value.retracted, old, beacons, value.bucket)

    mesh = lying_mesh(5, lie)
    for number in (0, 3, 12, 15):
        mesh.renew(number)
    mesh.engine.run_until(100)
    for node in mesh.nodes:
        for number in (0, 3, 12, 15):
            held = node.router.beacon(mesh.nodes[number].id)
            assert held is not None
            assert held.sequence == mesh.nodes[number].sequence


def test_a_passive_node_is_nobodys_way() -> None:
    engine = Engine(5)
    topology = make("line", 5, engine.random)
    mesh = RouterMesh(engine, topology, modes={2: MeshMode.PASSIVE})
    mesh.start()
    engine.run_until(30)
    ends = mesh.nodes[0], mesh.nodes[4]
    assert ends[0].router.next_hops(ends[1].id) == ()
    middle = mesh.nodes[2]
    for node in mesh.nodes:
        if node is not middle:
            assert middle.router.next_hops(node.id)
    assert ends[0].router.next_hops(mesh.nodes[1].id)


# --- What watches over the mesh ------------------------------------------------------------------


def test_the_watch_finds_a_circle() -> None:
    engine = Engine(5)
    mesh = RouterMesh(engine, make("ring", 4, engine.random))
    mesh.start()
    engine.run_until(30)
    target = mesh.nodes[0].id
    watch = LoopWatch(mesh, [target])
    for near, far in ((1, 2), (2, 1)):
        router, peer = mesh.nodes[near].router, mesh.nodes[far].id
        router.next_hops = lambda _, peer=peer: (peer,)  # type: ignore[method-assign]
    with pytest.raises(InvariantBrokenError, match="leads back"):
        watch.look(mesh.nodes[1])


def test_a_way_that_is_not_the_shortest_is_found() -> None:
    engine = Engine(5)
    mesh = RouterMesh(engine, make("line", 4, engine.random))
    mesh.start()
    engine.run_until(30)
    check_at_rest(mesh)
    mesh.costs[(1, 2)] += 7
    with pytest.raises(IronMeshError, match="reaches"):
        check_at_rest(mesh)

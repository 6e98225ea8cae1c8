"""Whole node cores: what they hand to each other, and what the watchers would see."""

from __future__ import annotations

import pytest

from ironmesh.sim.engine import Engine
from ironmesh.sim.invariants import InvariantBrokenError
from ironmesh.sim.stack.chaos import Chaos, Day
from ironmesh.sim.stack.diary import MARK, Diary, Seen, Sent, check_all_arrived
from ironmesh.sim.stack.mesh import StackMesh
from ironmesh.sim.topology import make
from ironmesh.types import MeshType, MessagePriority, NodeId

A, B = NodeId("a" * 32), NodeId("b" * 32)
NORMAL = MessagePriority.NORMAL


def quiet_mesh(count: int = 5) -> StackMesh:
    engine = Engine(3)
    mesh = StackMesh(engine, make("line", count, engine.random))
    mesh.start()
    engine.run_until(10)
    return mesh


def test_a_message_goes_over_three_relays_that_see_neither_body_nor_source() -> None:
    mesh = quiet_mesh()
    mesh.send(0, 4, "hello")
    mesh.engine.run_until(15)
    [seen] = mesh.diaries[mesh.nodes[4].id].seen
    assert (seen.text, seen.source) == ("hello", mesh.nodes[0].id)
    assert mesh.parcels >= 4
    check_all_arrived(mesh.diaries)
    assert mesh.stacks[0].post.count(mesh.nodes[4].id) == 0


def test_what_is_sent_to_a_node_that_is_down_arrives_when_it_is_back() -> None:
    mesh = quiet_mesh()
    mesh.crash(4)
    mesh.engine.run_until(15)
    for number in range(20):
        mesh.send(0, 4, f"message {number}")
    mesh.engine.run_until(30)
    assert not mesh.diaries[mesh.nodes[4].id].seen
    mesh.restart(4)
    mesh.engine.run_until(60)
    texts = [seen.text for seen in mesh.diaries[mesh.nodes[4].id].seen]
    assert texts == [f"message {number}" for number in range(20)]


def test_a_source_that_dies_goes_on_where_it_was() -> None:
    mesh = quiet_mesh()
    for number in range(20):
        mesh.send(0, 4, f"message {number}")
    mesh.engine.run_until(10.02)
    mesh.crash(0)
    mesh.engine.run_until(12)
    mesh.restart(0)
    mesh.engine.run_until(60)
    check_all_arrived(mesh.diaries)
    assert mesh.stacks[0].post.count(mesh.nodes[4].id) == 0


@pytest.mark.timeout(120)
def test_a_short_bad_day_ends_well() -> None:
    outcome = Day(Chaos(seed=7, nodes=12, messages=30, lasts_s=6.0, liars=1)).run()
    assert outcome.accepted > 20
    assert outcome.deaths > 0


# --- The watchers --------------------------------------------------------------------------------


def test_a_parcel_that_shows_its_body_is_seen() -> None:
    mesh = quiet_mesh(2)
    body = bytes(17) + b"sealed, but not well: " + MARK
    with pytest.raises(InvariantBrokenError, match="what is in it"):
        mesh.hand(mesh.nodes[0], mesh.nodes[1].id, (MeshType.PARCEL, body))


def test_a_parcel_that_shows_its_source_is_seen() -> None:
    mesh = quiet_mesh(2)
    body = bytes(17) + mesh.nodes[0].public
    with pytest.raises(InvariantBrokenError, match="who wrote it"):
        mesh.hand(mesh.nodes[0], mesh.nodes[1].id, (MeshType.PARCEL, body))


def test_a_second_delivery_without_its_mark_is_seen() -> None:
    diary = Diary()
    diary.saw(Seen("x", A, is_redelivered=False))
    diary.saw(Seen("x", A, is_redelivered=True))
    with pytest.raises(InvariantBrokenError, match="twice"):
        diary.saw(Seen("x", A, is_redelivered=False))


def test_a_message_that_did_not_arrive_is_seen() -> None:
    source = Diary(accepted=[Sent("x", B, NORMAL)])
    with pytest.raises(InvariantBrokenError, match="lost"):
        check_all_arrived({A: source, B: Diary()})


def test_messages_that_overtook_each_other_are_seen() -> None:
    source = Diary(accepted=[Sent("x", B, NORMAL), Sent("y", B, NORMAL)])
    target = Diary(seen=[Seen("y", A, is_redelivered=False), Seen("x", A, is_redelivered=False)])
    with pytest.raises(InvariantBrokenError, match="overtook"):
        check_all_arrived({A: source, B: target})

"""`routes`, `trace`, `caps` and `map`: what people and programs see of the mesh."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import msgspec
from tests.support.fake_operator import ALICE, BOB, CAROL, route

from ironmesh.cli.map_picture import as_dot, as_svg
from ironmesh.control.mesh_views import MapEdge, MapNode, MapView, NextHopView


def test_routes_tell_the_next_hop_and_who_could_take_over(ironmesh, tmp_path, alice):
    dave = NextHopView(node_id=ALICE, name="dave", metric=200, hops=3, is_radio=True)
    far = msgspec.structs.replace(route(CAROL, "carol", 2), backups=(dave,))
    alice.operator.known_routes = [route(BOB, "bob", 1), far]
    result = ironmesh("routes", "--home", tmp_path)
    lines = result.out.splitlines()
    assert lines[0].split() == ["NAME", "NODE", "ID", "HOPS", "METRIC", "BY", "BACKUPS"]
    assert lines[1].split() == ["bob", BOB, "1", "64", "direct", "-"]
    assert lines[2].split() == ["carol", CAROL, "2", "128", "bob", "dave"]
    assert max(map(len, lines)) <= 80


def test_routes_as_json_and_none_at_all(ironmesh, tmp_path, alice):
    shown = json.loads(ironmesh("routes", "--home", tmp_path, "--json").out)
    assert [(one["name"], one["hops"], one["next_hop"]["name"]) for one in shown] == [
        ("bob", 1, "bob"),
        ("carol", 2, "bob"),
    ]
    alice.operator.known_routes = []
    assert "no routes" in ironmesh("routes", "--home", tmp_path).out


def test_a_trace_has_a_line_for_each_hop(ironmesh, tmp_path, alice):
    result = ironmesh("trace", "carol", "--home", tmp_path)
    assert result.code == 0
    assert result.out.splitlines() == [
        "  1  bob (8f3c2a1b...): 0.84 ms",
        "  2  carol (c0ffee00...): 1.91 ms",
    ]
    assert json.loads(ironmesh("trace", "carol", "--home", tmp_path, "--json").out)["has_arrived"]


def test_a_trace_that_does_not_arrive_ends_with_1(ironmesh, tmp_path, alice):
    alice.operator.answers_traces = False
    result = ironmesh("trace", "carol", "--home", tmp_path)
    assert result.code == 1
    assert result.out.splitlines()[-1] == "carol (c0ffee00...) did not answer"


def test_a_trace_to_whom_no_route_leads_says_so(ironmesh, tmp_path, alice):
    result = ironmesh("trace", "zoe", "--home", tmp_path)
    assert result.code == 1
    assert "no route leads to 'zoe'" in result.err


def test_capabilities_of_all_or_by_a_pattern(ironmesh, tmp_path, alice):
    lines = ironmesh("caps", "--home", tmp_path).out.splitlines()
    assert [line.split()[0] for line in lines] == ["CAPABILITY", "llm:llama3", "role:ops"]
    assert lines[2].endswith("this node")
    (one,) = json.loads(ironmesh("caps", "llm:*", "--home", tmp_path, "--json").out)
    assert (one["node_id"], one["hops"]) == (CAROL, 2)
    assert "nobody has a capability" in ironmesh("caps", "gpu:*", "--home", tmp_path).out


def test_the_map_is_a_tree_on_the_terminal(ironmesh, tmp_path, alice):
    assert ironmesh("map", "--home", tmp_path).out.splitlines() == ["alice", "  bob", "    carol"]
    assert len(json.loads(ironmesh("map", "--home", tmp_path, "--json").out)["nodes"]) == 3


def test_the_map_goes_to_graphviz_and_into_a_file(ironmesh, tmp_path, alice):
    dot = ironmesh("map", "--dot", "--home", tmp_path).out
    assert dot.startswith("graph mesh {")
    assert f'"{BOB}" -- "{CAROL}";' in dot
    target = tmp_path / "mesh.svg"
    assert ironmesh("map", "--svg", "--output", target, "--home", tmp_path).out == ""
    picture = ET.fromstring(target.read_text())
    names = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert names == ["alice", "bob", "carol"]


HOSTILE = '"]; <script>&\x1b[2J' + "x" * 100


def test_a_hostile_name_cannot_leave_its_place_on_the_map():
    view = MapView(
        nodes=(
            MapNode(node_id=ALICE, name="alice", hops=0),
            MapNode(node_id=BOB, name=HOSTILE, hops=1),
            MapNode(node_id=CAROL, name="", hops=3),
        ),
        edges=(
            MapEdge(near=ALICE, far=BOB, is_known=True),
            MapEdge(near=BOB, far=CAROL, is_known=False),
        ),
    )
    dot, svg = as_dot(view), as_svg(view)
    assert "\x1b" not in dot + svg
    assert '[label="\\"]; <script>&' in dot
    assert "[style=dashed]" in dot
    ET.fromstring(svg)
    assert "<script>" not in svg
    assert 'class="guess"' in svg
    assert CAROL[:8] in svg

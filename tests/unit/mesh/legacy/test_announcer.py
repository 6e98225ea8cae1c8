"""What published neighbours are told, and when."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from ironmesh.mesh.legacy.announcer import AGAIN_S, GAP_S, INTERVAL_S, Announcer
from ironmesh.mesh.legacy.table import INFINITY, ROUTE_LIFE_S, RoutingTable
from ironmesh.types import MeshMode, NodeId
from ironmesh.wire.legacy.mesh import MAX_ROUTES, RouteEntry

OWN, P, Q, FAR, NATIVE = (NodeId(letter * 32) for letter in "0abcd")


def made(mode: MeshMode = MeshMode.RELAY) -> tuple[Announcer, RoutingTable]:
    table = RoutingTable(OWN)
    table.learn(P, [RouteEntry(P, 0), RouteEntry(FAR, 1)], 0.0)
    table.learn(Q, [RouteEntry(Q, 0)], 0.0)
    return Announcer(OWN, mode), table


def told(entries: tuple[RouteEntry, ...]) -> dict[NodeId, int]:
    assert entries[0] == RouteEntry(OWN, 0)
    found = {entry.destination: entry.cost for entry in entries}
    assert len(found) == len(entries)
    return found


def test_a_neighbour_is_told_of_us_of_published_routes_and_of_native_nodes_by_their_hops() -> None:
    announcer, table = made()
    assert told(announcer.routes_for(Q, table, {NATIVE: 3}, 0.0)) == {
        OWN: 0,
        P: 1,
        FAR: 2,
        NATIVE: 3,
    }


def test_what_a_neighbour_told_us_goes_back_to_it_as_unreachable() -> None:
    announcer, table = made()
    said = told(announcer.routes_for(P, table, {}, 0.0))
    assert said == {OWN: 0, Q: 1, FAR: INFINITY}


def test_our_own_way_to_a_node_goes_before_the_published_one() -> None:
    announcer, table = made()
    assert told(announcer.routes_for(P, table, {FAR: 1}, 0.0))[FAR] == 1


def test_a_neighbour_is_not_told_of_itself() -> None:
    announcer, table = made()
    assert Q not in told(announcer.routes_for(Q, table, {Q: 1, OWN: 1}, 0.0))


def test_what_is_too_far_is_unreachable() -> None:
    announcer, table = made()
    assert told(announcer.routes_for(Q, table, {NATIVE: 40}, 0.0))[NATIVE] == INFINITY


def test_a_node_that_does_not_relay_announces_itself_alone() -> None:
    announcer, table = made(MeshMode.PASSIVE)
    assert announcer.routes_for(Q, table, {NATIVE: 1}, 0.0) == (RouteEntry(OWN, 0),)


def test_what_is_gone_is_said_for_as_long_as_others_would_believe_in_it() -> None:
    announcer, table = made()
    announcer.link_up(Q, 0.0)
    announcer.take_due(0.0)
    announcer.take_due(AGAIN_S[0])
    announcer.routes_for(Q, table, {NATIVE: 2}, 0.0)
    announcer.withdraw(NATIVE, 10.0)
    assert announcer.next_timer == 10.0
    assert told(announcer.routes_for(Q, table, {}, 10.0))[NATIVE] == INFINITY
    assert told(announcer.routes_for(Q, table, {NATIVE: 2}, 20.0))[NATIVE] == 2
    announcer.withdraw(NATIVE, 30.0)
    assert NATIVE not in told(announcer.routes_for(Q, table, {}, 30.0 + ROUTE_LIFE_S))


def test_what_nobody_was_told_of_needs_no_withdrawal() -> None:
    announcer, _table = made()
    announcer.withdraw(NATIVE, 0.0)
    assert announcer.next_timer is None


def test_a_neighbour_is_told_at_once_then_regularly_and_soon_after_a_change() -> None:
    announcer, _table = made()
    announcer.link_up(P, 0.0)
    early = []
    for _ in range(len(AGAIN_S) + 2):
        due = announcer.next_timer
        assert due is not None
        assert announcer.take_due(due) == [P]
        early.append(due)
    assert early == [0.0, 3.0, 11.0, 11.0 + INTERVAL_S]
    announcer.link_down(P)
    announcer.link_up(P, 5.0)
    assert announcer.take_due(5.0) == [P]
    assert announcer.next_timer == 5.0 + AGAIN_S[0]
    announcer.changed(5.5)
    assert announcer.take_due(5.5) == []
    assert announcer.next_timer == 5.0 + GAP_S
    assert announcer.take_due(5.0 + GAP_S) == [P]
    announcer.changed(60.0)
    assert announcer.take_due(60.0) == [P]
    announcer.link_down(P)
    assert announcer.next_timer is None


def test_a_node_without_a_mesh_announces_nothing() -> None:
    announcer, _table = made(MeshMode.OFF)
    announcer.link_up(P, 0.0)
    assert announcer.next_timer is None


@given(changes=st.lists(st.floats(0.0, 300.0), max_size=40))
def test_however_often_something_changes_the_pauses_are_kept(changes: list[float]) -> None:
    announcer, _table = made()
    announcer.link_up(P, 0.0)
    at: list[float] = []
    moments = sorted([*changes, *(step / 4 for step in range(1201))])
    for now in moments:
        if now in changes:
            announcer.changed(now)
        at += [now for _ in announcer.take_due(now)]
    pauses = [later - before for before, later in itertools.pairwise(at)]
    assert all(GAP_S <= pause <= INTERVAL_S + 0.25 for pause in pauses)


def test_an_announcement_stays_within_what_neighbours_take() -> None:
    announcer, table = made()
    many = {NodeId(f"{number:032x}"): 5 for number in range(1, MAX_ROUTES + 100)}
    entries = announcer.routes_for(Q, table, many, 0.0)
    assert len(entries) == MAX_ROUTES
    assert told(entries)[P] == 1, "the nearest are told first"

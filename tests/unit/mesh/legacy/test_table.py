from hypothesis import given
from hypothesis import strategies as st
from tests.support.vectors import load

from ironmesh.mesh.legacy.table import INFINITY, MAX_DESTINATIONS, RoutingTable
from ironmesh.types import NodeId
from ironmesh.wire.legacy.mesh import RouteEntry

VECTORS = load("route_announce")
OWN = NodeId(VECTORS["self"])
A, B, C, FAR = (NodeId(letter * 32) for letter in "abcf")


def entries(routes):
    return [RouteEntry(NodeId(route["destination"]), route["cost"]) for route in routes]


def contents(table):
    return {
        destination: {
            "next_hop": table.get(destination).next_hop,
            "cost": table.get(destination).cost,
            "learned_from": table.get(destination).next_hop,
        }
        for destination in table
    }


def test_the_published_announcements_lead_to_the_published_tables():
    table = RoutingTable(OWN)
    for number, step in enumerate(VECTORS["receive_steps"], start=1):
        table.learn(step["announce_from"], entries(step["payload"]["routes"]), now=float(number))
        assert contents(table) == step["table_after"], f"after step {number}"
        expected = {
            4: VECTORS["announcements_after_step_4"],
            len(VECTORS["receive_steps"]): VECTORS["announcements_after_last_step"],
        }.get(number, [])
        for announcement in expected:
            told = table.announcement(announcement["neighbor"])
            assert list(told) == entries(announcement["routes"])


def test_a_neighbour_cannot_claim_to_be_another_node():
    table = RoutingTable(OWN)
    table.learn(A, [RouteEntry(A, 0), RouteEntry(FAR, 0)], now=0.0)
    assert list(table) == [A]


def test_an_equal_cost_does_not_replace_a_route():
    table = RoutingTable(OWN)
    table.learn(A, [RouteEntry(FAR, 1)], now=0.0)
    table.learn(B, [RouteEntry(FAR, 1)], now=1.0)
    assert table.get(FAR).next_hop == A


def test_a_route_that_nobody_repeats_expires_after_its_life():
    table = RoutingTable(OWN)
    table.learn(A, [RouteEntry(FAR, 1)], now=0.0)
    table.learn(B, [RouteEntry(B, 0)], now=60.0)
    assert table.expire(now=90.0) == []
    assert table.expire(now=90.5) == [FAR]
    assert list(table) == [B]


def test_routes_through_a_lost_neighbour_are_forgotten():
    table = RoutingTable(OWN)
    table.learn(A, [RouteEntry(A, 0), RouteEntry(FAR, 1)], now=0.0)
    table.learn(B, [RouteEntry(B, 0)], now=0.0)
    assert table.forget(A, 0.0) == [A, FAR]
    assert list(table) == [B]


def test_what_another_neighbour_offered_takes_over_at_once():
    table = RoutingTable(OWN)
    table.learn(A, [RouteEntry(A, 0), RouteEntry(FAR, 1)], now=0.0)
    table.learn(B, [RouteEntry(B, 0), RouteEntry(FAR, 3)], now=0.0)
    table.learn(C, [RouteEntry(C, 0), RouteEntry(FAR, 2)], now=0.0)
    assert table.forget(A, 10.0) == [A, FAR]
    assert (table.get(FAR).next_hop, table.get(FAR).cost) == (C, 3)
    table.learn(B, [RouteEntry(FAR, INFINITY)], now=20.0)
    table.forget(C, 30.0)
    assert table.get(FAR) is None, "what was taken back is no offer any more"


def test_an_offer_that_is_too_old_does_not_take_over():
    table = RoutingTable(OWN)
    table.learn(A, [RouteEntry(FAR, 1)], now=0.0)
    table.learn(B, [RouteEntry(FAR, 1)], now=50.0)
    assert table.expire(now=100.0) == [FAR]
    assert table.get(FAR).next_hop == B
    table.forget(B, 200.0)
    assert table.get(FAR) is None


def test_a_live_session_comes_before_the_table():
    table = RoutingTable(OWN)
    table.learn(A, [RouteEntry(B, 1), RouteEntry(FAR, 1)], now=0.0)
    assert table.next_hop(B, online={A, B}) == B
    assert table.next_hop(B, online={A}) == A
    assert table.next_hop(FAR, online={A}) == A
    assert table.next_hop(FAR, online={B}) is None
    assert table.next_hop(C, online={A}) is None


def test_the_table_does_not_grow_without_bound():
    table = RoutingTable(OWN)
    flood = [RouteEntry(NodeId(f"{number:032x}"), 1) for number in range(MAX_DESTINATIONS + 10)]
    table.learn(A, flood, now=0.0)
    assert len(table) == MAX_DESTINATIONS


nodes = st.sampled_from([OWN, A, B, C, FAR])
steps = st.lists(
    st.tuples(
        st.sampled_from([A, B, C]),
        st.lists(st.builds(RouteEntry, nodes, st.integers(-3, 20)), max_size=6),
    ),
    max_size=12,
)


@given(steps)
def test_whatever_is_announced_the_table_stays_sound(announcements):
    table = RoutingTable(OWN)
    for number, (neighbour, routes) in enumerate(announcements):
        table.learn(neighbour, routes, now=float(number))
    assert OWN not in set(table)
    assert all(0 < table.get(destination).cost < INFINITY for destination in table)
    for neighbour in (A, B, C):
        told = table.announcement(neighbour)
        assert told[0] == RouteEntry(OWN, 0)
        assert neighbour not in {entry.destination for entry in told}
        poisoned = {entry.destination for entry in told if entry.cost == INFINITY}
        learned = {node for node in table if table.get(node).next_hop == neighbour}
        assert poisoned == learned - {neighbour}

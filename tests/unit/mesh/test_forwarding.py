"""What a node does with a parcel that a neighbour hands over."""

from __future__ import annotations

from ironmesh.mesh import forwarding
from ironmesh.mesh.breaker import CircuitBreakers
from ironmesh.mesh.forwarding import Deliver, Drop, Forward, Forwarder, Refuse
from ironmesh.types import NodeId
from ironmesh.wire.native.relaying import Header, Obstacle

OWN, ALICE, BOB, CAROL, DAVE = (NodeId(letter * 32) for letter in "0abcd")
FAR = NodeId("f" * 32)


class Relay:
    """A forwarder with routes, and room, that the test sets."""

    def __init__(self, *, is_relay: bool = True) -> None:
        self.routes: dict[NodeId, tuple[NodeId, ...]] = {FAR: (CAROL, DAVE)}
        self.room = 10**9
        self.forwarder = Forwarder(
            OWN,
            next_hops=lambda destination: self.routes.get(destination, ()),
            has_room=lambda peer, size: size <= self.room,
            breakers=CircuitBreakers(),
            is_relay=is_relay,
        )
        self.count = 0

    def take(
        self,
        peer: NodeId = ALICE,
        to: NodeId = FAR,
        left: int = 5,
        *,
        known: bytes | None = None,
        now: float = 0.0,
    ) -> forwarding.Decision:
        self.count += 1
        parcel = known or self.count.to_bytes(32, "big")
        return self.forwarder.received(peer, Header(to, left), parcel, 300, now)


def test_what_is_for_us_is_taken_and_the_rest_goes_the_best_way() -> None:
    relay = Relay()
    assert relay.take(to=OWN, left=0) == Deliver()
    assert relay.take() == Forward(CAROL)


def test_a_parcel_never_goes_back_to_whom_it_came_from() -> None:
    relay = Relay()
    assert relay.take(CAROL) == Forward(DAVE)
    relay.routes[FAR] = (CAROL,)
    assert relay.take(CAROL) == Refuse(CAROL, Obstacle.NO_ROUTE)


def test_a_parcel_with_no_hops_left_goes_no_further() -> None:
    assert Relay().take(left=0) == Refuse(ALICE, Obstacle.HOP_LIMIT)


def test_a_parcel_for_nobody_that_is_known_is_turned_down() -> None:
    assert Relay().take(to=BOB) == Refuse(ALICE, Obstacle.NO_ROUTE)


def test_who_does_not_relay_turns_everything_down_but_its_own() -> None:
    relay = Relay(is_relay=False)
    assert relay.take() == Refuse(ALICE, Obstacle.NO_ROUTE)
    assert relay.take(to=OWN) == Deliver()


def test_who_exceeds_its_room_is_told_that_we_are_busy() -> None:
    relay = Relay()
    relay.room = 299
    assert relay.take() == Refuse(ALICE, Obstacle.BUSY)
    assert relay.take(to=OWN) == Deliver()


def test_a_repeated_parcel_is_dropped_and_one_that_went_in_a_circle_is_told_apart() -> None:
    relay = Relay()
    once = b"x" * 32
    assert relay.take(known=once) == Forward(CAROL)
    assert relay.take(known=once) == Drop("parcel_repeated")
    assert relay.take(BOB, known=once) == Drop("parcel_in_a_circle")
    ours = b"y" * 32
    relay.forwarder.sent(ours, FAR, CAROL, 0.0)
    assert relay.take(DAVE, known=ours) == Drop("parcel_in_a_circle")


def test_a_parcel_that_was_turned_down_may_come_again() -> None:
    relay = Relay()
    once = b"x" * 32
    relay.room = 0
    relay.take(known=once)
    relay.room = 10**9
    assert relay.take(known=once) == Forward(CAROL)


def test_what_comes_back_finds_its_way_to_whom_it_came_from() -> None:
    relay = Relay()
    relay.take(known=b"x" * 32)
    crumb = relay.forwarder.came_back(CAROL, b"x" * 32, Obstacle.NO_ROUTE, 59.0)
    assert crumb is not None
    assert (crumb.came_from, crumb.destination) == (ALICE, FAR)


def test_only_the_next_hop_is_believed_once_and_for_a_minute() -> None:
    relay = Relay()
    forwarder = relay.forwarder
    relay.take(known=b"x" * 32)
    assert forwarder.came_back(DAVE, b"x" * 32, Obstacle.NO_ROUTE, 1.0) is None
    assert forwarder.came_back(CAROL, b"y" * 32, Obstacle.NO_ROUTE, 1.0) is None
    assert forwarder.came_back(CAROL, b"x" * 32, Obstacle.NO_ROUTE, 61.0) is None
    assert forwarder.came_back(CAROL, b"x" * 32, Obstacle.NO_ROUTE, 2.0) is not None
    assert forwarder.came_back(CAROL, b"x" * 32, Obstacle.NO_ROUTE, 3.0) is None


def test_a_next_hop_that_fails_again_and_again_is_passed_by() -> None:
    relay = Relay()
    for number in range(3):
        known = bytes([number]) * 32
        assert relay.take(known=known) == Forward(CAROL)
        relay.forwarder.came_back(CAROL, known, Obstacle.NO_ROUTE, 0.0)
    assert relay.take() == Forward(DAVE)
    assert relay.take(now=61.0) == Forward(CAROL)


def test_the_only_way_is_given_no_rest() -> None:
    relay = Relay()
    relay.routes[FAR] = (CAROL, ALICE)
    for number in range(4):
        known = bytes([number]) * 32
        assert relay.take(known=known) == Forward(CAROL)
        relay.forwarder.came_back(CAROL, known, Obstacle.NO_ROUTE, 0.0)
    assert relay.take(CAROL) == Forward(ALICE)


def test_a_neighbour_is_avoided_unless_the_others_have_a_rest() -> None:
    relay = Relay()
    next_hop = relay.forwarder.next_hop
    assert next_hop(FAR, None, 0.0, avoid=CAROL) == DAVE
    for number in range(3):
        known = bytes([number]) * 32
        relay.take(CAROL, known=known)
        relay.forwarder.came_back(DAVE, known, Obstacle.NO_ROUTE, 0.0)
    assert next_hop(FAR, None, 0.0, avoid=CAROL) == CAROL
    assert next_hop(FAR, CAROL, 0.0) == DAVE


def test_being_busy_is_no_failure_of_a_way() -> None:
    relay = Relay()
    for number in range(5):
        known = bytes([number]) * 32
        relay.take(known=known)
        relay.forwarder.came_back(CAROL, known, Obstacle.BUSY, 0.0)
    assert relay.take() == Forward(CAROL)


def test_what_waits_for_a_neighbour_that_is_gone_goes_another_way_or_back() -> None:
    relay = Relay()
    relay.take(known=b"x" * 32)
    relay.routes[FAR] = (ALICE, DAVE)
    assert relay.forwarder.rerouted(b"x" * 32, 1.0) == Forward(DAVE)
    relay.routes[FAR] = (ALICE,)
    assert relay.forwarder.rerouted(b"x" * 32, 1.0) == Refuse(ALICE, Obstacle.NO_ROUTE)
    assert relay.forwarder.rerouted(b"y" * 32, 1.0) == Drop("parcel_forgotten")


def test_what_was_just_written_to_a_session_that_ends_may_be_lost() -> None:
    relay = Relay()
    for number, at in enumerate((0.0, 9.0, 9.5)):
        relay.take(known=bytes([number]) * 32, now=at)
        relay.forwarder.written(bytes([number]) * 32, CAROL, at)
    lost = relay.forwarder.link_down(CAROL, 10.0)
    assert [parcel[0] for parcel, _crumb in lost] == [1, 2]
    assert relay.forwarder.link_down(CAROL, 10.0) == []


def test_a_parcel_is_known_for_five_minutes_and_forgotten_after_ten() -> None:
    relay = Relay()
    relay.take(known=b"x" * 32, now=0.0)
    relay.take(now=299.0)
    assert isinstance(relay.take(known=b"x" * 32, now=300.0), Drop)
    relay.take(now=301.0)
    relay.take(now=610.0)
    relay.take(now=920.0)
    assert relay.take(known=b"x" * 32, now=921.0) == Forward(CAROL)


def test_the_memory_of_parcels_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(forwarding, "MAX_REMEMBERED", 10)
    relay = Relay()
    for _ in range(100):
        relay.take()
    assert relay.forwarder.remembered <= 20

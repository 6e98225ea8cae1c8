"""The router of one node, neighbour by neighbour."""

from __future__ import annotations

from hashlib import sha256
from random import Random

import pytest

from ironmesh.crypto.identity import node_id_of
from ironmesh.mesh.routing.router import Router
from ironmesh.mesh.routing.snapshot import decode_snapshot, encode_snapshot
from ironmesh.mesh.routing.values import (
    Bump,
    LinkCost,
    NewBeacon,
    PartitionAlarm,
    RouteFound,
    RouteLost,
    RouterAction,
    RouterLimits,
    Send,
    Suspicion,
    Suspicious,
)
from ironmesh.types import MeshMode, NodeId
from ironmesh.wire.native.beacons import Beacon
from ironmesh.wire.native.routes import (
    INFINITY,
    RouteDigest,
    RouteEntry,
    RouteRequest,
    Routes,
    SequenceRequest,
)

GOOD = b"s" * 64
LAN = LinkCost(64)


def public(name: str) -> bytes:
    return sha256(name.encode()).digest()


def node(name: str) -> NodeId:
    return node_id_of(public(name))


def beacon(name: str, sequence: int = 1, text: bytes = b"h" * 32) -> Beacon:
    return Beacon(public(name), sequence, 0, text, GOOD)


ME, ANN, BOB, EVE, FAR = (node(name) for name in ("me", "ann", "bob", "eve", "far"))


class Bench:
    """A router and its clock; what it sends is kept for each neighbour."""

    def __init__(self, mode: MeshMode = MeshMode.RELAY, **limits: object) -> None:
        self.now = 100.0
        self.checked: list[Beacon] = []
        self.router = Router(
            ME,
            mode,
            check=self._check,
            random=Random(1).randbytes,
            limits=RouterLimits(**limits),  # type: ignore[arg-type]
        )
        self.sent: dict[NodeId, list[Send]] = {}

    def _check(self, each: Beacon) -> bool:
        self.checked.append(each)
        return each.signature == GOOD

    def _keep(self, actions: list[RouterAction]) -> list[RouterAction]:
        for action in actions:
            if isinstance(action, Send):
                self.sent.setdefault(action.peer, []).append(action)
        return [each for each in actions if not isinstance(each, Send)]

    def announce(self, each: Beacon) -> None:
        self._keep(self.router.announce(each, self.now))

    def up(self, *peers: NodeId, link: LinkCost = LAN) -> None:
        for peer in peers:
            self._keep(self.router.link_up(peer, link, self.now))

    def down(self, peer: NodeId) -> list[RouterAction]:
        return self._keep(self.router.link_down(peer, self.now))

    def hears(self, peer: NodeId, value: Routes | RouteDigest | RouteRequest) -> list[RouterAction]:
        return self._keep(self.router.received(peer, value, self.now))

    def tells(self, peer: NodeId, name: str, sequence: int, metric: int, hops: int = 1) -> list:
        entry = RouteEntry(node(name), sequence, metric, hops if metric else 0)
        return self.hears(peer, Routes((), (entry,), (beacon(name, sequence),)))

    def wait(self, seconds: float) -> list[RouterAction]:
        end, actions = self.now + seconds, []
        while (at := self.router.next_timer) is not None and at <= end:
            self.now = max(self.now, at)
            actions += self._keep(self.router.timer(self.now))
        self.now = end
        return actions

    def told(self, peer: NodeId) -> list[Routes]:
        """Return what a neighbour was told since the last time, and forget it."""
        values = [each.value for each in self.sent.pop(peer, [])]
        return [each for each in values if isinstance(each, Routes)]

    def asked(self, peer: NodeId) -> list[SequenceRequest]:
        values = [each.value for each in self.sent.get(peer, [])]
        return [
            request
            for each in values
            if isinstance(each, RouteRequest)
            for request in each.sequences
        ]


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.announce(beacon("me"))
    made.up(ANN, BOB, EVE)
    made.wait(0.1)
    made.sent.clear()
    return made


def test_a_new_neighbour_hears_of_us_at_once() -> None:
    bench = Bench()
    bench.announce(beacon("me"))
    bench.up(ANN)
    [told] = bench.told(ANN)
    assert told.routes == (RouteEntry(ME, 1, 0, 0),)
    assert told.beacons == (beacon("me"),)


def test_neighbours_that_were_there_before_our_first_beacon_hear_of_it_at_once() -> None:
    bench = Bench()
    bench.up(ANN, BOB)
    bench.announce(beacon("me"))
    for peer in (ANN, BOB):
        [told] = bench.told(peer)
        assert told.beacons == (beacon("me"),)
    bench.wait(5)
    assert bench.told(ANN) == [], "and are not told it again"
    bench.announce(beacon("me", 2))
    assert bench.told(ANN) == [], "a later one has time"


def test_the_only_neighbour_is_not_told_of_itself() -> None:
    bench = Bench()
    bench.announce(beacon("me"))
    bench.up(ANN)
    bench.sent.clear()
    bench.tells(ANN, "ann", 1, 0)
    assert bench.router.next_timer is not None
    assert bench.router.next_timer > bench.now + 1, "nothing is planned for it"
    bench.up(BOB)
    [told] = bench.told(BOB)
    assert ANN in {each.origin for each in told.routes}


def test_a_new_neighbour_hears_at_once_of_those_who_were_there_before(bench: Bench) -> None:
    bench.tells(ANN, "far", 1, 100)
    new = node("new")
    bench.up(new)
    [told] = bench.told(new)
    assert {each.origin for each in told.routes} == {ME, FAR}
    bench.wait(5)
    assert bench.told(new) == [], "and is not told it again"


def test_what_changes_right_after_a_link_began_is_told_within_50_ms(bench: Bench) -> None:
    new = node("new")
    bench.up(new)
    bench.told(new)
    bench.tells(ANN, "far", 1, 100)
    bench.wait(0.05)
    assert [each.origin for told in bench.told(new) for each in told.routes] == [FAR]


def test_a_neighbour_whose_session_is_new_hears_everything_again(bench: Bench) -> None:
    bench.tells(ANN, "far", 1, 100)
    bench.wait(2)
    bench.told(BOB)
    bench.up(BOB)
    bench.wait(0.05)
    assert {each.origin for told in bench.told(BOB) for each in told.routes} == {ME, FAR}


def test_the_nearest_way_is_chosen_and_the_others_are_kept(bench: Bench) -> None:
    found = bench.tells(ANN, "far", 1, 200, 3)
    assert found == [NewBeacon(beacon("far"), ANN), RouteFound(FAR, 4, is_radio=False)]
    assert bench.tells(BOB, "far", 1, 100, 2) == []
    assert bench.router.next_hops(FAR) == (BOB, ANN)
    view = bench.router.route(FAR)
    assert view is not None
    assert (view.metric, view.hops) == (164, 3)
    assert [each.metric for each in view.next_hops] == [164, 264]
    assert list(bench.router.destinations()) == [FAR]


def test_a_change_is_told_within_50_ms_and_further_ones_together_a_second_later(
    bench: Bench,
) -> None:
    bench.wait(2)
    for number in range(5):
        bench.tells(ANN, f"n{number}", 1, 100)
        bench.wait(0.02)
    first = bench.told(BOB)
    assert len(first) == 1
    bench.wait(1)
    assert sum(len(each.routes) for each in first + bench.told(BOB)) == 5


def test_a_route_is_not_told_to_the_neighbour_that_it_leads_over(bench: Bench) -> None:
    bench.tells(ANN, "far", 1, 100)
    bench.wait(2)
    assert bench.told(ANN) == []
    assert [each.origin for told in bench.told(BOB) for each in told.routes] == [FAR]


def test_a_neighbour_that_became_the_way_hears_that_we_have_none_for_it(bench: Bench) -> None:
    bench.tells(ANN, "far", 1, 500)
    bench.wait(2)
    bench.told(BOB)
    bench.tells(BOB, "far", 1, 64)
    bench.wait(5)
    assert [each.retracted for each in bench.told(BOB)] == [(FAR,)]
    assert [each.origin for told in bench.told(ANN) for each in told.routes] == [FAR]


def test_a_lost_neighbour_is_replaced_at_once_where_another_way_is_safe(bench: Bench) -> None:
    bench.tells(ANN, "far", 1, 100)
    bench.tells(BOB, "far", 1, 130)
    bench.wait(2)
    assert bench.down(ANN) == []
    assert bench.router.next_hops(FAR) == (BOB,)


def test_a_way_that_could_lead_back_to_us_is_not_used_but_a_newer_sequence_is_asked_for(
    bench: Bench,
) -> None:
    bench.tells(ANN, "far", 1, 100)
    bench.wait(2)
    bench.tells(BOB, "far", 1, 300)
    assert bench.router.next_hops(FAR) == (ANN,)
    bench.sent.clear()
    assert bench.down(ANN) == [RouteLost(FAR)]
    bench.wait(0.05)
    assert bench.router.next_hops(FAR) == ()
    assert bench.asked(BOB) == [SequenceRequest(FAR, 2, 127)]
    assert [each.retracted for each in bench.told(EVE)] == [(FAR,)]
    assert bench.router.counters.black_holes == 1
    found = bench.tells(BOB, "far", 2, 300)
    assert RouteFound(FAR, 2, is_radio=False) in found
    assert bench.router.next_hops(FAR) == (BOB,)


def test_it_is_asked_for_each_second_for_longer_than_a_host_may_be_gone_unnoticed(
    bench: Bench,
) -> None:
    """However often others ask for the same meanwhile."""
    bench.tells(ANN, "far", 1, 100)
    bench.wait(2)
    bench.tells(BOB, "far", 1, 300)
    bench.down(ANN)
    for _ in range(8):
        bench.hears(EVE, RouteRequest((SequenceRequest(FAR, 2, 20),)))
        bench.wait(1.0)
    bench.sent.clear()
    bench.wait(8.5)
    assert len(bench.asked(BOB)) >= 8
    bench.wait(120)
    bench.sent.clear()
    bench.wait(60)
    assert len(bench.asked(BOB)) <= 1


def test_a_retraction_is_told_even_within_a_second_of_other_news(bench: Bench) -> None:
    bench.tells(ANN, "far", 1, 100)
    bench.wait(2)
    bench.tells(ANN, "n1", 1, 100)
    bench.wait(0.06)
    bench.sent.clear()
    bench.hears(ANN, Routes((FAR,)))
    bench.wait(0.25)
    assert [each.retracted for each in bench.told(BOB)] == [(FAR,)]


def test_a_neighbour_whose_way_gets_longer_stays_safe(bench: Bench) -> None:
    """It was nearer than us once in this session: it can never lead back to us."""
    bench.tells(ANN, "far", 1, 100)
    bench.wait(2)
    bench.tells(ANN, "far", 1, 400, 6)
    assert bench.router.next_hops(FAR) == (ANN,)
    view = bench.router.route(FAR)
    assert view is not None
    assert view.metric == 464


def test_what_a_neighbour_told_before_it_retracted_does_not_count(bench: Bench) -> None:
    bench.tells(ANN, "far", 1, 100)
    bench.wait(2)
    bench.hears(ANN, Routes((FAR,)))
    bench.tells(ANN, "far", 1, 400, 6)
    assert bench.router.next_hops(FAR) == ()


def test_a_request_is_answered_by_whoever_has_the_sequence(bench: Bench) -> None:
    bench.tells(ANN, "far", 5, 100)
    bench.wait(3)
    bench.sent.clear()
    bench.hears(BOB, RouteRequest((SequenceRequest(FAR, 5, 20),)))
    bench.wait(0.3)
    assert [each.sequence for told in bench.told(BOB) for each in told.routes] == [5]


def test_a_request_goes_on_over_the_chosen_way_once_and_its_answer_comes_back(
    bench: Bench,
) -> None:
    bench.tells(ANN, "far", 5, 100)
    bench.wait(3)
    bench.sent.clear()
    for peer in (BOB, EVE):
        bench.hears(peer, RouteRequest((SequenceRequest(FAR, 6, 20),)))
    bench.wait(0.3)
    assert bench.asked(ANN) == [SequenceRequest(FAR, 6, 19)]
    bench.sent.clear()
    bench.tells(ANN, "far", 6, 100)
    bench.wait(0.3)
    for peer in (BOB, EVE):
        assert [each.sequence for told in bench.told(peer) for each in told.routes] == [6]


def test_a_request_is_answered_with_a_way_that_has_the_sequence_though_it_is_not_the_best(
    bench: Bench,
) -> None:
    bench.tells(ANN, "far", 5, 100)
    bench.wait(3)
    bench.tells(EVE, "far", 6, 400)
    assert bench.router.next_hops(FAR)[0] == ANN
    bench.hears(BOB, RouteRequest((SequenceRequest(FAR, 6, 20),)))
    assert bench.router.next_hops(FAR)[0] == EVE
    bench.sent.clear()
    bench.wait(0.3)
    assert [each.sequence for told in bench.told(BOB) for each in told.routes] == [6]
    assert bench.asked(ANN) == bench.asked(EVE) == []
    bench.tells(ANN, "far", 6, 100)
    assert bench.router.next_hops(FAR)[0] == ANN


def test_a_sequence_that_a_neighbour_waits_for_is_taken_whoever_brings_it(bench: Bench) -> None:
    bench.tells(ANN, "far", 5, 100)
    bench.wait(3)
    bench.hears(BOB, RouteRequest((SequenceRequest(FAR, 6, 20),)))
    bench.wait(0.3)
    bench.sent.clear()
    bench.tells(EVE, "far", 6, 400)
    bench.wait(0.3)
    assert [each.sequence for told in bench.told(BOB) for each in told.routes] == [6]


def test_without_a_request_a_newer_sequence_does_not_lead_a_longer_way(bench: Bench) -> None:
    bench.tells(ANN, "far", 5, 100)
    bench.wait(3)
    bench.tells(EVE, "far", 6, 400)
    bench.wait(90)
    assert bench.router.next_hops(FAR)[0] == ANN


def test_who_was_our_way_and_lost_its_own_is_told_at_once_of_the_one_that_we_have_now(
    bench: Bench,
) -> None:
    bench.tells(ANN, "far", 5, 100)
    bench.tells(BOB, "far", 5, 110)
    bench.wait(5)
    assert bench.router.next_hops(FAR)[0] == ANN
    bench.sent.clear()
    bench.hears(ANN, Routes((FAR,)))
    bench.wait(0.3)
    assert [each.origin for told in bench.told(ANN) for each in told.routes] == [FAR]


def test_news_of_a_node_go_on_at_once_by_the_chosen_way_and_by_another_one_in_a_while(
    bench: Bench,
) -> None:
    bench.tells(ANN, "far", 5, 100)
    bench.wait(5)
    bench.sent.clear()
    news = beacon("far", 6, b"new" + bytes(29))
    bench.hears(EVE, Routes((), (RouteEntry(FAR, 6, 300, 3),), (news,)))
    bench.wait(1.5)
    assert bench.told(BOB) == []
    bench.hears(ANN, Routes((), (RouteEntry(FAR, 6, 100, 1),), (news,)))
    bench.wait(0.06)
    [told] = bench.told(BOB)
    assert told.beacons == (news,)
    bench.wait(10)
    assert bench.told(BOB) == [], "once is enough"
    later = beacon("far", 7, b"newer" + bytes(27))
    bench.hears(EVE, Routes((), (RouteEntry(FAR, 7, 300, 3),), (later,)))
    bench.wait(4.1)
    assert [each.beacons for each in bench.told(BOB)] == [(later,)]


def test_what_a_neighbour_holds_already_is_not_told_again(bench: Bench) -> None:
    bench.tells(ANN, "far", 5, 100)
    bench.wait(5)
    bench.told(BOB)
    bench.tells(EVE, "far", 6, 90)  # adopted, since it is much better: told within a second
    bench.tells(EVE, "far", 7, 90)
    bench.wait(10)
    told = [entry for told in bench.told(BOB) for entry in told.routes]
    assert len(told) == len(set(told))


def test_a_request_that_used_up_its_hops_goes_no_further(bench: Bench) -> None:
    bench.tells(ANN, "far", 5, 100)
    bench.wait(3)
    bench.sent.clear()
    bench.hears(BOB, RouteRequest((SequenceRequest(FAR, 6, 1),)))
    bench.wait(0.3)
    assert bench.asked(ANN) == []


def test_nobody_can_ask_for_a_sequence_that_will_never_be(bench: Bench) -> None:
    bench.tells(ANN, "far", 5, 100)
    bench.wait(3)
    bench.hears(BOB, RouteRequest((SequenceRequest(FAR, 2**64 - 1, 20),)))
    bench.wait(0.3)
    assert [each.sequence for each in bench.asked(ANN)] == [6]


def test_whoever_needs_a_newer_sequence_of_ours_gets_one_at_once(bench: Bench) -> None:
    bench.wait(3)
    assert bench.hears(BOB, RouteRequest((SequenceRequest(ME, 2, 20),))) == [Bump(1)]
    assert bench.hears(EVE, RouteRequest((SequenceRequest(ME, 2, 20),))) == []
    bench.announce(beacon("me", 2))
    bench.wait(0.3)
    for peer in (BOB, EVE):
        assert [each.sequence for told in bench.told(peer) for each in told.routes] == [2]


def test_new_beacons_on_request_are_rationed(bench: Bench) -> None:
    limits = RouterLimits()
    made = 0
    for sequence in range(1, 40):
        if bench.hears(BOB, RouteRequest((SequenceRequest(ME, sequence + 1, 20),))):
            made += 1
            bench.announce(beacon("me", sequence + 1))
        else:
            break
    assert made == limits.bump_burst
    assert bench.wait(limits.bump_interval_s + 0.1) == [Bump(1 + made)]


def test_a_small_gain_is_taken_a_little_later(bench: Bench) -> None:
    bench.tells(ANN, "far", 1, 1000)
    bench.tells(BOB, "far", 1, 950)
    bench.wait(20)
    assert bench.router.next_hops(FAR)[0] == ANN
    bench.wait(45)
    assert bench.router.next_hops(FAR)[0] == BOB


def test_a_dearer_link_is_left_for_a_better_one(bench: Bench) -> None:
    bench.tells(ANN, "far", 1, 100)
    bench.tells(BOB, "far", 1, 130)
    bench.router.link_changed(ANN, LinkCost(500), bench.now)
    assert bench.router.next_hops(FAR) == (BOB, ANN)


def test_radio_on_the_way_shows() -> None:
    bench = Bench()
    bench.up(ANN, link=LinkCost(5000, is_radio=True))
    assert RouteFound(FAR, 2, is_radio=True) in bench.tells(ANN, "far", 1, 100)
    bench.up(BOB)
    bench.wait(0.1)
    assert [each.is_radio for told in bench.told(BOB) for each in told.routes] == [True]


def test_an_unusable_distance_is_no_way(bench: Bench) -> None:
    bench.tells(ANN, "far", 1, INFINITY - 1)
    bench.tells(BOB, "far", 1, 500, 127)
    assert bench.router.next_hops(FAR) == ()


def test_a_much_better_way_that_is_not_safe_becomes_so_after_a_while(bench: Bench) -> None:
    bench.tells(ANN, "far", 1, 200)
    bench.wait(3)
    bench.tells(ANN, "far", 1, 900, 5)
    bench.tells(BOB, "far", 1, 300)
    bench.sent.clear()
    bench.wait(31)
    assert bench.router.next_hops(FAR) == (ANN,)
    assert bench.asked(ANN) == [SequenceRequest(FAR, 2, 127)]
    bench.tells(ANN, "far", 2, 900, 5)
    bench.tells(BOB, "far", 2, 300)
    assert bench.router.next_hops(FAR)[0] == BOB


# --- Modes ---------------------------------------------------------------------------------------


def test_a_passive_node_uses_routes_and_tells_of_nobody_but_itself() -> None:
    bench = Bench(MeshMode.PASSIVE)
    bench.announce(beacon("me"))
    bench.up(ANN)
    bench.tells(ANN, "far", 1, 100)
    bench.up(BOB)
    bench.wait(5)
    assert bench.router.next_hops(FAR) == (ANN,)
    assert {each.origin for told in bench.told(BOB) for each in told.routes} == {ME}
    bench.hears(BOB, RouteRequest((SequenceRequest(FAR, 2, 20),), (FAR,)))
    bench.wait(1)
    assert bench.asked(ANN) == []
    assert bench.told(BOB) == []


# --- Lies ----------------------------------------------------------------------------------------


def test_a_forged_beacon_is_not_believed_and_named(bench: Bench) -> None:
    forged = Beacon(public("far"), 1, 0, b"h" * 32, b"x" * 64)
    heard = bench.hears(EVE, Routes((), (RouteEntry(FAR, 1, 64, 1),), (forged,)))
    assert heard[0] == Suspicious(EVE, Suspicion.FORGED_BEACON, FAR)
    assert bench.router.next_hops(FAR) == ()
    assert bench.router.beacon(FAR) is None


def test_nobody_is_believed_to_be_somebody_else(bench: Bench) -> None:
    bench.tells(ANN, "far", 1, 100)
    heard = bench.hears(EVE, Routes((), (RouteEntry(FAR, 1, 0, 0),)))
    assert heard == [Suspicious(EVE, Suspicion.CLAIMED_ORIGIN, FAR)]
    assert bench.router.next_hops(FAR) == (ANN,)


def test_a_sequence_without_a_beacon_is_not_believed_and_the_beacon_is_asked_for(
    bench: Bench,
) -> None:
    bench.tells(ANN, "far", 1, 100)
    heard = bench.hears(EVE, Routes((), (RouteEntry(FAR, 9, 1, 1),)))
    assert heard == [Suspicious(EVE, Suspicion.UNPROVED_SEQUENCE, FAR)]
    bench.wait(0.3)
    assert any(
        isinstance(each.value, RouteRequest) and each.value.beacons == (FAR,)
        for each in bench.sent[EVE]
    )


def test_an_old_beacon_that_is_put_back_changes_nothing(bench: Bench) -> None:
    bench.tells(ANN, "far", 7, 100)
    bench.wait(3)
    assert bench.tells(EVE, "far", 3, 1) == []
    assert bench.router.next_hops(FAR) == (ANN,)
    held = bench.router.beacon(FAR)
    assert held is not None
    assert held.sequence == 7


def test_of_two_beacons_with_one_sequence_the_first_stays(bench: Bench) -> None:
    bench.tells(ANN, "far", 7, 100)
    twin = beacon("far", 7, b"other" + bytes(27))
    heard = bench.hears(EVE, Routes((), (RouteEntry(FAR, 7, 500, 2),), (twin,)))
    assert heard == [Suspicious(EVE, Suspicion.CLONED, FAR)]
    assert bench.router.beacon(FAR) == beacon("far", 7)


def test_a_node_that_meets_a_later_beacon_of_its_own_goes_on_above_it(bench: Bench) -> None:
    heard = bench.tells(EVE, "me", 50, 64)
    assert Bump(50) in heard
    assert Suspicious(EVE, Suspicion.CLONED, ME) in heard


def test_a_beacon_is_verified_once_however_many_tell_it(bench: Bench) -> None:
    for peer in (ANN, BOB, EVE):
        bench.tells(peer, "far", 1, 100)
    assert bench.checked == [beacon("far")]


# --- Agreement -----------------------------------------------------------------------------------


def test_a_digest_that_agrees_is_not_answered() -> None:
    one, other = pair_of_routers()
    exchange(one, other)
    for bench in (one, other):
        bench.sent.clear()
    one.wait(140)
    digests = [each.value for each in one.sent[node("other")]]
    assert len(digests) == 1
    other.hears(node("one"), digests[0])
    other.wait(1)
    assert not any(isinstance(each.value, RouteDigest) for each in other.sent.get(node("one"), []))


def test_a_digest_that_differs_has_the_buckets_that_differ_told_again() -> None:
    one, other = pair_of_routers()
    exchange(one, other)
    one.router.received(node("x"), Routes((node("n3"),)), one.now)
    one.wait(2)
    one.sent.clear()  # what it told of n3 is lost on the way
    assert other.router.next_hops(node("n3")) == (node("one"),)
    exchange(one, other, seconds=140)
    exchange(one, other)
    assert other.router.next_hops(node("n3")) == ()
    assert other.router.next_hops(node("n4")) == (node("one"),)
    assert other.router.counters.digest_mismatches == 1


def pair_of_routers() -> tuple[Bench, Bench]:
    one, other = Bench(), Bench()
    for bench, own in ((one, "one"), (other, "other")):
        bench.router = Router(
            node(own), MeshMode.RELAY, check=lambda _: True, random=Random(2).randbytes
        )
        bench.announce(beacon(own))
    one.up(node("other"), node("x"))
    other.up(node("one"))
    for number in range(20):
        one.tells(node("x"), f"n{number}", 1, 100)
    return one, other


def exchange(one: Bench, other: Bench, seconds: float = 2.0) -> None:
    """Let time pass, and hand over what was sent, until nothing is."""
    for bench in (one, other):
        bench.wait(seconds)
    for _ in range(10):
        for bench, there, peer in (
            (one, other, node("other")),
            (other, one, node("one")),
        ):
            own = node("one") if bench is one else node("other")
            for each in bench.sent.pop(peer, []):
                there.hears(own, each.value)
            there.wait(1.2)


# --- Bounds --------------------------------------------------------------------------------------


def test_a_full_table_is_shared_fairly_by_neighbours() -> None:
    bench = Bench(max_destinations=20)
    bench.up(EVE, ANN)
    for number in range(50):
        bench.tells(EVE, f"eve{number}", 1, 100)
    for number in range(15):
        bench.tells(ANN, f"ann{number}", 1, 100)
    hops = [bench.router.next_hops(each)[0] for each in bench.router.destinations()]
    assert len(hops) == 20
    assert 9 <= hops.count(ANN) <= 11
    assert bench.router.counters.table_full


def test_a_neighbour_is_in_the_table_even_if_it_is_full() -> None:
    bench = Bench(max_destinations=5)
    bench.up(EVE, ANN)
    for number in range(5):
        bench.tells(EVE, f"eve{number}", 1, 100)
    bench.tells(ANN, "ann", 1, 0)
    assert bench.router.next_hops(ANN) == (ANN,)


def test_a_destination_that_had_to_make_room_is_not_used_in_a_circle_when_it_comes_back() -> None:
    bench = Bench(max_destinations=2)
    bench.up(EVE, ANN, BOB)
    bench.tells(EVE, "far", 1, 100)
    bench.tells(EVE, "eve1", 1, 100)
    bench.wait(2)
    bench.tells(ANN, "ann", 1, 0)
    bench.tells(BOB, "bob", 1, 0)
    assert bench.router.next_hops(FAR) == ()
    bench.down(ANN)
    bench.tells(EVE, "far", 1, 300)
    assert bench.router.next_hops(FAR) == ()


def test_a_destination_that_stays_lost_is_forgotten(bench: Bench) -> None:
    bench.tells(ANN, "far", 1, 100)
    bench.wait(2)
    bench.hears(ANN, Routes((FAR,)))
    bench.wait(200)
    assert bench.router.beacon(FAR) is not None
    bench.wait(300)
    assert bench.router.beacon(FAR) is None


def test_news_to_radio_neighbours_wait_for_more() -> None:
    bench = Bench(radio_interval_s=20.0)
    bench.up(ANN)
    bench.up(BOB, link=LinkCost(5000, is_radio=True))
    bench.wait(1)
    for number in range(40):
        bench.tells(ANN, f"n{number}", 1, 100)
        bench.wait(1)
    assert len(bench.told(BOB)) <= 3


def test_losing_most_of_the_mesh_raises_an_alarm_once(bench: Bench) -> None:
    for number in range(10):
        bench.tells(ANN, f"n{number}", 1, 100)
    bench.tells(BOB, "bob", 1, 0)
    bench.wait(2)
    bench.down(ANN)
    assert bench.wait(5) == []
    assert bench.wait(60) == [PartitionAlarm(10, 1)]


def test_a_mesh_that_comes_back_at_once_raises_no_alarm(bench: Bench) -> None:
    for number in range(10):
        bench.tells(ANN, f"n{number}", 1, 100)
        bench.tells(BOB, f"n{number}", 1, 101)
    bench.wait(2)
    bench.down(ANN)
    assert bench.wait(60) == []


# --- Persistence ---------------------------------------------------------------------------------


def test_after_a_restart_known_beacons_are_not_verified_again(bench: Bench) -> None:
    bench.tells(ANN, "far", 7, 100)
    text = encode_snapshot(bench.router.snapshot())
    again = Bench()
    again.router.restore(decode_snapshot(text))
    assert again.router.beacon(FAR) == beacon("far", 7)
    assert again.router.next_hops(FAR) == ()
    again.up(ANN)
    heard = again.tells(ANN, "far", 7, 100)
    assert again.router.next_hops(FAR) == (ANN,)
    assert again.checked == []
    assert heard == [NewBeacon(beacon("far", 7), ANN), RouteFound(FAR, 2, is_radio=False)]


def test_a_remembered_destination_of_which_nobody_tells_is_forgotten() -> None:
    bench = Bench()
    bench.router.restore([*decode_snapshot(encode_snapshot([]))])
    other = Bench()
    other.up(ANN)
    other.tells(ANN, "far", 7, 100)
    bench.router.restore(other.router.snapshot())
    bench.up(ANN)
    bench.wait(500)
    assert bench.router.beacon(FAR) is None


@pytest.mark.parametrize("text", [b"", b"\x02", b"\x01" + bytes(5)])
def test_a_snapshot_that_is_none_is_refused(text: bytes) -> None:
    from ironmesh.errors import RemoteProtocolError

    with pytest.raises(RemoteProtocolError):
        decode_snapshot(text)

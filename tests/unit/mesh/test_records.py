"""What a node keeps of what others say about themselves, and how it comes by it."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256

from tests.support.legacy import identity
from tests.support.parcels import START, later
from tests.support.records import (
    EXPIRY_S,
    OTHER,
    OWN,
    PEER,
    THIRD,
    beacon_of,
    body_of,
    book,
    kem_of,
    teach,
)

from ironmesh.mesh.known_nodes import ENTRY_BYTES
from ironmesh.mesh.pulls import ANSWER_S, MAX_ASKED, MAX_TRIES
from ironmesh.mesh.records import (
    MAX_ANSWER_BYTES,
    SWEEP_EVERY_S,
    Answer,
    Cloned,
    Learned,
    Pull,
    RecordBook,
    RecordLimits,
)
from ironmesh.types import Instant, NodeId

ALICE, BOB, MALLORY = identity("alice"), identity("bob"), identity("mallory")
BODY = body_of("alice", "llm:llama3", "tool:search")
HASH = sha256(BODY).digest()
KEM = kem_of("alice")
KEM_HASH = sha256(KEM).digest()
HOUR = 3600.0


# --- Coming by records ---------------------------------------------------------------------------


def test_a_body_is_pulled_once_from_who_told_of_it() -> None:
    made = book()
    beacon = beacon_of(ALICE, BODY)
    assert made.heard(beacon, PEER, START) == [Pull(PEER, (HASH,))]
    assert made.heard(beacon, OTHER, START) == []
    assert made.get(ALICE.node_id) is None
    assert made.blobs(PEER, [BODY], START) == [Learned(ALICE.node_id)]
    known = made.get(ALICE.node_id)
    assert known is not None
    assert (known.name, known.identity_public, known.expiry_s) == ("alice", ALICE.public, EXPIRY_S)
    assert known.capabilities == ("llm:llama3", "tool:search")
    assert known.kem_hash == KEM_HASH
    assert known.kem is None


def test_a_body_that_is_not_the_beacons_is_left() -> None:
    counted: Counter[str] = Counter()
    made = book(count=lambda reason: counted.update([reason]))
    made.heard(beacon_of(ALICE, BODY), PEER, START)
    assert made.blobs(PEER, [body_of("alice", "root")], START) == []
    assert made.get(ALICE.node_id) is None
    assert counted == {"unasked": 1}
    assert made.blobs(OTHER, [BODY], START) == [Learned(ALICE.node_id)]


def test_a_newer_beacon_with_the_same_body_renews_the_record_and_pulls_nothing() -> None:
    made = book()
    teach(made, ALICE, BODY)
    newer = beacon_of(ALICE, BODY, 2, EXPIRY_S + 5)
    assert made.heard(newer, PEER, START) == []
    known = made.get(ALICE.node_id)
    assert known is not None
    assert (known.sequence, known.expiry_s) == (2, EXPIRY_S + 5)


def test_an_old_beacon_changes_nothing() -> None:
    made = book()
    teach(made, ALICE, BODY, sequence=5)
    assert made.heard(beacon_of(ALICE, body_of("mallory"), 4), PEER, START) == []
    known = made.get(ALICE.node_id)
    assert known is not None
    assert known.sequence == 5


def test_the_last_record_counts_until_the_body_of_the_next_has_come() -> None:
    made = book()
    teach(made, ALICE, BODY)
    changed = body_of("alice", "new")
    actions = made.heard(beacon_of(ALICE, changed, 2), OTHER, START)
    assert actions == [Pull(PEER, (sha256(changed).digest(),))]
    known = made.get(ALICE.node_id)
    assert known is not None
    assert known.sequence == 1
    made.blobs(PEER, [changed], START)
    known = made.get(ALICE.node_id)
    assert known is not None
    assert (known.sequence, known.capabilities) == (2, ("new",))


def test_two_beacons_of_one_number_tell_of_a_clone_and_the_first_one_stays() -> None:
    made = book()
    teach(made, ALICE, BODY)
    other = beacon_of(ALICE, body_of("alice", "other"))
    assert made.heard(other, OTHER, START) == [Cloned(ALICE.node_id)]
    known = made.get(ALICE.node_id)
    assert known is not None
    assert known.capabilities == ("llm:llama3", "tool:search")


def test_nothing_is_kept_of_what_is_said_about_this_node() -> None:
    own = identity("own")
    made = book()
    assert made.heard(beacon_of(own, BODY, 9), PEER, START) == []
    assert made.get(OWN) is None


def test_a_body_that_cannot_be_read_is_counted_and_not_pulled_again() -> None:
    counted: Counter[str] = Counter()
    made = book(count=lambda reason: counted.update([reason]))
    junk = b"no record"
    made.heard(beacon_of(ALICE, junk), PEER, START)
    assert made.blobs(PEER, [junk], START) == []
    assert counted == {"malformed": 1}
    assert made.heard(beacon_of(ALICE, junk, 2), PEER, START) == []
    assert made.requested(OTHER, [sha256(junk).digest()], START) == []
    assert made.heard(beacon_of(ALICE, BODY, 3), PEER, START) == [Pull(PEER, (HASH,))]


# --- Asking elsewhere ----------------------------------------------------------------------------


def test_who_does_not_answer_is_not_the_only_one_asked() -> None:
    made = book()
    made.heard(beacon_of(ALICE, BODY), PEER, START)
    assert made.next_timer == START.mono + ANSWER_S
    assert made.timer(later(ANSWER_S - 1)) == []
    assert made.timer(later(ANSWER_S)) == [Pull(OTHER, (HASH,))]
    assert made.timer(later(3 * ANSWER_S)) == [Pull(THIRD, (HASH,))]
    assert made.blobs(PEER, [BODY], later(20)) == [Learned(ALICE.node_id)]


def test_asking_ends_some_time_and_begins_again_when_it_is_wanted() -> None:
    made = book()
    made.heard(beacon_of(ALICE, BODY), PEER, START)
    asked, now = 1, START
    while made.next_timer is not None and made.next_timer < START.mono + SWEEP_EVERY_S:
        now = Instant(made.next_timer, START.wall)
        asked += len(made.timer(now))
    assert asked == MAX_TRIES
    assert made.want(ALICE.node_id, now) == [Pull(PEER, (HASH,))]


def test_a_neighbour_that_leaves_is_replaced_at_once() -> None:
    made = book()
    made.heard(beacon_of(ALICE, BODY), PEER, START)
    assert made.link_down(PEER, START) == [Pull(OTHER, (HASH,))]
    assert made.link_down(OTHER, START) == [Pull(THIRD, (HASH,))]
    assert made.link_down(THIRD, START) == []
    assert made.link_up(OTHER, START) == [Pull(OTHER, (HASH,))]


def test_a_neighbour_is_asked_for_a_bounded_number_at_once() -> None:
    made = book()
    made.link_down(OTHER, START)
    made.link_down(THIRD, START)
    bodies = [body_of(f"node-{number}") for number in range(MAX_ASKED + 20)]
    asked = [
        wanted
        for number, body in enumerate(bodies)
        for pull in made.heard(beacon_of(identity(f"node {number}"), body), PEER, START)
        if isinstance(pull, Pull)
        for wanted in pull.hashes
    ]
    assert len(asked) == MAX_ASKED
    actions = made.blobs(PEER, bodies[:20], START)
    assert [action for action in actions if isinstance(action, Pull)] == [
        Pull(PEER, tuple(sha256(body).digest() for body in bodies[MAX_ASKED:]))
    ]


# --- Answering -----------------------------------------------------------------------------------


def test_what_is_known_is_handed_on() -> None:
    made = book()
    teach(made, ALICE, BODY)
    assert made.requested(OTHER, [HASH, HASH], START) == [Answer(OTHER, (BODY,))]


def test_our_own_body_and_key_are_given_also_shortly_after_they_changed() -> None:
    made = book()
    made.publish(b"old body", kem_of("old"))
    made.publish(b"new body")
    hashes = [sha256(blob).digest() for blob in (b"old body", b"new body", kem_of("old"))]
    assert made.requested(PEER, hashes, START) == [
        Answer(PEER, (b"old body", b"new body", kem_of("old")))
    ]
    for number in range(20):
        made.publish(b"%d" % number)
    assert made.requested(PEER, hashes, START) == []


def test_what_nobody_lists_is_not_asked_for() -> None:
    made = book()
    assert made.requested(PEER, [bytes(32)], START) == []
    assert made.next_timer is None


def test_an_answer_is_bounded() -> None:
    made = book()
    large = [bytes([number]) * 60_000 for number in range(16)]
    made.publish(*large)
    made.publish(b"x" * 60_000, b"y" * 60_000)
    hashes = [sha256(blob).digest() for blob in (*large, b"x" * 60_000, b"y" * 60_000)]
    [answer] = made.requested(PEER, hashes, START)
    assert isinstance(answer, Answer)
    assert sum(map(len, answer.blobs)) <= MAX_ANSWER_BYTES


def test_a_key_is_pulled_when_somebody_needs_it_and_then_kept() -> None:
    made = book()
    teach(made, ALICE, BODY)
    assert made.want(ALICE.node_id, START) == [Pull(PEER, (KEM_HASH,))]
    assert made.want(ALICE.node_id, START) == []
    assert made.blobs(PEER, [KEM], START) == [Learned(ALICE.node_id)]
    known = made.get(ALICE.node_id)
    assert known is not None
    assert known.kem == KEM
    assert made.want(ALICE.node_id, START) == []
    assert made.requested(OTHER, [KEM_HASH], START) == [Answer(OTHER, (KEM,))]


def test_a_key_that_we_lack_is_asked_for_on_behalf_of_a_neighbour() -> None:
    made = book()
    teach(made, ALICE, BODY)
    assert made.requested(OTHER, [KEM_HASH], START) == [Pull(PEER, (KEM_HASH,))]
    assert made.requested(THIRD, [KEM_HASH], START) == []
    assert set(made.blobs(PEER, [KEM], START)) == {
        Answer(OTHER, (KEM,)),
        Answer(THIRD, (KEM,)),
        Learned(ALICE.node_id),
    }


def test_who_asks_is_not_asked_for_the_same() -> None:
    made = book()
    teach(made, ALICE, BODY)
    made.link_down(OTHER, START)
    made.link_down(THIRD, START)
    assert made.requested(PEER, [KEM_HASH], START) == []
    assert made.want(ALICE.node_id, START) == [Pull(PEER, (KEM_HASH,))]


def test_who_asks_is_asked_in_turn_if_nobody_else_answers() -> None:
    made = book()
    teach(made, ALICE, BODY)
    made.link_down(THIRD, START)
    assert made.requested(PEER, [KEM_HASH], START) == [Pull(OTHER, (KEM_HASH,))]
    assert made.want(ALICE.node_id, START) == []
    assert made.timer(later(ANSWER_S)) == [Pull(PEER, (KEM_HASH,))]


def test_a_key_stays_when_the_record_is_renewed_with_it() -> None:
    made = book()
    teach(made, ALICE, BODY)
    made.want(ALICE.node_id, START)
    made.blobs(PEER, [KEM], START)
    changed = body_of("alice", "new")
    teach(made, ALICE, changed, sequence=2)
    known = made.get(ALICE.node_id)
    assert known is not None
    assert known.kem == KEM
    other = body_of("alice", kem_hash=bytes(32))
    teach(made, ALICE, other, sequence=3)
    known = made.get(ALICE.node_id)
    assert known is not None
    assert known.kem is None


def test_what_is_no_key_is_not_taken_for_one() -> None:
    counted: Counter[str] = Counter()
    made = book(count=lambda reason: counted.update([reason]))
    teach(made, ALICE, body_of("alice", kem_hash=sha256(b"short").digest()))
    made.want(ALICE.node_id, START)
    assert made.blobs(PEER, [b"short"], START) == []
    assert counted == {"malformed": 1}


def test_keys_are_kept_in_bounded_number() -> None:
    made = book(limits=RecordLimits(max_kem_keys=1))
    for node, name in ((ALICE, "alice"), (BOB, "bob")):
        teach(made, node, body_of(name))
        made.want(node.node_id, START)
        made.blobs(PEER, [kem_of(name)], START)
    alice, bob = made.get(ALICE.node_id), made.get(BOB.node_id)
    assert alice is not None
    assert bob is not None
    assert alice.kem is None
    assert bob.kem is not None


# --- Names and capabilities ----------------------------------------------------------------------


def test_who_claims_a_name_is_known_in_any_spelling() -> None:
    made = book()
    teach(made, ALICE, BODY)
    assert made.claimants("Alice", START) == [ALICE.node_id]
    teach(made, MALLORY, body_of("ALICE"))
    assert made.claimants("alice", START) == sorted([ALICE.node_id, MALLORY.node_id])
    teach(made, MALLORY, body_of("other"), sequence=2)
    assert made.claimants("alice", START) == [ALICE.node_id]
    assert made.claimants("nobody", START) == []


def test_capabilities_are_found_by_pattern_and_withdrawn_by_the_next_record() -> None:
    made = book()
    teach(made, ALICE, BODY)
    teach(made, BOB, body_of("bob", "llm:mistral"))
    assert sorted(made.find("llm:*", START)) == sorted(
        [(ALICE.node_id, "llm:llama3"), (BOB.node_id, "llm:mistral")]
    )
    assert made.find("LLM:*", START) == []
    teach(made, ALICE, body_of("alice"), sequence=2)
    assert made.find("*", START) == [(BOB.node_id, "llm:mistral")]


def test_an_expired_record_neither_claims_nor_offers_anything() -> None:
    made = book()
    teach(made, ALICE, BODY)
    late = later(48 * HOUR + 1)
    known = made.get(ALICE.node_id)
    assert known is not None
    assert not known.is_expired(later(48 * HOUR).wall)
    assert known.is_expired(late.wall)
    assert made.claimants("alice", late) == []
    assert made.find("*", late) == []


def test_a_node_without_a_route_offers_nothing_but_keeps_its_name() -> None:
    made = book()
    teach(made, ALICE, BODY)
    made.lost(ALICE.node_id)
    made.lost(BOB.node_id)
    assert made.find("*", START) == []
    assert made.claimants("alice", START) == [ALICE.node_id]
    made.heard(beacon_of(ALICE, BODY), OTHER, START)
    assert len(made.find("*", START)) == 2


# --- Bounds --------------------------------------------------------------------------------------


def small(entries: int) -> RecordLimits:
    return RecordLimits(max_bytes=entries * ENTRY_BYTES)


def hear(made: RecordBook, label: str, count: int, peer: NodeId) -> list[NodeId]:
    """Let a neighbour tell of nodes that are called alike; return those that are kept then."""
    nodes = [identity(f"{label} {number}") for number in range(count)]
    for node in nodes:
        made.heard(beacon_of(node, BODY), peer, START)
    return [node.node_id for node in nodes if node.node_id in made]


def test_one_neighbour_cannot_push_out_what_others_told_of() -> None:
    counted: Counter[str] = Counter()
    made = book(limits=small(10), count=lambda reason: counted.update([reason]))
    good = hear(made, "good", 4, OTHER)
    assert len(hear(made, "flood", 50, PEER)) == 6
    assert counted == {"no_room": 44}
    assert all(node_id in made for node_id in good)
    assert len(hear(made, "good", 5, OTHER)) == 5
    assert len(made) == 10
    assert counted["pushed_out"] == 1


def test_pinned_nodes_are_never_pushed_out_and_always_find_room() -> None:
    pinned = tuple(identity(f"pinned {number}").node_id for number in range(3))
    made = book(pinned=pinned, limits=small(5))
    assert len(hear(made, "flood", 9, PEER)) == 5
    assert len(hear(made, "pinned", 3, PEER)) == 3
    hear(made, "other", 20, OTHER)
    assert all(node_id in made for node_id in pinned)
    assert len(made) == 5


def test_where_all_are_pinned_nothing_makes_room() -> None:
    pinned = tuple(identity(f"pinned {number}").node_id for number in range(3))
    made = book(pinned=pinned, limits=small(3))
    hear(made, "pinned", 3, PEER)
    assert hear(made, "other", 2, OTHER) == []


def test_a_neighbour_with_a_full_share_gets_room_from_its_nodes_without_a_route() -> None:
    made = book(limits=small(3))
    first, second, third = hear(made, "node", 3, PEER)
    made.lost(second)
    assert len(hear(made, "more", 2, PEER)) == 1
    assert first in made
    assert second not in made
    assert third in made


def test_a_body_that_does_not_fit_is_not_kept() -> None:
    large = body_of("alice", *(f"{number:03}" + "x" * 200 for number in range(30)))
    counted: Counter[str] = Counter()
    made = book(count=lambda reason: counted.update([reason]), limits=small(2))
    made.heard(beacon_of(ALICE, large), PEER, START)
    assert made.blobs(PEER, [large], START) == []
    assert counted == {"no_room": 1}
    assert made.get(ALICE.node_id) is None


def test_expired_nodes_without_a_route_are_forgotten_but_for_pinned_ones() -> None:
    made = book(pinned=(BOB.node_id,))
    for node, name in ((ALICE, "alice"), (BOB, "bob"), (MALLORY, "mallory")):
        teach(made, node, body_of(name))
    made.lost(ALICE.node_id)
    made.lost(BOB.node_id)
    assert made.next_timer == START.mono + SWEEP_EVERY_S
    made.timer(later(SWEEP_EVERY_S))
    assert len(made) == 3
    made.timer(later(49 * HOUR))
    assert made.get(ALICE.node_id) is None
    assert made.get(BOB.node_id) is not None
    assert made.get(MALLORY.node_id) is not None


def test_filled_far_over_its_limit_a_book_stays_within_it() -> None:
    made = book(limits=small(20))
    for number in range(300):
        peer = (PEER, OTHER, THIRD)[number % 3]
        body = body_of(f"n-{number % 40}", *("c" * 100,) * (number % 2))
        beacon = beacon_of(identity(f"node {number % 40}"), body, 1 + number)
        made.heard(beacon, peer, START)
        made.blobs(peer, [body], START)
        if number % 5 == 0:
            made.lost(beacon.origin)
        assert made.size_bytes <= 20 * ENTRY_BYTES
    for node_id in [identity(f"node {number}").node_id for number in range(40)]:
        made.lost(node_id)
    made.timer(later(49 * HOUR))
    assert (len(made), made.size_bytes) == (0, 0)

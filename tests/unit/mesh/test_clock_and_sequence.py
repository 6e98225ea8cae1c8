"""Whose clock counts, and which number a node's next beacon has."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.support.legacy import identity
from tests.support.parcels import START, later

from ironmesh.mesh.clock import MAX_LEFT, OLDEST_S, RecordClock
from ironmesh.mesh.sequence import RESERVE, OwnSequence
from ironmesh.types import Instant
from ironmesh.wire.native.beacons import MAX_SEQUENCE

PEERS = [identity(f"peer {number}").node_id for number in range(5)]
HOUR = 3600.0


def clock(*offsets_s: float, now: Instant = START) -> RecordClock:
    """Return the clock of a node whose peers are so many seconds ahead."""
    made = RecordClock()
    for peer, offset_s in zip(PEERS, offsets_s, strict=False):
        made.heard(peer, int((now.wall + offset_s) * 1000), now)
    return made


def test_the_own_clock_counts_while_peers_agree_within_an_hour() -> None:
    made = clock(HOUR - 1, HOUR - 2, HOUR - 3)
    assert not made.is_wrong(START)
    assert made.time(START) == START.wall


def test_a_clock_an_hour_off_the_median_of_three_goes_by_it() -> None:
    made = clock(2 * HOUR, 2 * HOUR + 9, 90 * HOUR)
    assert made.is_wrong(START)
    assert made.time(START) == START.wall + 2 * HOUR + 9
    assert made.time(later(60)) == START.wall + 2 * HOUR + 9 + 60


def test_two_peers_are_not_enough_and_one_of_three_cannot_move_the_clock() -> None:
    assert clock(9 * HOUR, 9 * HOUR).time(START) == START.wall
    assert clock(1, 2, 1e9).time(START) == START.wall


def test_a_peer_that_left_does_not_count() -> None:
    made = clock(9 * HOUR, 9 * HOUR, 9 * HOUR)
    made.gone(PEERS[0])
    made.gone(PEERS[4])
    assert made.time(START) == START.wall


def test_a_peer_whose_session_is_resumed_counts_as_it_said_before() -> None:
    made = clock(2 * HOUR, 2 * HOUR, 2 * HOUR)
    made.gone(PEERS[0])
    made.heard(PEERS[4], 0, START)
    assert not made.is_wrong(START)
    made.heard(PEERS[0], 0, START)
    assert made.time(START) == START.wall + 2 * HOUR


def test_what_is_known_of_peers_that_left_is_bounded() -> None:
    made = clock()
    many = [identity(f"many {number}").node_id for number in range(MAX_LEFT + 3)]
    for peer in many:
        made.heard(peer, int((START.wall + 2 * HOUR) * 1000), START)
        made.gone(peer)
    for peer in many[:3]:
        made.heard(peer, 0, START)
    assert not made.is_wrong(START)


def test_a_clock_older_than_the_program_goes_by_any_peer_there_is() -> None:
    old = Instant(5.0, OLDEST_S - 1)
    made = RecordClock()
    assert not made.is_wrong(old)
    assert made.time(old) == old.wall
    made.heard(PEERS[0], int(START.wall * 1000), old)
    assert made.is_wrong(old)
    assert made.time(old) == START.wall


def test_a_clock_that_is_set_right_counts_again() -> None:
    made = clock(2 * HOUR, 2 * HOUR, 2 * HOUR)
    assert not made.is_wrong(Instant(START.mono + 1, START.wall + 2 * HOUR))


# --- Numbers -------------------------------------------------------------------------------------


def test_numbers_begin_with_the_clock_and_count_up() -> None:
    own = OwnSequence()
    first = own.next(START.wall)
    assert first.sequence == int(START.wall) << 32
    assert first.save == first.sequence + RESERVE
    own.saved(first.save)
    assert own.next(START.wall) == (first.sequence + 1, None)
    assert own.next(START.wall + 1).sequence == int(START.wall + 1) << 32


def test_a_number_is_on_disk_before_it_is_announced() -> None:
    own = OwnSequence()
    saved = 0
    for _ in range(3 * RESERVE):
        issued = own.next(START.wall)
        saved = issued.save or saved
        own.saved(saved)
        assert issued.sequence <= saved


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 4e9)), max_size=60))
def test_no_number_is_issued_twice_whatever_the_clock_and_however_often_the_node_starts(
    steps: list[tuple[bool, float]],
) -> None:
    own, saved, last = OwnSequence(), 0, 0
    for is_restart, time_s in steps:
        if is_restart:
            own = OwnSequence(saved)
        issued = own.next(time_s)
        saved = saved if issued.save is None else issued.save
        own.saved(saved)
        assert last < issued.sequence <= saved
        last = issued.sequence


def test_a_number_that_could_not_be_saved_is_to_be_saved_again() -> None:
    own = OwnSequence()
    for _ in range(3):
        issued = own.next(START.wall)
        assert issued.save is not None
        assert issued.save >= issued.sequence


def test_a_higher_number_of_our_own_key_is_told_and_jumped_over() -> None:
    own = OwnSequence()
    mine = own.next(START.wall).sequence
    assert not own.met(mine)
    assert not own.met(mine - 5)
    assert own.met(mine + (7 << 32))
    assert own.last == mine + (7 << 32)
    issued = own.next(START.wall)
    assert issued.sequence == mine + (7 << 32) + 1
    assert issued.save is not None


def test_what_was_announced_before_a_restart_is_no_clone() -> None:
    own = OwnSequence()
    issued = own.next(START.wall)
    assert issued.save is not None
    again = OwnSequence(issued.save)
    assert not again.met(issued.sequence)


def test_a_thief_of_the_key_cannot_make_the_node_fail() -> None:
    own = OwnSequence()
    assert own.met(MAX_SEQUENCE)
    assert own.next(START.wall).sequence == MAX_SEQUENCE

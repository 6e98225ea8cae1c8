"""What is forgotten with time, and a wall clock that is moved."""

from __future__ import annotations

from ironmesh.delivery.records import ForgetEpochs, PruneHistory, ShiftClock
from ironmesh.delivery.upkeep import Upkeep
from ironmesh.types import Instant

DAY = 86400.0
START = Instant(10.0, 1.7e9)


def at(seconds, *, moved_s=0.0):
    return Instant(START.mono + seconds, START.wall + seconds + moved_s)


def test_old_things_are_forgotten_at_the_start_and_every_hour():
    upkeep = Upkeep(START)
    assert upkeep.next_timer == START.mono
    assert upkeep.timer(START) == [
        ForgetEpochs(START.wall - 30 * DAY, START.wall - 25 * 3600),
        PruneHistory(START.wall - 30 * DAY),
    ]
    assert upkeep.next_timer == START.mono + 60
    assert upkeep.timer(at(60)) == []
    assert len(upkeep.timer(at(3600))) == 2


def test_a_moved_wall_clock_is_told_before_anything_is_judged_by_it():
    upkeep = Upkeep(START)
    ops = upkeep.timer(at(1, moved_s=50 * 365 * DAY))
    assert ops[0] == ShiftClock(50 * 365 * DAY)
    assert isinstance(ops[1], ForgetEpochs)
    assert upkeep.timer(at(2, moved_s=50 * 365 * DAY)) == []
    assert upkeep.timer(at(3)) == [ShiftClock(-50 * 365 * DAY)]


def test_small_moves_do_not_matter_but_add_up():
    upkeep = Upkeep(START)
    upkeep.timer(START)
    assert upkeep.timer(at(60, moved_s=20)) == []
    assert upkeep.timer(at(120, moved_s=40)) == [ShiftClock(40.0)]


def test_what_could_not_be_committed_comes_again():
    upkeep = Upkeep(START)
    upkeep.commit_failed(upkeep.timer(at(1, moved_s=100)))
    assert [type(op) for op in upkeep.timer(at(61, moved_s=100))] == [
        ShiftClock,
        ForgetEpochs,
        PruneHistory,
    ]

"""Ids of others: bounded, forgotten in time, never by a wall clock that jumps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ironmesh.delivery import remembered
from ironmesh.delivery.records import ForeignId, SourceRecord
from ironmesh.delivery.remembered import ForeignIds, OwnIds, Standing
from ironmesh.types import Instant, MessageId, NodeId
from ironmesh.wire.receipts import Floor, join_id

BOB, CAROL = NodeId("b" * 32), NodeId("c" * 32)
EPOCH = b"epoch--1"
DAY = 86400.0
NOW = Instant(7.0, 1.7e9)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=80))
def test_an_id_is_new_exactly_once(steps):
    ids, known, floor = OwnIds(), set(), 0
    for is_floor, number in steps:
        if is_floor:
            assert ids.raise_floor(BOB, Floor(EPOCH, number), NOW) is (number > floor)
            floor = max(floor, number)
            continue
        standing = ids.look(BOB, join_id(EPOCH, number), NOW)
        if number < floor:
            assert standing is Standing.SETTLED
        elif number in known:
            assert standing is Standing.KNOWN
        else:
            assert standing is Standing.NEW
            ids.look(BOB, join_id(EPOCH, number), NOW, remembers=True)
            known.add(number)
    assert len(ids) == len([number for number in known if number >= floor])


def test_an_epoch_is_forgotten_30_days_after_its_last_use_also_over_a_restart():
    ids = OwnIds()
    ids.restore([SourceRecord(BOB, EPOCH, 5, (6, 7), NOW.wall - 29 * DAY)], NOW)
    ids.forget_old(NOW)
    assert ids.look(BOB, join_id(EPOCH, 6), NOW) is Standing.KNOWN
    ids.forget_old(Instant(NOW.mono + 29 * DAY, NOW.wall))
    assert len(ids) == 2
    ids.forget_old(Instant(NOW.mono + 31 * DAY, NOW.wall))
    assert len(ids) == 0


def test_a_wall_clock_that_went_back_makes_nothing_older():
    ids, foreign = OwnIds(), ForeignIds()
    ids.restore([SourceRecord(BOB, EPOCH, 0, (1,), NOW.wall + 1e9)], NOW)
    foreign.restore([ForeignId(CAROL, MessageId(b"x" * 16), NOW.wall + 1e9)], NOW)
    almost = Instant(NOW.mono + 24 * 3600, NOW.wall)
    ids.forget_old(almost)
    foreign.forget_old(almost)
    assert (len(ids), len(foreign)) == (1, 1)


def test_foreign_ids_are_forgotten_by_age_and_by_number(monkeypatch):
    monkeypatch.setattr(remembered, "MAX_FOREIGN_IDS", 3)
    ids = ForeignIds()
    for number in range(5):
        ids.add(BOB, MessageId(bytes([number]) * 16), Instant(NOW.mono + number * 3600, 0.0))
    ids.add(CAROL, MessageId(b"c" * 16), NOW)
    assert [ids.is_known(BOB, MessageId(bytes([number]) * 16)) for number in range(5)] == [
        False,
        False,
        True,
        True,
        True,
    ]
    ids.forget_old(Instant(NOW.mono + 28.5 * 3600, 0.0))
    assert len(ids) == 1
    assert not ids.is_known(CAROL, MessageId(b"c" * 16))

"""What the outbox takes, what it lets go, and how a message of ours ends."""

from __future__ import annotations

import pytest
from tests.support.outbox import BOB, CAROL, EPOCH, Desk, of, sent, told

from ironmesh.delivery.actions import Commit, ForgedReceipt, Load, Settled, Transmit
from ironmesh.delivery.records import EndOutbox, OutboxState
from ironmesh.errors import DeliveryError, MessageTooLargeError, QueueFullError
from ironmesh.wire.receipts import Receipt, Verdict, split_id

S = OutboxState


# --- Accepting ------------------------------------------------------------------------------------


def test_nothing_is_transmitted_before_it_is_on_disk():
    desk = Desk()
    desk.link_up()
    accepted = desk.outbox.accept(desk.drafts("NORMAL"), desk.now)
    assert desk.timer() == []
    assert sent(desk.outbox.committed(accepted.ids, desk.now)) == [1]


def test_ids_count_up_for_each_destination_over_restarts():
    desk = Desk()
    desk.send("NORMAL", "LOW")
    first = desk.ids
    desk.send("NORMAL", to=CAROL)
    assert split_id(desk.ids[0])[1] == 1
    desk.restart()
    desk.send("NORMAL")
    assert [split_id(one) for one in (*first, *desk.ids)] == [(EPOCH, n) for n in (1, 2, 3)]


def test_what_could_not_be_committed_never_was():
    desk = Desk()
    desk.link_up()
    accepted = desk.outbox.accept(desk.drafts("NORMAL", "NORMAL"), desk.now)
    assert desk.outbox.count(BOB) == 2
    assert desk.outbox.size_bytes(BOB) == 8
    assert desk.outbox.commit_failed(accepted.ids, desk.now) == []
    assert desk.outbox.count(BOB) == desk.outbox.size_bytes(BOB) == 0
    assert desk.outbox.state(accepted.ids[0]) is None
    assert desk.outbox.next_timer is None


def test_all_of_a_list_is_accepted_or_nothing():
    desk = Desk(messages=3)
    desk.send("LOW", "NORMAL")
    with pytest.raises(QueueFullError):
        desk.outbox.accept(desk.drafts("HIGH", "HIGH", "HIGH", "HIGH"), desk.now)
    assert desk.outbox.count(BOB) == 2
    assert sent([action for load in of(Load, desk.link_up()) for action in desk.load(load)]) == [
        2,
        1,
    ]


def test_a_payload_too_large_for_the_link_is_not_accepted():
    desk = Desk(unknown_wire_bytes=100)
    with pytest.raises(MessageTooLargeError):
        desk.send("NORMAL", size=101)
    desk.link_up(limit=10)
    with pytest.raises(MessageTooLargeError):
        desk.send("NORMAL", size=11)
    assert desk.outbox.count(BOB) == 0


@pytest.mark.parametrize("lifetime_s", [0.0, -1.0, 15 * 86400.0, float("nan")])
def test_an_impossible_lifetime_is_not_accepted(lifetime_s):
    with pytest.raises(DeliveryError, match="lifetime"):
        Desk().send("NORMAL", lifetime_s=lifetime_s)


# --- Room -----------------------------------------------------------------------------------------


def test_a_full_queue_refuses_what_is_not_more_urgent():
    desk = Desk(messages=2)
    desk.send("NORMAL", "HIGH")
    with pytest.raises(QueueFullError):
        desk.send("NORMAL")
    assert desk.states() == [S.QUEUED, S.QUEUED]
    desk.send("NORMAL", to=CAROL)


def test_the_least_urgent_and_youngest_makes_room_and_its_sender_is_told():
    desk = Desk(messages=4)
    desk.send("LOW", "LOW", "NORMAL", "HIGH")
    assert told(desk.send("HIGH")) == [(S.EVICTED, 1)]
    assert desk.states() == [S.QUEUED, S.EVICTED, S.QUEUED, S.QUEUED, S.QUEUED]
    desk.send("CRITICAL")
    assert desk.states()[0] is S.EVICTED
    assert desk.outbox.count(BOB) == 4


def test_room_in_bytes_may_take_several():
    desk = Desk(payload_bytes=10)
    desk.send("LOW", "LOW", size=4)
    assert told(desk.send("NORMAL", size=7)) == [(S.EVICTED, 2)]
    with pytest.raises(QueueFullError):
        desk.send("CRITICAL", size=11)
    assert desk.outbox.size_bytes(BOB) == 7


def test_a_message_makes_room_only_once_the_other_is_on_disk():
    desk = Desk(messages=2)
    desk.send("LOW", "LOW")
    accepted = desk.outbox.accept(desk.drafts("HIGH"), desk.now)
    assert desk.outbox.cancel([desk.ids[1]], desk.now) == []
    assert desk.carry_out(desk.outbox.commit_failed(accepted.ids, desk.now)) == []
    assert desk.outbox.count(BOB) == 2
    (load,) = of(Load, desk.link_up())
    assert sent(desk.load(load)) == [1, 2]


def test_what_is_on_the_wire_is_not_evicted():
    desk = Desk(messages=1)
    desk.link_up()
    desk.send("LOW")
    with pytest.raises(QueueFullError):
        desk.send("CRITICAL")


def test_an_evicted_message_can_expire_no_more():
    desk = Desk(messages=1)
    desk.send("LOW", lifetime_s=10)
    desk.send("HIGH")
    desk.pass_time(20)
    assert desk.timer() == []


# --- Receipts -------------------------------------------------------------------------------------


def test_a_row_ends_with_the_receipt_not_with_the_write():
    desk = Desk()
    desk.link_up()
    desk.send("NORMAL")
    assert told(desk.written(*desk.ids)) == []
    assert desk.outbox.state(desk.ids[0]) is S.QUEUED
    assert told(desk.receipt(Verdict.ACCEPTED, *desk.ids)) == [(S.DELIVERED, 1)]
    assert desk.states() == [S.DELIVERED]
    assert desk.store.history()[0].attempts == 1
    assert desk.outbox.state(desk.ids[0]) is None
    assert told(desk.receipt(Verdict.REFUSED, *desk.ids)) == []


def test_a_refusal_ends_a_row_with_its_reason():
    desk = Desk()
    desk.link_up()
    desk.send("NORMAL")
    actions = desk.receipt(Verdict.REFUSED, *desk.ids, reason="not wanted")
    assert of(Settled, actions) == [Settled(BOB, desk.ids, S.REFUSED, "not wanted")]
    assert desk.store.history()[0].reason == "not wanted"


@pytest.mark.parametrize("verdict", Verdict)
def test_only_the_destination_of_a_message_can_receipt_it(verdict):
    desk = Desk()
    desk.link_up()
    desk.send("NORMAL")
    desk.written(*desk.ids)
    assert desk.receipt(verdict, *desk.ids, peer=CAROL) == [ForgedReceipt(CAROL, desk.ids)]
    assert desk.outbox.state(desk.ids[0]) is S.QUEUED


def test_a_receipt_of_an_earlier_run_still_counts():
    desk = Desk()
    desk.link_up()
    desk.send("NORMAL")
    desk.restart()
    assert told(desk.receipt(Verdict.ACCEPTED, *desk.ids)) == [(S.DELIVERED, 1)]
    assert sent(desk.link_up()) == []


def test_held_is_not_an_end():
    desk = Desk()
    desk.link_up()
    desk.send("NORMAL")
    desk.written(*desk.ids)
    assert told(desk.receipt(Verdict.HELD, *desk.ids)) == [(S.HELD, 1)]
    assert told(desk.receipt(Verdict.HELD, *desk.ids)) == []
    assert desk.outbox.state(desk.ids[0]) is S.HELD
    desk.pass_time(3600)
    assert sent(desk.timer()) == []
    assert told(desk.receipt(Verdict.ACCEPTED, *desk.ids)) == [(S.DELIVERED, 1)]


def test_after_a_new_link_or_a_restart_the_destination_is_asked_again_about_held_ones():
    desk = Desk()
    desk.link_up()
    desk.send("NORMAL")
    desk.receipt(Verdict.HELD, *desk.ids)
    assert sent(desk.link_up()) == [1]
    desk.receipt(Verdict.HELD, *desk.ids)
    desk.restart()
    assert desk.outbox.state(desk.ids[0]) is S.HELD
    (load,) = of(Load, desk.link_up())
    assert sent(desk.load(load)) == [1]


# --- Other ends -----------------------------------------------------------------------------------


def test_to_a_published_node_a_row_ends_as_sent_when_it_is_written():
    desk = Desk()
    assert sent(desk.link_up(can_confirm=False)) == []
    desk.send("NORMAL")
    assert told(desk.written(*desk.ids)) == [(S.SENT, 1)]
    assert desk.states() == [S.SENT]
    assert desk.outbox.next_timer is None


def test_what_does_not_fit_the_link_that_comes_up_is_refused():
    desk = Desk()
    desk.send("NORMAL", size=2000)
    desk.send("NORMAL", size=2)
    actions = desk.link_up(limit=1000)
    (settled,) = of(Settled, actions)
    assert settled.state is S.REFUSED
    assert settled.reason.startswith("too large")
    (load,) = of(Load, actions)
    assert sent(desk.load(load)) == [2]


def test_a_lifetime_is_counted_by_the_monotonic_clock():
    desk = Desk()
    desk.send("NORMAL", lifetime_s=100)
    desk.wall += 1e6
    assert desk.timer() == []
    assert desk.outbox.next_timer == desk.mono + 100
    desk.pass_time(99.9)
    assert desk.timer() == []
    desk.wall -= 2e6
    desk.pass_time(0.1)
    assert told(desk.timer()) == [(S.EXPIRED, 1)]
    assert desk.states() == [S.EXPIRED]


def test_across_a_restart_the_wall_clock_counts():
    desk = Desk()
    desk.send("NORMAL", lifetime_s=100)
    desk.pass_time(30)
    assert desk.restart(off_s=20) == []
    assert desk.outbox.next_timer == desk.mono + 50
    assert told(desk.restart(off_s=51)) == [(S.EXPIRED, 1)]


def test_a_wall_clock_that_went_back_gives_no_more_than_the_whole_lifetime():
    desk = Desk()
    desk.send("NORMAL", lifetime_s=100)
    desk.restart(off_s=-1e9)
    assert desk.outbox.next_timer == desk.mono + 100


def test_a_message_may_expire_on_the_wire_and_a_late_receipt_changes_nothing():
    desk = Desk()
    desk.link_up()
    desk.send("NORMAL", lifetime_s=1)
    desk.written(*desk.ids)
    desk.pass_time(1)
    assert told(desk.timer()) == [(S.EXPIRED, 1)]
    assert told(desk.receipt(Verdict.ACCEPTED, *desk.ids)) == []


def test_a_cancelled_message_is_told_once_that_is_on_disk():
    desk = Desk()
    desk.send("NORMAL", "NORMAL")
    actions = desk.outbox.cancel(desk.ids[:1] * 2, desk.now)
    assert told(actions) == []
    assert told(desk.carry_out(actions)) == [(S.CANCELLED, 1)]
    assert desk.outbox.count(BOB) == 1
    assert desk.outbox.cancel([*desk.ids[:1], desk.ids[0][::-1]], desk.now) == []


def test_a_message_cancelled_while_its_commit_is_under_way_ends_after_that():
    desk = Desk()
    desk.link_up()
    accepted = desk.outbox.accept(desk.drafts("NORMAL"), desk.now)
    assert desk.outbox.cancel(accepted.ids, desk.now) == []
    assert desk.outbox.count(BOB) == 0
    desk.store.apply(accepted.ops)
    actions = desk.carry_out(desk.outbox.committed(accepted.ids, desk.now))
    assert told(actions) == [(S.CANCELLED, 1)]
    assert sent(actions) == []
    assert desk.states() == [S.CANCELLED]


def test_a_cancelled_message_that_could_not_be_committed_never_was():
    desk = Desk()
    accepted = desk.outbox.accept(desk.drafts("NORMAL"), desk.now)
    desk.outbox.cancel(accepted.ids, desk.now)
    assert desk.outbox.commit_failed(accepted.ids, desk.now) == []
    assert desk.outbox.next_timer is None


def test_an_end_that_the_store_would_not_take_is_written_later():
    desk = Desk()
    desk.link_up()
    desk.send("NORMAL")
    actions = desk.outbox.receipt(BOB, _accepted(desk.ids), desk.now)
    assert told(actions) == [(S.DELIVERED, 1)]
    (commit,) = of(Commit, actions)
    assert desk.outbox.commit_failed(commit.ids, desk.now) == []
    assert desk.outbox.state(desk.ids[0]) is None
    desk.pass_time(5)
    (again,) = of(Commit, desk.timer())
    assert [op.state for op in again.ops if isinstance(op, EndOutbox)] == [S.DELIVERED]
    assert desk.states() == [S.DELIVERED]


def test_a_payload_that_is_gone_from_the_store_is_an_end_that_is_told():
    desk = Desk()
    desk.send("NORMAL", "NORMAL")
    (load,) = of(Load, desk.link_up())
    actions = desk.carry_out(desk.outbox.loaded(BOB, load.ids, [None, b"here"], desk.now))
    assert told(actions) == [(S.REFUSED, 1)]
    assert [one.payload for one in of(Transmit, actions)[0].messages] == [b"here"]


def _accepted(ids):
    return Receipt(Verdict.ACCEPTED, tuple(ids))

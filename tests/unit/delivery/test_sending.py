"""From the queue onto the link: order, windows, payloads, retries, starting over, floors."""

from __future__ import annotations

from tests.support.outbox import BOB, CAROL, EPOCH, Desk, of, sent, told

from ironmesh.delivery.actions import Load, SendFloor, Transmit
from ironmesh.delivery.records import OutboxState
from ironmesh.types import MessagePriority
from ironmesh.wire.receipts import Receipt, Verdict, join_id


def ids(*numbers):
    return [join_id(EPOCH, number) for number in numbers]


def loaded(desk, actions):
    """Return what is transmitted once all that is asked for was read."""
    numbers = sent(actions)
    queue = of(Load, actions)
    while queue:
        more = desk.load(queue.pop(0))
        numbers += sent(more)
        queue += of(Load, more)
    return numbers


# --- Order ----------------------------------------------------------------------------------------


def test_the_most_urgent_go_first_and_each_priority_in_its_order():
    desk = Desk()
    desk.send("LOW", "NORMAL", "CRITICAL", "LOW", "HIGH", "NORMAL")
    assert loaded(desk, desk.link_up()) == [3, 5, 2, 6, 1, 4]


def test_a_message_says_who_wrote_it_when_and_what():
    desk = Desk()
    desk.link_up()
    (action,) = of(Transmit, desk.send("HIGH"))
    (message,) = action.messages
    assert message.destination == action.peer == BOB
    assert message.priority is MessagePriority.HIGH
    assert (message.type, message.payload) == ("MSG", bytes(4))
    assert message.timestamp_ms == int(desk.wall * 1000)


def test_what_was_in_flight_goes_again_in_order_before_what_is_new():
    desk = Desk(window_messages=3)
    desk.link_up()
    desk.send("NORMAL", "NORMAL", "NORMAL", "NORMAL")
    desk.receipt(Verdict.ACCEPTED, *ids(2))
    desk.outbox.link_down(BOB)
    assert loaded(desk, desk.link_up()) == [1, 3, 4]


def test_a_link_that_takes_the_place_of_another_starts_over_too():
    desk = Desk()
    desk.link_up()
    desk.send("NORMAL")
    assert loaded(desk, desk.link_up()) == [1]


def test_peers_do_not_wait_for_each_other():
    desk = Desk(window_messages=1)
    desk.link_up()
    desk.send("NORMAL")
    desk.link_up(CAROL)
    assert sent(desk.send("NORMAL", to=CAROL)) == [1]


# --- Window ---------------------------------------------------------------------------------------


def test_no_more_is_in_flight_than_the_window_holds():
    desk = Desk(window_messages=2)
    desk.link_up()
    assert sent(desk.send("LOW", "LOW", "LOW")) == [1, 2]
    assert sent(desk.receipt(Verdict.ACCEPTED, *ids(1))) == [3]


def test_urgent_messages_do_not_wait_for_a_window_full_of_others():
    desk = Desk(window_messages=2)
    desk.link_up()
    desk.send("LOW", "LOW", "LOW")
    assert sent(desk.send("HIGH", "NORMAL", "CRITICAL", "CRITICAL")) == [6, 7]
    assert sent(desk.receipt(Verdict.ACCEPTED, *ids(1, 2))) == []
    assert sent(desk.receipt(Verdict.ACCEPTED, *ids(6))) == [4]


def test_the_window_counts_bytes_too_but_one_message_always_fits():
    desk = Desk(window_bytes=10)
    desk.link_up()
    assert sent(desk.send("LOW", "LOW", size=500)) == [1]
    assert sent(desk.receipt(Verdict.ACCEPTED, *ids(1))) == [2]


def test_a_window_toward_a_published_node_moves_with_what_is_written():
    desk = Desk(window_messages=1)
    desk.link_up(can_confirm=False)
    desk.send("LOW", "LOW")
    assert sent(desk.written(*ids(1))) == [2]


def test_to_a_published_node_what_was_not_written_waits_for_the_next_link():
    desk = Desk()
    desk.link_up(can_confirm=False)
    desk.send("LOW", "LOW")
    desk.written(*ids(1))
    desk.outbox.link_down(BOB)
    assert loaded(desk, desk.link_up(can_confirm=False)) == [2]
    assert desk.states() == [OutboxState.SENT, OutboxState.QUEUED]


# --- Payloads -------------------------------------------------------------------------------------


def test_payloads_stay_in_memory_only_while_there_is_a_link_and_room():
    desk = Desk(cache_bytes=8, window_messages=1)
    desk.link_up()
    desk.send("LOW", "LOW", "LOW")
    assert sent(desk.receipt(Verdict.ACCEPTED, *ids(1))) == [2]
    assert of(Load, desk.receipt(Verdict.ACCEPTED, *ids(2))) == [Load(BOB, tuple(ids(3)))]
    desk.send("LOW")
    desk.outbox.link_down(BOB)
    (load,) = of(Load, desk.link_up())
    assert sent(desk.load(load)) == [3]
    assert of(Load, desk.receipt(Verdict.ACCEPTED, *ids(3))) == [Load(BOB, tuple(ids(4)))]


def test_a_flood_does_not_keep_its_payloads_in_memory():
    desk = Desk(cache_bytes=40, window_messages=2)
    desk.link_up()
    for _ in range(100):
        desk.send("LOW", size=10)
    cached = [entry for entry in desk.outbox._shelf._entries.values() if entry.payload is not None]
    assert sum(len(entry.payload) for entry in cached) <= 40
    desk.outbox.link_down(BOB)
    assert all(entry.payload is None for entry in desk.outbox._shelf._entries.values())


def test_nothing_overtakes_a_message_whose_payload_is_being_read():
    desk = Desk()
    desk.send("NORMAL")
    (load,) = of(Load, desk.link_up())
    assert sent(desk.send("CRITICAL")) == []
    assert sent(desk.load(load)) == [1, 2]


def test_a_payload_read_for_a_link_that_is_gone_is_not_sent():
    desk = Desk()
    desk.send("NORMAL")
    (old,) = of(Load, desk.link_up())
    desk.outbox.link_down(BOB)
    assert desk.load(old) == []
    (new,) = of(Load, desk.link_up())
    assert sent(desk.load(new)) == [1]
    assert desk.load(old) == []


def test_a_read_that_failed_is_tried_again():
    desk = Desk()
    desk.send("NORMAL", "NORMAL")
    (load,) = of(Load, desk.link_up())
    desk.outbox.load_failed(BOB, load.ids, desk.now)
    assert desk.timer() == []
    desk.pass_time(5)
    assert loaded(desk, desk.timer()) == [1, 2]


def test_a_message_cancelled_while_it_is_read_is_not_sent():
    desk = Desk()
    desk.send("NORMAL", "NORMAL")
    (load,) = of(Load, desk.link_up())
    desk.carry_out(desk.outbox.cancel(ids(1), desk.now))
    assert sent(desk.load(load)) == [2]


# --- Retries --------------------------------------------------------------------------------------


def test_what_is_not_confirmed_goes_again_with_growing_pauses():
    desk = Desk()
    desk.link_up()
    desk.send("NORMAL")
    pauses = []
    for _ in range(12):
        desk.written(*desk.ids)
        start = desk.mono
        while not sent(desk.timer()):
            desk.pass_time(max(0.001, desk.outbox.next_timer - desk.mono))
        pauses.append(desk.mono - start)
    assert [round(pause / 2**n) for n, pause in enumerate(pauses[:7])] == [2] * 7
    assert all(300 <= pause <= 380 for pause in pauses[8:])


def test_what_the_transport_does_not_have_is_not_sent_again():
    desk = Desk()
    desk.link_up()
    desk.send("NORMAL")
    desk.pass_time(3600)
    assert sent(desk.timer()) == []


def test_a_slow_destination_is_not_pressed():
    desk = Desk()
    desk.link_up()
    desk.send(*["NORMAL"] * 10)
    desk.written(*desk.ids)
    for number in range(1, 10):
        desk.pass_time(1.5)
        assert sent(desk.timer()) == []
        desk.receipt(Verdict.ACCEPTED, *ids(number))
    desk.pass_time(3)
    assert sent(desk.timer()) == [10]


def test_one_that_was_passed_over_goes_again_alone():
    desk = Desk()
    desk.link_up()
    desk.send(*["NORMAL"] * 3)
    desk.written(*desk.ids)
    desk.pass_time(1.9)
    desk.receipt(Verdict.ACCEPTED, *ids(2))
    desk.pass_time(0.7)
    assert sent(desk.timer()) == [1]


def test_after_silence_all_go_again_in_their_order():
    desk = Desk()
    desk.link_up()
    desk.send("LOW", "HIGH", "LOW")
    desk.written(*desk.ids)
    desk.pass_time(3)
    assert sent(desk.timer()) == [2, 1, 3]


def test_people_can_have_a_message_sent_again_at_once():
    desk = Desk()
    desk.link_up()
    desk.send("NORMAL", "NORMAL")
    desk.written(*ids(1))
    desk.receipt(Verdict.HELD, *ids(2))
    assert loaded(desk, desk.carry_out(desk.outbox.retry(desk.ids, desk.now))) == [1, 2]


# --- A busy destination ---------------------------------------------------------------------------


def restarts(actions):
    return [action.floor.is_restart for action in of(SendFloor, actions)]


def test_a_busy_destination_gets_nothing_until_we_start_over():
    desk = Desk()
    desk.link_up()
    desk.send("NORMAL", "NORMAL", "NORMAL")
    desk.written(*desk.ids)
    desk.receipt(Verdict.BUSY, *ids(1))
    desk.receipt(Verdict.BUSY, *ids(2, 3))
    assert sent(desk.send("CRITICAL")) == []
    desk.pass_time(1.9)
    assert sent(desk.timer()) == []
    desk.pass_time(1)
    actions = desk.timer()
    assert restarts(actions) == [True]
    assert isinstance(actions[0], SendFloor)
    assert sent(actions) == [4, 1, 2, 3]


def test_starting_over_waits_for_all_that_is_on_the_wire():
    desk = Desk()
    desk.link_up()
    desk.send("NORMAL", "NORMAL")
    desk.written(*ids(1))
    desk.receipt(Verdict.BUSY, *ids(1))
    desk.pass_time(10)
    assert desk.timer() == []
    desk.written(*ids(2))
    desk.receipt(Verdict.BUSY, *ids(2))
    desk.pass_time(1)
    assert sent(desk.timer()) == [1, 2]


def test_pauses_of_a_busy_destination_grow_and_people_can_end_them():
    desk = Desk()
    desk.link_up()
    desk.send("NORMAL")
    pauses = []
    for _ in range(8):
        desk.written(*desk.ids)
        desk.receipt(Verdict.BUSY, *desk.ids)
        start = desk.mono
        while not sent(desk.timer()):
            desk.pass_time(max(0.01, desk.outbox.next_timer - desk.mono))
        pauses.append(round(desk.mono - start))
    assert pauses[:4] == [2, 4, 8, 16]
    assert pauses[5:] == [30, 30, 30]
    desk.written(*desk.ids)
    desk.receipt(Verdict.BUSY, *desk.ids)
    assert sent(desk.outbox.retry(desk.ids, desk.now)) == [1]


def test_a_new_link_ends_the_pause():
    desk = Desk()
    desk.link_up()
    desk.send("NORMAL")
    desk.receipt(Verdict.BUSY, *desk.ids)
    actions = desk.link_up()
    assert restarts(actions) == [True]
    assert loaded(desk, actions) == [1]


# --- Floors ---------------------------------------------------------------------------------------


def floors(actions):
    return [action.floor.number for action in of(SendFloor, actions)]


def test_a_new_link_tells_the_floor_first():
    desk = Desk()
    assert floors(desk.link_up()) == []
    desk.send("NORMAL", "NORMAL")
    desk.receipt(Verdict.ACCEPTED, *ids(1))
    actions = desk.link_up()
    assert floors(actions) == [2]
    assert isinstance(actions[0], SendFloor)


def test_a_floor_is_told_after_many_settled_or_after_a_while():
    desk = Desk()
    desk.link_up()
    desk.send(*["NORMAL"] * 300)
    assert floors(desk.receipt(Verdict.ACCEPTED, *ids(*range(1, 251)))) == []
    assert floors(desk.receipt(Verdict.ACCEPTED, *ids(*range(251, 261)))) == [261]
    desk.receipt(Verdict.ACCEPTED, *ids(*range(261, 300)))
    desk.pass_time(30)
    assert floors(desk.timer()) == [300]


def test_the_oldest_that_has_not_ended_keeps_the_floor_down():
    desk = Desk()
    desk.link_up()
    desk.send(*["NORMAL"] * 3)
    desk.receipt(Verdict.ACCEPTED, *ids(2, 3))
    assert floors(desk.link_up()) == [1]
    desk.receipt(Verdict.REFUSED, *ids(1))
    assert floors(desk.link_up()) == [4]


def test_a_number_is_settled_only_once_its_end_is_on_disk():
    desk = Desk()
    desk.link_up()
    desk.send("NORMAL")
    desk.outbox.receipt(BOB, Receipt(Verdict.ACCEPTED, desk.ids), desk.now)
    assert floors(desk.outbox.link_up(BOB, True, 1000, desk.now)) == [1]


def test_a_number_that_a_start_would_give_again_is_not_settled():
    desk = Desk()
    desk.link_up()
    accepted = desk.outbox.accept(desk.drafts("NORMAL"), desk.now)
    desk.outbox.commit_failed(accepted.ids, desk.now)
    assert floors(desk.link_up()) == [1]
    desk.send("NORMAL")
    assert desk.ids == tuple(ids(2))
    desk.receipt(Verdict.ACCEPTED, *desk.ids)
    assert floors(desk.link_up()) == [3]


def test_a_published_node_is_told_no_floor():
    desk = Desk()
    desk.send("NORMAL")
    assert floors(desk.link_up(can_confirm=False)) == []
    desk.written(*desk.ids)
    desk.pass_time(60)
    assert desk.timer() == []
    assert told(desk.restart()) == []

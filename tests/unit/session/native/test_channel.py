"""A session on our own wire: what is sealed is opened, once, in order, and by nobody else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.legacy import NOW, identity, later
from tests.support.native_channel import (
    ALICE,
    BOB,
    channel,
    exchange,
    forger,
    fresh,
    message,
    pair,
    reason,
    received,
)

from ironmesh.errors import LocalProtocolError, MessageTooLargeError, RemoteProtocolError
from ironmesh.session.interface import PeerAlive, PeerClosing, PeerReady, UnitRefused
from ironmesh.session.native.limits import MAX_PAYLOAD_BYTES, PACK_MESSAGES
from ironmesh.types import PRIORITIES, MeshType, Message, MessageId, NodeId, Refusal, WireKind
from ironmesh.wire.native.messages import encode_control, encode_prefix
from ironmesh.wire.native.registry import ControlType

drawn_messages = st.builds(
    message,
    payload=st.one_of(st.binary(max_size=300), st.integers(0, 150_000).map(bytes)),
    id=st.binary(min_size=16, max_size=16),
    type=st.sampled_from(["MSG", "REQ", "own/type", "x" * 64]),
    priority=st.sampled_from(PRIORITIES),
    timestamp_ms=st.sampled_from([0, 1, 1_767_225_600_000]),
)


def encoded(one: Message) -> bytes:
    return encode_prefix(one) + one.payload


@settings(max_examples=60)
@given(st.lists(drawn_messages, max_size=20), st.sampled_from([339 + 86, 70_000, 1 << 20]))
def test_lists_of_messages_arrive_whole_and_in_order(
    messages: list[Message], max_record_bytes: int
) -> None:
    alice, bob = pair(max_record_bytes=max_record_bytes)
    units = alice.seal(messages, NOW)
    assert all(len(unit) <= max_record_bytes for unit in units)
    assert received(bob, units) == messages


def test_what_is_ready_goes_in_one_record() -> None:
    alice, bob = pair()
    messages = [message(payload=b"%064d" % number) for number in range(PACK_MESSAGES)]
    alice.ping(NOW)
    (one, two) = alice.seal(messages, NOW)
    assert received(bob, [one, two]) == messages
    (unit,) = alice.seal(messages, NOW)
    assert received(bob, [unit]) == messages
    (unit,) = alice.seal(messages[:64], NOW)
    assert len(unit) == 5782


def test_a_small_message_costs_111_bytes() -> None:
    alice, _ = pair()
    (unit,) = alice.seal([message(payload=bytes(64))], NOW)
    assert len(unit) == 64 + 111 == 175
    (unit,) = alice.seal([message(payload=bytes(64), id=MessageId(bytes(15) + b"x"))], NOW)
    assert len(unit) == 167


def test_a_ping_and_its_answer_cost_29_bytes_each() -> None:
    alice, bob = pair()
    alice.ping(NOW)
    (ping,) = alice.seal([], NOW)
    bob.open(ping, NOW)
    (pong,) = bob.seal([], NOW)
    assert (len(ping), len(pong)) == (29, 29)


def test_the_link_tells_what_it_can_do() -> None:
    link = pair()[0].link
    assert (link.wire, link.is_ours, link.peer) == (WireKind.NATIVE, True, BOB.node_id)
    assert (link.max_payload_bytes, link.piece_bytes) == (16 * 1024 * 1024, 128 * 1024)


@pytest.mark.parametrize(
    "changes",
    [
        {"source": BOB.node_id},
        {"destination": NodeId("f" * 32)},
        {"type": "PING"},
        {"type": ""},
        {"type": "x" * 65},
        {"type": "\ud800"},
    ],
)
def test_only_our_messages_to_this_peer_are_sealed(changes: dict[str, Any]) -> None:
    alice, bob = pair()
    with pytest.raises(LocalProtocolError):
        alice.seal([message(), message(**changes)], NOW)
    assert received(bob, alice.seal([message()], NOW)) == [message()]


def test_a_message_over_the_limit_is_refused_and_nothing_is_sealed() -> None:
    alice, bob = pair()
    alice.ping(NOW)
    with pytest.raises(MessageTooLargeError):
        alice.seal([message(), message(payload=bytes(MAX_PAYLOAD_BYTES + 1))], NOW)
    assert alice.wants_write
    assert received(bob, alice.seal([message()], NOW)) == [message()]


# --- READY ---------------------------------------------------------------------------------------


def test_the_responder_says_ready_first() -> None:
    alice, bob = fresh()
    assert (alice.wants_write, bob.wants_write) == (False, True)
    (unit,) = bob.seal([message(BOB, ALICE)], NOW)
    opened = alice.open(unit, NOW)
    assert opened.events == [PeerReady()]
    assert opened.messages == [message(BOB, ALICE)]


def test_the_initiator_may_send_before_it() -> None:
    alice, bob = fresh()
    assert received(bob, alice.seal([message()], NOW)) == [message()]
    assert not alice.rekey(NOW)


@pytest.mark.parametrize(
    "said",
    [
        encoded(message(BOB, ALICE)),
        encode_control(ControlType.PING, b"1234"),
        encode_control(ControlType.READY, b"more"),
        encode_control(ControlType.PAD) + encode_control(ControlType.READY),
        bytes((150, 0, 0)),
        b"",
    ],
)
def test_nothing_else_may_come_before_ready(said: bytes) -> None:
    alice, _ = fresh()
    record = forger(BOB, is_initiator=False).seal(said, is_signed=True)
    assert reason(alice, record) is Refusal.PROTOCOL


def test_a_refusal_comes_in_place_of_ready() -> None:
    alice, bob = fresh()
    opened = alice.open(*bob.close("identity_changed", NOW), NOW)
    assert opened.events == [PeerClosing("identity_changed")]


def test_ready_comes_once_and_from_the_responder() -> None:
    alice, bob = fresh()
    ready = encode_control(ControlType.READY)
    assert reason(bob, forger(ALICE).seal(ready, is_signed=True)) is Refusal.PROTOCOL
    writer = forger(BOB, is_initiator=False)
    twice = [writer.seal(ready, is_signed=True) for _ in range(2)]
    assert reason(alice, *twice) is Refusal.PROTOCOL


# --- Attacks -------------------------------------------------------------------------------------


def test_no_bit_of_a_record_can_be_changed() -> None:
    (record,) = pair()[0].seal([message()], NOW)
    for bit in range(8 * len(record)):
        changed = bytearray(record)
        changed[bit // 8] ^= 1 << bit % 8
        assert reason(fresh()[1], bytes(changed)) in {
            Refusal.PROTOCOL,
            Refusal.ORDER,
            Refusal.REPLAY,
            Refusal.UNDECRYPTABLE,
        }


def test_a_record_cannot_be_cut_or_extended() -> None:
    (record,) = pair()[0].seal([message()], NOW)
    for end in range(len(record)):
        assert reason(fresh()[1], record[:end]) in {Refusal.TRUNCATED, Refusal.UNDECRYPTABLE}
    for more in (b"\0", record):
        assert reason(fresh()[1], record + more) is Refusal.UNDECRYPTABLE


@settings(max_examples=50)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=8))
def test_records_open_in_their_order_only(order: list[int]) -> None:
    alice, bob = pair()
    units = [alice.seal([message(payload=b"%d" % number)], NOW)[0] for number in range(5)]
    for place, number in enumerate(order):
        if number == place:
            assert received(bob, [units[number]]) == [message(payload=b"%d" % number)]
            continue
        expected = Refusal.REPLAY if number < place else Refusal.ORDER
        assert reason(bob, units[number]) is expected
        with pytest.raises(LocalProtocolError):
            bob.open(units[number], NOW)
        return


def test_a_reflected_record_is_refused() -> None:
    alice, _ = pair()
    (unit,) = alice.seal([message()], NOW)
    assert reason(alice, unit) in {Refusal.ORDER, Refusal.REPLAY, Refusal.UNDECRYPTABLE}


def test_a_record_of_another_session_is_refused() -> None:
    _, bob = pair()
    foreign, _ = pair(label="another")
    assert reason(bob, *foreign.seal([message()], NOW)) is Refusal.UNDECRYPTABLE


def test_text_is_refused() -> None:
    assert reason(pair()[1], "hello") is Refusal.PROTOCOL


def test_who_holds_only_the_keys_of_a_session_cannot_write_in_it() -> None:
    thief = forger(identity("mallory"))
    record = thief.seal(encoded(message()), is_signed=True)
    assert reason(fresh()[1], record) is Refusal.BAD_SIGNATURE


@pytest.mark.parametrize(
    "said",
    [
        encoded(message()),
        encode_control(ControlType.CLOSE),
        encode_control(ControlType.KEY_UPDATE, bytes(32)),
        encode_control(ControlType.CHUNK, b"x"),
        encode_control(ControlType.PING, b"1234") + encoded(message()),
        bytes((16, 0, 1)) + b"x",
        bytes((23, 0, 1)) + b"x" + bytes((28, 0, 1)) + b"x",
    ],
)
def test_what_matters_must_be_signed(said: bytes) -> None:
    assert reason(fresh()[1], forger(ALICE).seal(said, is_signed=False)) is Refusal.UNSIGNED


def test_pings_and_padding_need_no_signature() -> None:
    said = encode_control(ControlType.PING, b"1234") + encode_control(ControlType.PAD, bytes(99))
    opened = fresh()[1].open(forger(ALICE).seal(said, is_signed=False), NOW)
    assert (opened.messages, opened.events) == ([], [])


def test_a_record_of_parcels_is_not_signed_and_one_that_holds_more_is() -> None:
    parcel = msgspec.structs.replace(message(), type=MeshType.PARCEL, payload=bytes(200))
    alice, bob = fresh()
    (alone,) = alice.seal([parcel], NOW)
    (together,) = alice.seal([parcel, message()], NOW)
    assert len(alone) < 22 + 4 + 200 + 10
    assert (alone[0], together[0]) == (0x50, 0x51)
    assert [said.type for said in bob.open(alone, NOW).messages] == ["PARCEL"]
    assert [said.type for said in bob.open(together, NOW).messages] == ["PARCEL", "MSG"]


@pytest.mark.parametrize(
    "said",
    [
        encode_control(ControlType.PAD, b"\0x"),
        encode_control(ControlType.PING, b"123"),
        encode_control(ControlType.PONG, b"12345"),
        encode_control(ControlType.CLOSE, b"\xff"),
        encode_control(ControlType.CLOSE, b"x" * 257),
        encode_control(ControlType.CLOSE) + encode_control(ControlType.PAD),
        encode_control(ControlType.KEY_ANSWER, bytes(32)),
        encode_control(ControlType.KEY_UPDATED),
        encode_control(ControlType.KEY_UPDATE, bytes(31)),
        encode_control(ControlType.KEY_UPDATE, bytes(32)),
        encoded(message())[:-1],
    ],
)
def test_a_malformed_message_ends_the_session(said: bytes) -> None:
    error = reason(fresh()[1], forger(ALICE).seal(said, is_signed=True))
    assert error in {Refusal.BAD_BODY, Refusal.PROTOCOL, Refusal.TOO_LARGE}


def test_a_record_over_the_limit_of_the_transport_is_refused() -> None:
    bob = channel(BOB, ALICE, is_initiator=False, max_record_bytes=425)
    record = forger(ALICE).seal(encode_control(ControlType.PAD, bytes(400)), is_signed=False)
    assert reason(bob, record) is Refusal.TOO_LARGE


# --- CLOSE ---------------------------------------------------------------------------------------


def test_nothing_is_sealed_after_goodbye_but_what_the_peer_sent_is_opened() -> None:
    alice, bob = pair()
    alice.ping(NOW)
    (bye,) = alice.goodbye("closing time", NOW)
    assert not alice.wants_write
    assert alice.goodbye("again", NOW) == []
    assert not alice.rekey(NOW)
    with pytest.raises(LocalProtocolError):
        alice.seal([message()], NOW)
    assert received(alice, bob.seal([message(BOB, ALICE)], NOW)) == [message(BOB, ALICE)]
    assert bob.is_truncated
    assert bob.open(bye, NOW).events == [PeerClosing("closing time")]
    assert not bob.is_truncated
    assert alice.is_truncated


def test_nothing_comes_after_close() -> None:
    writer = forger(ALICE)
    records = [
        writer.seal(encode_control(kind), is_signed=True)
        for kind in (ControlType.CLOSE, ControlType.PAD)
    ]
    assert reason(fresh()[1], *records) is Refusal.PROTOCOL


def test_a_long_reason_is_cut_between_characters() -> None:
    alice, bob = pair()
    (event,) = bob.open(*alice.close("✓" * 200, NOW), NOW).events
    assert event == PeerClosing("✓" * 85)


def test_a_closed_channel_opens_nothing_and_wants_nothing() -> None:
    alice, bob = pair()
    (unit,) = bob.seal([message(BOB, ALICE)], NOW)
    assert len(alice.close("", NOW)) == 1
    assert alice.close("", NOW) == []
    assert (alice.next_timer, alice.wants_write, alice.is_holding) == (None, False, False)
    alice.on_timer(NOW)
    with pytest.raises(LocalProtocolError):
        alice.open(unit, NOW)


# --- Signs of life -------------------------------------------------------------------------------


def test_a_ping_is_due_and_its_answer_tells_the_round_trip() -> None:
    alice, bob = pair()
    due = alice.next_timer
    assert due == NOW.mono + 60
    alice.on_timer(later(60))
    for unit in alice.seal([], later(60)):
        bob.open(unit, later(61))
    (unit,) = bob.seal([], later(61))
    assert alice.open(unit, later(62)).events == [PeerAlive(2.0)]


def test_who_was_heard_or_was_pinged_a_moment_ago_is_not_pinged() -> None:
    alice, bob = pair()
    bob.ping(later(50))
    alice.open(*bob.seal([], later(50)), later(50))
    alice.seal([], later(50))
    alice.on_timer(later(109))
    assert not alice.wants_write
    alice.ping(later(109))
    alice.seal([], later(109))
    alice.on_timer(later(139))
    assert not alice.wants_write


def test_answers_name_their_ping() -> None:
    alice, bob = pair()
    for second in (0, 10):
        alice.ping(later(second))
        bob.open(*alice.seal([], later(second)), later(10))
    (unit,) = bob.seal([], later(10))
    assert alice.open(unit, later(11)).events == [PeerAlive(11.0), PeerAlive(1.0)]


def test_an_answer_that_nobody_waits_for_is_nothing() -> None:
    pong = encode_control(ControlType.PONG, b"1234")
    assert fresh()[1].open(forger(ALICE).seal(pong, is_signed=False), NOW).events == []


def test_a_silent_peer_is_given_up() -> None:
    alice, bob = pair()
    alice.on_timer(later(89))
    with pytest.raises(RemoteProtocolError) as caught:
        alice.on_timer(later(90))
    assert caught.value.reason is Refusal.TIMEOUT
    bob.ping(NOW)
    alice.open(*bob.seal([], NOW), later(91))
    alice.on_timer(later(180))


def test_radio_is_patient() -> None:
    alice, _ = pair(is_radio=True)
    assert alice.next_timer == NOW.mono + 600
    alice.on_timer(later(1799))
    with pytest.raises(RemoteProtocolError):
        alice.on_timer(later(1800))


def test_a_flood_of_pings_gets_few_answers() -> None:
    alice, bob = pair()
    events = []
    for _ in range(30):
        alice.ping(NOW)
        events += bob.open(*alice.seal([], NOW), NOW).events
    assert [event.reason for event in events if isinstance(event, UnitRefused)] == (
        [Refusal.LIMIT] * 20
    )
    (unit,) = bob.seal([], NOW)
    assert len(unit) == 22 + 10 * 7
    alice.ping(later(2))
    assert bob.open(*alice.seal([], later(2)), later(2)).events == []


def test_several_pings_that_wait_are_one() -> None:
    alice, bob = pair()
    for _ in range(3):
        alice.ping(NOW)
    assert [len(unit) for unit in alice.seal([], NOW)] == [29]
    exchange(alice, bob)

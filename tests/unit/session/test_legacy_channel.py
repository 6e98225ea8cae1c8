"""The channel of an established 0.8 session: messages, pings, limits, goodbyes."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from tests.support.legacy import (
    NOW,
    SESSION_KEY,
    channel,
    exchange,
    forge,
    later,
    message,
    opened_messages,
    pair,
    refusals,
    says,
    settings,
)

from ironmesh.errors import (
    DeliveryError,
    LocalProtocolError,
    MessageTooLargeError,
    RemoteProtocolError,
)
from ironmesh.node.application_types import check_application_type
from ironmesh.session.interface import PeerAlive, PeerClosing, PeerThrottled, UnitRefused
from ironmesh.session.legacy import sealing
from ironmesh.session.legacy.settings import (
    LIVENESS_TIMEOUT_S,
    PING_INTERVAL_S,
    PONG_BURST,
    REMEMBERED_IDS,
)
from ironmesh.types import Instant, MessagePriority, NodeId, Refusal, message_id_text
from ironmesh.wire.legacy import control, frame, inner
from ironmesh.wire.legacy.constants import MAX_UNIT_BYTES
from ironmesh.wire.receipts import live_id

ALICE, BOB = settings("alice"), settings("bob")
PUBLISHED = settings("published", protocol_version="ironmesh/0.6")


def _inner_of(unit: Any) -> inner.Inner:
    return inner.decode(frame.decrypt(SESSION_KEY.reveal(), frame.split(unit).ciphertext))


# --- Messages --------------------------------------------------------------------------------


@given(
    payloads=st.lists(st.binary(max_size=300), max_size=5, unique=True),
    kind=st.sampled_from(["MSG", "REQ", "RESP", "CONV", "ACK", "härte", "😀" * 64]),
    priority=st.sampled_from(MessagePriority),
)
def test_messages_arrive_in_order_and_whole(
    payloads: list[bytes], kind: str, priority: MessagePriority
) -> None:
    alice, bob = pair(ALICE, BOB)
    sent = [
        message(ALICE, BOB, payload, type=kind, priority=priority, timestamp_ms=1767225600250)
        for payload in payloads
    ]
    units = alice.seal(sent, NOW)
    assert len(units) == len(sent)
    assert opened_messages(bob, units, NOW) == sent


def test_a_frame_of_ours_reads_like_a_published_one() -> None:
    alice, _ = pair(ALICE, PUBLISHED)
    sent = message(ALICE, PUBLISHED, b"hi", priority=MessagePriority.HIGH)
    (unit,) = alice.seal([sent], NOW)
    header = frame.split(unit).header
    assert (header.version, header.flags, header.sequence) == (4, 0x0D, 1)
    assert header.timestamp_ms == 1767225600250
    said = _inner_of(unit)
    assert said.msg_id == message_id_text(sent.id)
    assert (said.source, said.source_display) == (ALICE.identity.node_id,) * 2
    assert (said.ttl, said.hops, said.retries, said.sequence) == (5, (), 0, 1)
    assert said.routing == inner.Routing()
    assert said.source_sig_scheme == "v2"
    members = list(msgspec.json.decode(inner.encode(said)))
    assert members[:13] == [
        *("type", "payload", "msg_id", "source", "source_display", "destination", "timestamp"),
        *("priority", "sequence", "retries", "routing", "ttl", "hops"),
    ]


def _is_signed_inside(unit: Any) -> bool:
    said = _inner_of(unit)
    assert (said.source_signature is UNSET) is (said.source_sig_scheme is UNSET)
    return said.source_signature is not UNSET


def test_a_published_peer_always_gets_the_source_signature() -> None:
    alice, published = pair(ALICE, PUBLISHED)
    (unit,) = alice.seal([message(ALICE, PUBLISHED)], NOW)
    assert _is_signed_inside(unit)
    assert published.open(unit, NOW).messages


def test_a_source_signature_that_is_there_must_check() -> None:
    bob = channel(BOB, ALICE)
    said = says(ALICE.identity, BOB.identity.node_id, source_signature=bytes(64))
    assert refusals(bob.open(forge(ALICE.identity, says=said), NOW)) == [Refusal.SOURCE_FORGED]


@pytest.mark.parametrize("kind", sorted(control.MESH_TYPES))
def test_what_the_mesh_consumes_passes_through(kind: str) -> None:
    alice, bob = pair(ALICE, BOB)
    sent = message(ALICE, BOB, b'{"origin":"x"}', type=kind, timestamp_ms=1767225600250)
    (unit,) = alice.seal([sent], NOW)
    assert _inner_of(unit).ttl == 3
    assert _inner_of(unit).msg_id == sent.id.hex()
    assert opened_messages(bob, [unit], NOW) == [sent]
    assert opened_messages(bob, alice.seal([sent], NOW), NOW) == [sent]


@pytest.mark.parametrize("destination", ["*", None])
def test_broadcasts_and_direct_messages_are_for_us(destination: Any) -> None:
    alice, bob = pair(ALICE, BOB)
    changes = {"destination": NodeId(destination)} if destination else {}
    units = alice.seal([message(ALICE, BOB, **changes)], NOW)
    assert len(opened_messages(bob, units, NOW)) == 1


def test_an_original_message_may_go_by_way_of_a_neighbour() -> None:
    alice, bob = pair(ALICE, BOB)
    carol = settings("carol").identity.node_id
    (unit,) = alice.seal([message(ALICE, BOB, destination=carol)], NOW)
    assert refusals(bob.open(unit, NOW)) == [Refusal.NOT_FOR_US]


# --- Several messages at once -----------------------------------------------------------------


def test_each_message_has_a_frame_of_its_own() -> None:
    alice, bob = pair(ALICE, PUBLISHED)
    sent = [message(ALICE, PUBLISHED, payload, timestamp_ms=1) for payload in (b"1", b"2")]
    units = alice.seal(sent, NOW)
    assert [_inner_of(unit).type for unit in units] == ["MSG", "MSG"]
    assert [one.payload for one in opened_messages(bob, units, NOW)] == [b"1", b"2"]


def test_applications_cannot_send_what_only_nodes_say() -> None:
    for kind in ("ACK", "PING", "ROUTE_ANNOUNCE"):
        with pytest.raises(DeliveryError):
            check_application_type(kind)


# --- Size ------------------------------------------------------------------------------------


def test_the_largest_payload_fits_the_worst_envelope_and_not_a_byte_more() -> None:
    alice, bob = pair(ALICE, PUBLISHED)
    limit = alice.link.max_payload_bytes
    now = Instant(NOW.mono, 1767225600.1234567)
    worst = {"type": "😀" * 64, "priority": MessagePriority.CRITICAL}
    assert alice._sealer is not None
    alice._sealer._sequence = 2**48 - 1
    (unit,) = alice.seal([message(ALICE, PUBLISHED, bytes(limit), **worst)], now)
    assert MAX_UNIT_BYTES - 4 < len(unit) <= MAX_UNIT_BYTES
    assert len(opened_messages(bob, [unit], now)[0].payload) == limit
    assert limit == sealing.MAX_PAYLOAD_BYTES > 785_000


def test_a_message_that_does_not_fit_stops_the_whole_list() -> None:
    alice, bob = pair(ALICE, BOB)
    limit = alice.link.max_payload_bytes
    with pytest.raises(MessageTooLargeError, match=str(limit)):
        alice.seal([message(ALICE, BOB), message(ALICE, BOB, bytes(limit + 1))], NOW)
    (unit,) = alice.seal([message(ALICE, BOB)], NOW)
    assert frame.split(unit).header.sequence == 1
    assert opened_messages(bob, [unit], NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"source": BOB.identity.node_id},
        {"destination": NodeId("bob")},
        {"destination": NodeId("")},
        {"type": ""},
        {"type": "x" * 65},
        {"type": "\ud800"},
        {"type": "PING"},
        {"type": "REKEY_REQUEST"},
    ],
    ids=str,
)
def test_what_is_not_ours_to_send_is_misuse(changes: dict[str, Any]) -> None:
    alice, _ = pair(ALICE, BOB)
    with pytest.raises(LocalProtocolError):
        alice.seal([message(ALICE, BOB, **changes)], NOW)


# --- Pings and liveness ----------------------------------------------------------------------


def test_a_ping_measures_the_way_there_and_back() -> None:
    alice, bob = pair(ALICE, BOB)
    alice.ping(NOW)
    alice.ping(NOW)
    assert alice.wants_write
    (ping,) = alice.seal([], later(1))
    assert bob.open(ping, later(1.1)).events == []
    (pong,) = bob.seal([], later(1.2))
    assert alice.open(pong, later(1.3)).events == [PeerAlive(pytest.approx(0.3))]
    assert not alice.wants_write
    assert not bob.wants_write


def test_a_lost_answer_does_not_spoil_the_next_measurement() -> None:
    alice, bob = pair(ALICE, BOB)
    alice.ping(NOW)
    alice.seal([], NOW)
    alice.ping(later(PING_INTERVAL_S))
    (ping,) = alice.seal([], later(PING_INTERVAL_S))
    bob.open(ping, later(PING_INTERVAL_S))
    (pong,) = bob.seal([], later(PING_INTERVAL_S))
    answered = alice.open(pong, later(PING_INTERVAL_S + 1))
    assert answered.events == [PeerAlive(pytest.approx(1.0))]


def test_unanswered_pings_are_bounded() -> None:
    alice, _ = pair(ALICE, BOB)
    for _number in range(100):
        alice.ping(NOW)
        alice.seal([], NOW)
    assert len(alice._pings) == 16
    alice.ping(later(PING_INTERVAL_S))
    assert alice.wants_write


def test_control_traffic_goes_before_messages() -> None:
    alice, bob = pair(ALICE, BOB)
    alice.ping(NOW)
    units = alice.seal([message(ALICE, BOB)], NOW)
    assert [_inner_of(unit).type for unit in units] == ["PING", "MSG"]
    assert len(opened_messages(bob, units, NOW)) == 1


def test_a_pong_without_a_ping_is_refused() -> None:
    alice, _ = pair(ALICE, BOB)
    pong = says(BOB.identity, "*", type="PONG", ttl=3)
    assert refusals(alice.open(forge(BOB.identity, says=pong), NOW)) == [Refusal.PROTOCOL]


def test_floods_of_pings_are_answered_at_a_bounded_rate() -> None:
    bob = channel(BOB, ALICE)
    reasons = []
    for number in range(1, 100):
        ping = says(ALICE.identity, "*", type="PING", sequence=number, msg_id=f"{number:032x}")
        reasons += refusals(bob.open(forge(ALICE.identity, says=ping), NOW))
    assert reasons == [Refusal.LIMIT] * (99 - PONG_BURST)
    assert len(bob.seal([], NOW)) == PONG_BURST
    ping = says(ALICE.identity, "*", type="PING", sequence=200)
    assert refusals(bob.open(forge(ALICE.identity, says=ping), later(1.0))) == []


def test_pings_are_due_every_interval_and_silence_ends_the_session() -> None:
    alice, bob = pair(ALICE, BOB)
    assert alice.next_timer == NOW.mono + PING_INTERVAL_S
    alice.on_timer(later(29))
    assert not alice.wants_write
    alice.on_timer(later(30))
    (ping,) = alice.seal([], later(30))
    bob.open(ping, later(30))
    for unit in bob.seal([], later(30)):
        alice.open(unit, later(30))
    assert alice.next_timer == NOW.mono + 2 * PING_INTERVAL_S
    alice.on_timer(later(30 + LIVENESS_TIMEOUT_S - 1))
    with pytest.raises(RemoteProtocolError) as caught:
        alice.on_timer(later(30 + LIVENESS_TIMEOUT_S))
    assert caught.value.reason is Refusal.TIMEOUT


def test_garbage_does_not_keep_a_session_alive() -> None:
    alice, _ = pair(ALICE, BOB)
    for second in range(0, 90, 10):
        alice.open(b"garbage", later(second))
        alice.open(forge(ALICE.identity, says=says(ALICE.identity, "*")), later(second))
    with pytest.raises(RemoteProtocolError):
        alice.on_timer(later(90))


# --- What the channel keeps to itself --------------------------------------------------------


def test_rate_limited_is_told_and_never_answered() -> None:
    alice, _ = pair(ALICE, BOB)
    notice = says(BOB.identity, "*", type="RATE_LIMITED", ttl=3)
    assert alice.open(forge(BOB.identity, says=notice), NOW).events == [PeerThrottled()]
    assert not alice.wants_write


@pytest.mark.parametrize("payload", [b"", b"no json", b'{"type":"GOODBYE","from":"x"}'])
def test_a_goodbye_without_a_reason_is_a_goodbye(payload: bytes) -> None:
    alice, _ = pair(ALICE, BOB)
    goodbye = says(BOB.identity, "*", type="GOODBYE", payload=payload, ttl=3)
    assert alice.open(forge(BOB.identity, says=goodbye), NOW).events == [PeerClosing("")]


def test_closing_says_goodbye_once_and_drops_the_keys() -> None:
    alice, bob = pair(ALICE, BOB)
    alice.ping(NOW)
    (goodbye,) = alice.close("shutting down " + "x" * 999, NOW)
    (event,) = bob.open(goodbye, NOW).events
    assert isinstance(event, PeerClosing)
    assert event.reason.startswith("shutting down")
    assert alice.close("again", NOW) == []
    assert not alice.wants_write
    assert not alice.is_holding
    assert not alice.rekey(NOW)
    assert alice.next_timer is None
    alice.on_timer(later(1e6))
    for call in (lambda: alice.seal([], NOW), lambda: alice.open(goodbye, NOW)):
        with pytest.raises(LocalProtocolError):
            call()


def test_key_rotate_is_refused() -> None:
    alice, _ = pair(ALICE, BOB)
    rotate = says(BOB.identity, "*", type="KEY_ROTATE", ttl=3)
    assert refusals(alice.open(forge(BOB.identity, says=rotate), NOW)) == [Refusal.PROTOCOL]


# --- Duplicates ------------------------------------------------------------------------------


def test_a_message_is_delivered_once_within_a_session() -> None:
    alice, bob = pair(ALICE, BOB)
    sent = message(ALICE, BOB, id=live_id(1))
    first, again = (alice.seal([sent], NOW) for _ in range(2))
    assert len(opened_messages(bob, first, NOW)) == 1
    assert refusals(bob.open(again[0], NOW)) == [Refusal.REPLAY]


def test_remembered_ids_are_bounded() -> None:
    alice, bob = pair(ALICE, BOB)
    for number in range(REMEMBERED_IDS + 10):
        opened_messages(bob, alice.seal([message(ALICE, BOB, id=live_id(number))], NOW), NOW)
    assert len(bob._delivered) == REMEMBERED_IDS


# --- Both ends, in any order -----------------------------------------------------------------


def test_idle_ends_have_nothing_to_write() -> None:
    alice, bob = pair(ALICE, BOB)
    assert exchange(alice, bob) == ([], [])
    assert alice.seal([], NOW) == []


def test_refusals_tell_nothing_of_the_payload() -> None:
    alice, bob = pair(ALICE, BOB)
    (unit,) = alice.seal([message(ALICE, BOB, b"a secret")], NOW)
    for opened in (bob.open(unit[:-1], NOW), bob.open(unit, later(99)), bob.open("x", NOW)):
        (event,) = opened.events
        assert isinstance(event, UnitRefused)
        assert "secret" not in event.detail

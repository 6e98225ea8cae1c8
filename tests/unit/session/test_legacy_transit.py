"""Frames for other nodes, frames over relays, and messages that a bridge hands over."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import UNSET
from tests.support.legacy import (
    NOW,
    channel,
    forge,
    later,
    message,
    refusal_of,
    refusals,
    says,
    settings,
)

from ironmesh.crypto import sodium
from ironmesh.errors import MessageTooLargeError
from ironmesh.session.legacy.channel import LegacyChannel
from ironmesh.session.legacy.sources import SealedCopies, open_bridged, originate
from ironmesh.types import BRIDGED, Message, Refusal
from ironmesh.wire.legacy import bridged, inner, source
from ironmesh.wire.legacy.bridged import Bridged
from ironmesh.wire.legacy.constants import TUNNEL_TYPE
from ironmesh.wire.legacy.transit import Transit

ALICE, RELAY, BOB = settings("alice"), settings("relay"), settings("bob")
RELAY_TAKES = settings("relay", takes_transit=True)
KEYS = {party.identity.node_id: party.identity.public for party in (ALICE, RELAY, BOB)}
BOB_KNOWS = settings("bob", known_keys=KEYS.get)


def opened_one(end: LegacyChannel, unit: Any, now: Any = NOW) -> Message:
    opened = end.open(unit, now)
    assert not opened.events, opened.events
    (only,) = opened.messages
    return only


def over_the_relay(said: inner.Inner, bob: Any = BOB_KNOWS, **changes: Any) -> Any:
    """Give a frame of alice's to the relay, which passes it to bob; return what bob opens."""
    to_relay = forge(ALICE.identity, says=said)
    passed = opened_one(channel(RELAY_TAKES, ALICE), to_relay)
    assert isinstance(passed, Transit)
    onward = msgspec.structs.replace(
        passed.said,
        **{"ttl": int(said.ttl) - 1, "hops": (*said.hops, RELAY.identity.node_id), **changes},
    )
    (unit,) = channel(RELAY_TAKES, BOB).seal([msgspec.structs.replace(passed, said=onward)], NOW)
    return channel(bob, RELAY).open(unit, NOW)


def from_alice(
    payload: bytes = b"hello", *, is_sealed: bool = False, **changes: Any
) -> inner.Inner:
    said = originate(
        ALICE.identity,
        message(ALICE, BOB, payload),
        seal_to=BOB.identity.public if is_sealed else None,
        max_hops=5,
    )
    return msgspec.structs.replace(said, timestamp=NOW.wall - 1.5, sequence=1, **changes)


def test_a_node_that_does_not_relay_refuses_what_is_for_others() -> None:
    unit = forge(ALICE.identity, says=from_alice())
    assert refusals(channel(RELAY, ALICE).open(unit, NOW)) == [Refusal.NOT_FOR_US]


@pytest.mark.parametrize("is_sealed", [False, True])
def test_a_message_over_a_relay_shows_its_true_source(is_sealed: bool) -> None:
    opened = over_the_relay(from_alice(is_sealed=is_sealed))
    (got,) = opened.messages
    assert (got.source, got.payload) == (ALICE.identity.node_id, b"hello")
    assert got.timestamp_ms == int((NOW.wall - 1.5) * 1000), "the source's time is kept"


def test_a_relay_sees_nothing_of_a_sealed_message() -> None:
    said = from_alice(b"the secret body", is_sealed=True)
    assert said.payload == b""
    assert b"secret" not in inner.encode(said)


@pytest.mark.parametrize(
    "changes",
    [
        {"payload": b"other"},
        {"source": RELAY.identity.node_id + ""},
        {"source_signature": UNSET},
        {"source_signature": bytes(64)},
        {"msg_id": "another"},
        {"destination": "*"},
    ],
    ids=["body", "source", "unsigned", "signature", "id", "destination"],
)
def test_a_relay_that_alters_a_message_of_a_known_node_is_found_out(
    changes: dict[str, Any],
) -> None:
    assert refusals(over_the_relay(from_alice(), **changes)) == [Refusal.SOURCE_FORGED]


def test_a_relay_that_swaps_the_sealed_copy_is_found_out() -> None:
    box = sodium.sign_public_to_box(BOB.identity.public)
    other = sodium.seal(box, b"something else")
    assert refusals(over_the_relay(from_alice(is_sealed=True), e2e_payload=other)) == [
        Refusal.SOURCE_FORGED
    ]


def test_a_source_whose_key_is_not_known_is_refused_with_what_to_do() -> None:
    assert refusals(over_the_relay(from_alice(), BOB)) == [Refusal.SOURCE_UNKNOWN]


def test_a_native_node_has_no_business_in_a_relayed_frame() -> None:
    bob = settings("bob", known_keys=KEYS.get, is_native=lambda _: True)
    assert refusals(over_the_relay(from_alice(), bob)) == [Refusal.DOWNGRADED]


def test_a_tunnel_of_a_native_or_unknown_node_passes_and_one_of_a_known_key_is_checked() -> None:
    said = from_alice(type=TUNNEL_TYPE)
    native = settings("bob", known_keys=KEYS.get, is_native=lambda _: True)
    for bob in (BOB, native):
        (got,) = over_the_relay(said, bob).messages
        assert got.type == TUNNEL_TYPE
    assert refusals(over_the_relay(said, native, payload=b"x")) == [Refusal.SOURCE_FORGED]


def test_a_relay_refuses_a_frame_that_a_known_node_did_not_sign() -> None:
    relay = settings("relay", takes_transit=True, known_keys=KEYS.get)
    said = says(BOB.identity, "c" * 32, hops=("d" * 32,), source_signature=bytes(64))
    unit = forge(ALICE.identity, says=said)
    assert refusals(channel(relay, ALICE).open(unit, NOW)) == [Refusal.SOURCE_FORGED]


def test_a_relay_refuses_a_frame_whose_first_hop_is_not_its_source() -> None:
    unit = forge(ALICE.identity, says=says(BOB.identity, "c" * 32))
    assert refusals(channel(RELAY_TAKES, ALICE).open(unit, NOW)) == [Refusal.SOURCE_FORGED]


@pytest.mark.parametrize("kind", ["PING", "GOODBYE", "ROUTE_ANNOUNCE", "CAPABILITY_ANNOUNCE"])
def test_what_neighbours_say_to_each_other_is_not_passed_on(kind: str) -> None:
    said = says(ALICE.identity, BOB.identity.node_id, type=kind)
    unit = forge(ALICE.identity, says=said)
    assert refusals(channel(RELAY_TAKES, ALICE).open(unit, NOW)) == [Refusal.NOT_FOR_US]


@pytest.mark.parametrize("kind", ["ROUTE_ANNOUNCE", "CAPABILITY_ANNOUNCE", "REVOCATION"])
def test_what_neighbours_say_to_each_other_is_not_taken_from_afar(kind: str) -> None:
    said = says(
        ALICE.identity, RELAY.identity.node_id, type=kind, hops=("d" * 32,), source="d" * 32
    )
    relay = settings("relay", known_keys=lambda _: ALICE.identity.public)
    unit = forge(ALICE.identity, says=said)
    assert refusals(channel(relay, ALICE).open(unit, NOW))


def test_a_frame_that_does_not_fit_is_not_sealed() -> None:
    end = channel(ALICE, RELAY)
    said = from_alice(bytes(790_000))
    large = Transit(
        id=message(ALICE, BOB).id,
        type="MSG",
        payload=b"",
        source=ALICE.identity.node_id,
        destination=BOB.identity.node_id,
        said=said,
    )
    with pytest.raises(MessageTooLargeError):
        end.seal([large], NOW)


# --- Bridges -------------------------------------------------------------------------------------


def test_a_bridged_message_opens_at_its_destination_whoever_handed_it_over() -> None:
    body = bridged.encode(Bridged(ALICE.identity.public, from_alice(is_sealed=True)))
    got = open_bridged(bridged.decode(body), SealedCopies(BOB.identity), 5)
    assert (got.source, got.payload, got.timestamp_ms) == (ALICE.identity.node_id, b"hello", 5)


def test_published_nodes_sign_the_payload_alone_and_that_counts() -> None:
    said = says(
        ALICE.identity,
        BOB.identity.node_id,
        source_signature=ALICE.identity.sign(source.signed_v1(b"hello")),
    )
    body = bridged.encode(Bridged(ALICE.identity.public, said))
    assert open_bridged(bridged.decode(body), SealedCopies(BOB.identity), 0).payload == b"hello"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"payload": b"other"}, Refusal.SOURCE_FORGED),
        ({"source": BOB.identity.node_id}, Refusal.SOURCE_FORGED),
        ({"source_signature": UNSET}, Refusal.SOURCE_FORGED),
        ({"type": "PING"}, Refusal.BAD_BODY),
        ({"type": "ROUTE_ANNOUNCE"}, Refusal.BAD_BODY),
        ({"type": TUNNEL_TYPE}, Refusal.BAD_BODY),
        ({"destination": "*"}, Refusal.BAD_BODY),
        ({"msg_id": ""}, Refusal.BAD_BODY),
    ],
)
def test_a_bridge_cannot_make_up_a_message(changes: dict[str, Any], reason: Refusal) -> None:
    said = msgspec.structs.replace(from_alice(), **changes)
    body = bridged.encode(Bridged(ALICE.identity.public, said))
    assert refusal_of(_open, body) is reason


@pytest.mark.parametrize("body", [b"", b"\1", b"\2" + bytes(40), b"\1" + bytes(32), bytes(1 << 21)])
def test_what_is_no_bridged_message_is_refused(body: bytes) -> None:
    assert refusal_of(_open, body) in {Refusal.BAD_BODY, Refusal.TOO_LARGE}


def test_a_bridged_message_goes_on_as_a_frame_with_the_time_at_which_it_is_written() -> None:
    said = msgspec.structs.replace(from_alice(), hops=(RELAY.identity.node_id,), ttl=4)
    waited = Message(
        id=message(ALICE, BOB).id,
        type=BRIDGED,
        payload=bridged.encode(Bridged(ALICE.identity.public, said)),
        source=RELAY.identity.node_id,
        destination=BOB.identity.node_id,
    )
    now = later(3600.0)
    (unit,) = channel(RELAY, BOB, now=now).seal([waited], now)
    got = opened_one(channel(BOB_KNOWS, RELAY, now=now), unit, now)
    assert (got.type, got.source, got.payload) == ("MSG", ALICE.identity.node_id, b"hello")
    assert got.timestamp_ms == int(now.wall * 1000)


def _open(body: bytes) -> Message:
    return open_bridged(bridged.decode(body), SealedCopies(BOB.identity), 0)

"""Frames that must not pass, each with the name of its refusal; the session goes on."""

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.support import vectors
from tests.support.legacy import (
    NOW,
    channel,
    forge,
    later,
    message,
    opened_messages,
    pair,
    refusals,
    says,
    settings,
)
from tests.support.mutations import mutations

from ironmesh.crypto import sodium
from ironmesh.crypto.identity import Identity
from ironmesh.session.interface import PeerAlive, UnitRefused
from ironmesh.session.legacy.channel import LegacyChannel
from ironmesh.session.legacy.settings import LegacySettings
from ironmesh.types import Instant, NodeId, Refusal, Secret
from ironmesh.wire.legacy import frame, inner, source
from ironmesh.wire.legacy.constants import MAX_INFLATED_BYTES, MAX_UNIT_BYTES

FRAMES = vectors.load("frame")
NEGATIVE = vectors.load("frame_negative")
PEOPLE = {row["name"]: row for row in vectors.load("identity")["vectors"]}
KEY = Secret(bytes.fromhex(NEGATIVE["session_key_hex"]))
ALICE, BOB, CAROL = settings("alice"), settings("bob"), settings("carol")


def person(name: str, **changes: Any) -> LegacySettings:
    """Return the settings of a person of the vectors, who states the published version."""
    identity = Identity.from_seed(bytes.fromhex(PEOPLE[name]["seed_hex"]))
    return settings(name, identity=identity, protocol_version="ironmesh/0.6", **changes)


def _channel_of(own: str, peer: str, **changes: Any) -> LegacyChannel:
    return channel(person(own, **changes), person(peer), KEY)


# --- The vectors -----------------------------------------------------------------------------


def test_published_frames_are_taken_in_order() -> None:
    bob = _channel_of("bob", "alice")
    for vector in FRAMES["vectors"][:3]:
        (taken,) = opened_messages(bob, [bytes.fromhex(vector["wire_hex"])], NOW)
        said = inner.decode(vector["inner_json_utf8"].encode())
        assert taken.payload.hex() == vector["payload_hex"]
        assert taken.id == inner.message_id_of(said.msg_id)
        assert taken.priority == said.priority
        assert taken.timestamp_ms == vector["header"]["timestamp_ms"]


def test_a_published_ping_is_answered() -> None:
    alice = _channel_of("alice", "bob")
    assert alice.open(bytes.fromhex(FRAMES["vectors"][3]["wire_hex"]), NOW).events == []
    (pong,) = alice.seal([], NOW)
    bob = _channel_of("bob", "alice")
    bob.ping(NOW)
    bob.seal([], NOW)
    assert bob.open(pong, NOW).events == [PeerAlive(0.0)]


def test_a_published_relayed_frame_is_taken_if_its_source_is_known() -> None:
    wire = bytes.fromhex(FRAMES["vectors"][4]["wire_hex"])
    alice = person("alice").identity
    keys = {alice.node_id: alice.public}
    (taken,) = opened_messages(_channel_of("carol", "bob", known_keys=keys.get), [wire], NOW)
    assert (taken.payload, taken.source) == (b"for carol only", alice.node_id)
    unknown = _channel_of("carol", "bob")
    assert refusals(unknown.open(wire, NOW)) == [Refusal.SOURCE_UNKNOWN]
    wrong = _channel_of("carol", "bob", known_keys=lambda _: person("bob").identity.public)
    assert refusals(wrong.open(wire, NOW)) == [Refusal.SOURCE_FORGED]
    elsewhere = _channel_of("alice", "bob", known_keys=keys.get)
    assert refusals(elsewhere.open(wire, NOW)) == [Refusal.NOT_FOR_US]


HARDENED = {
    "SIGNED bit cleared": Refusal.UNSIGNED,
    "header sequence changed": Refusal.HEADER_MISMATCH,
    "ciphertext shorter than 40 bytes": Refusal.UNSIGNED,
}
NAMES = {
    "short": Refusal.PROTOCOL,
    "magic": Refusal.PROTOCOL,
    "version": Refusal.PROTOCOL,
    "truncated": Refusal.PROTOCOL,
    "unencrypted": Refusal.PROTOCOL,
    "signature-missing": Refusal.UNSIGNED,
    "signature": Refusal.BAD_SIGNATURE,
    "decrypt": Refusal.UNDECRYPTABLE,
}


@pytest.mark.parametrize("row", NEGATIVE["frames"], ids=lambda row: row["note"][:40])
def test_the_channel_refuses_what_the_vectors_refuse_and_the_weaknesses_too(
    row: dict[str, Any],
) -> None:
    bob = _channel_of("bob", "alice")
    if row["note"] == "wrong session key":
        bob = channel(person("bob"), person("alice"), Secret(bytes(32)))
    if row["note"] == "wrong verify key":
        bob = _channel_of("bob", "carol")
    opened = bob.open(bytes.fromhex(row["wire_hex"]), NOW)
    hardened = [name for note, name in HARDENED.items() if row["note"].startswith(note)]
    if hardened:
        assert refusals(opened) == hardened
    elif row["expect"] == "accept":
        assert [taken.payload for taken in opened.messages] == [b"hello mesh"]
    else:
        assert refusals(opened) == [NAMES[row["expect"].removeprefix("reject:")]]


def test_legacy_json_frames_are_refused_although_we_could_open_them() -> None:
    data = vectors.load("legacy_json_frame")
    said, key = data["message"], bytes.fromhex(data["session_key_hex"])
    sealed = inner.decode(json.dumps({"type": "x", "payload": said["encrypted_payload"]}).encode())
    signature = inner.decode(json.dumps({"type": "x", "payload": said["signature"]}).encode())
    assert frame.decrypt(key, sealed.payload).hex() == data["payload_hex"]
    signer = bytes.fromhex(data["sender_public_hex"])
    assert sodium.verify(signer, sealed.payload, signature.payload)
    bob = _channel_of("bob", "alice")
    text = json.dumps(said)
    assert refusals(bob.open(text, NOW)) == [Refusal.PROTOCOL]
    assert refusals(bob.open(text.encode(), NOW)) == [Refusal.PROTOCOL]


# --- The header, which nothing protects ------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header._replace(sequence=2),
        lambda header: header._replace(timestamp_ms=header.timestamp_ms + 2),
        lambda header: header._replace(timestamp_ms=0),
        lambda header: header._replace(id_hash=bytes(8)),
    ],
    ids=["sequence", "timestamp", "no timestamp", "message id"],
)
def test_a_header_that_differs_from_what_was_sealed_is_refused(change: Any) -> None:
    bob = channel(BOB, ALICE)
    said = says(ALICE.identity, BOB.identity.node_id)
    wire = forge(ALICE.identity, says=said, header=change)
    assert refusals(bob.open(wire, NOW)) == [Refusal.HEADER_MISMATCH]
    assert opened_messages(bob, [forge(ALICE.identity, says=said)], NOW)


def test_a_millisecond_of_rounding_is_no_difference() -> None:
    bob = channel(BOB, ALICE)
    said = says(ALICE.identity, BOB.identity.node_id)
    wire = forge(
        ALICE.identity,
        says=said,
        header=lambda header: header._replace(timestamp_ms=header.timestamp_ms + 1),
    )
    assert opened_messages(bob, [wire], NOW)


# --- Replay, reflection, clocks --------------------------------------------------------------


def test_the_same_frame_twice_is_refused() -> None:
    alice, bob = pair(ALICE, BOB)
    (unit,) = alice.seal([message(ALICE, BOB)], NOW)
    assert opened_messages(bob, [unit], NOW)
    assert refusals(bob.open(unit, NOW)) == [Refusal.REPLAY]


def test_an_older_frame_after_a_newer_one_is_refused() -> None:
    alice, bob = pair(ALICE, BOB)
    old, new = (alice.seal([message(ALICE, BOB, payload)], NOW) for payload in (b"1", b"2"))
    assert opened_messages(bob, new, NOW)
    assert refusals(bob.open(old[0], NOW)) == [Refusal.REPLAY]


def test_a_reflected_frame_is_refused() -> None:
    alice, bob = pair(ALICE, BOB)
    alice.ping(NOW)
    (ping,) = alice.seal([], NOW)
    assert refusals(alice.open(ping, NOW)) == [Refusal.BAD_SIGNATURE]
    unsigned = bytes([*ping[:3], ping[3] & ~0x08, *ping[4:]])
    assert refusals(alice.open(unsigned, NOW)) == [Refusal.UNSIGNED]
    assert not alice.wants_write
    assert bob.open(ping, NOW).events == []


@pytest.mark.parametrize(("offset", "said"), [(31.0, "-31.0 s"), (-6.0, "+6.0 s")])
def test_a_clock_that_is_off_is_named_with_its_offset(offset: float, said: str) -> None:
    alice, bob = pair(ALICE, BOB)
    (unit,) = alice.seal([message(ALICE, BOB)], NOW)
    wrong = Instant(NOW.mono, NOW.wall + offset)
    (event,) = bob.open(unit, wrong).events
    assert isinstance(event, UnitRefused)
    assert event.reason is Refusal.CLOCK_SKEW
    assert said in event.detail
    assert opened_messages(bob, [unit], NOW)


# --- Who wrote it ----------------------------------------------------------------------------


def _signed(
    signer: Identity, payload: bytes, scheme: str, destination: str, **changes: Any
) -> inner.Inner:
    """Return an inner object with a source signature."""
    said = says(signer, destination, payload=payload, **changes)
    signed = (
        source.signed_v1(payload)
        if scheme == "v1"
        else source.signed_v2(said.source, destination, said.msg_id, payload)
    )
    return inner.Inner(
        **{name: getattr(said, name) for name in inner.Inner.__struct_fields__}
        | {"source_signature": signer.sign(signed)}
        | ({"source_sig_scheme": "v2"} if scheme == "v2" else {})
    )


def _replaced(said: inner.Inner, **changes: Any) -> inner.Inner:
    fields = {name: getattr(said, name) for name in inner.Inner.__struct_fields__}
    return inner.Inner(**fields | changes)


TO_BOB = BOB.identity.node_id


@pytest.mark.parametrize("scheme", ["v1", "v2"])
def test_the_source_signature_of_the_direct_peer_is_checked(scheme: str) -> None:
    good = _signed(ALICE.identity, b"pay", scheme, TO_BOB)
    assert opened_messages(channel(BOB, ALICE), [forge(ALICE.identity, says=good)], NOW)
    for bad in (
        _replaced(good, payload=b"other"),
        _replaced(good, source_signature=bytes(64)),
        _replaced(good, source_signature=b""),
        _replaced(good, source_sig_scheme="v3"),
        _replaced(good, source_sig_scheme="v1" if scheme == "v2" else "v2"),
    ):
        opened = channel(BOB, ALICE).open(forge(ALICE.identity, says=bad), NOW)
        assert refusals(opened) == [Refusal.SOURCE_FORGED]


@pytest.mark.parametrize("scheme", ["v1", "v2"])
def test_relays_that_strip_the_tag_do_no_harm(scheme: str) -> None:
    said = _signed(ALICE.identity, b"pay", scheme, TO_BOB)
    stripped = inner.decode(inner.encode(said).replace(b',"source_sig_scheme":"v2"', b""))
    assert opened_messages(channel(BOB, ALICE), [forge(ALICE.identity, says=stripped)], NOW)


def test_a_floor_of_0_9_refuses_signatures_without_context() -> None:
    strict = settings("bob", min_version="ironmesh/0.9")
    for tag in ({}, {"source_sig_scheme": "v1"}):
        said = _replaced(_signed(ALICE.identity, b"pay", "v1", TO_BOB), **tag)
        opened = channel(strict, ALICE).open(forge(ALICE.identity, says=said), NOW)
        assert refusals(opened) == [Refusal.SOURCE_FORGED]


@pytest.mark.parametrize("claimed", [CAROL.identity.node_id, "unknown", "", BOB.identity.node_id])
def test_a_direct_frame_cannot_claim_another_source(claimed: str) -> None:
    said = says(ALICE.identity, TO_BOB, source=claimed)
    opened = channel(BOB, ALICE).open(forge(ALICE.identity, says=said), NOW)
    assert refusals(opened) == [Refusal.SOURCE_FORGED]


def test_relayed_frames_need_a_known_source_and_its_signature() -> None:
    keys = {CAROL.identity.node_id: CAROL.identity.public}
    bob = settings("bob", known_keys=keys.get)
    hops = (ALICE.identity.node_id,)

    def verdict(said: inner.Inner) -> list[Refusal]:
        opened = channel(bob, ALICE).open(forge(ALICE.identity, says=said), NOW)
        return [] if opened.messages else refusals(opened)

    good = _signed(CAROL.identity, b"pay", "v2", TO_BOB, hops=hops, ttl=4)
    assert verdict(good) == []
    assert verdict(_replaced(good, payload=b"other")) == [Refusal.SOURCE_FORGED]
    assert verdict(says(CAROL.identity, TO_BOB, hops=hops)) == [Refusal.SOURCE_FORGED]
    assert verdict(_replaced(good, source="dave")) == [Refusal.SOURCE_UNKNOWN]
    assert verdict(_replaced(good, source="f" * 32)) == [Refusal.SOURCE_UNKNOWN]
    ours = _signed(BOB.identity, b"pay", "v2", TO_BOB, hops=hops)
    assert verdict(ours) == [Refusal.REFLECTED]
    peers_own = _signed(ALICE.identity, b"pay", "v2", TO_BOB, hops=("x",))
    assert verdict(peers_own) == []
    ping = _signed(CAROL.identity, b"", "v2", "*", hops=hops, type="PING")
    assert verdict(ping) == [Refusal.PROTOCOL]


def test_a_relayed_message_is_delivered_once_whoever_hands_it_over_again() -> None:
    keys = {CAROL.identity.node_id: CAROL.identity.public}
    bob = channel(settings("bob", known_keys=keys.get), ALICE)
    hops = (ALICE.identity.node_id,)
    first = _signed(CAROL.identity, b"pay", "v2", TO_BOB, hops=hops)
    again = _replaced(first, sequence=2, ttl=3)
    assert opened_messages(bob, [forge(ALICE.identity, says=first)], NOW)
    assert refusals(bob.open(forge(ALICE.identity, says=again), NOW)) == [Refusal.REPLAY]


@pytest.mark.parametrize(
    ("destination", "reason"),
    [
        ("*", None),
        ("", None),
        (TO_BOB, None),
        ("0" * 32, Refusal.NOT_FOR_US),
        ("b", Refusal.NOT_FOR_US),
    ],
)
def test_only_what_is_for_us_is_delivered(destination: str, reason: Refusal | None) -> None:
    said = says(ALICE.identity, destination)
    opened = channel(BOB, ALICE).open(forge(ALICE.identity, says=said), NOW)
    if reason is None:
        assert len(opened.messages) == 1
    else:
        assert refusals(opened) == [reason]


# --- Sealed copies and compression -----------------------------------------------------------


def _sealed_for(receiver: LegacySettings, payload: bytes) -> bytes:
    return sodium.seal(sodium.sign_public_to_box(receiver.identity.public), payload)


@pytest.mark.parametrize("scheme", ["v1", "v2"])
@pytest.mark.parametrize("signs", [b"open", b"packed"])
def test_a_sealed_copy_must_open_and_say_the_same(scheme: str, signs: bytes) -> None:
    body = b"hello " * 50
    packed = gzip.compress(body)
    said = _signed(ALICE.identity, packed if signs == b"packed" else body, scheme, TO_BOB)
    said = _replaced(
        said,
        payload=packed,
        routing=inner.Routing(compressed=True),
        e2e_payload=_sealed_for(BOB, body),
    )
    (taken,) = opened_messages(channel(BOB, ALICE), [forge(ALICE.identity, says=said)], NOW)
    assert taken.payload == body


def test_an_empty_payload_beside_a_sealed_copy_is_the_strict_mode_of_0_9() -> None:
    said = _replaced(
        _signed(ALICE.identity, b"secret", "v2", TO_BOB),
        payload=b"",
        e2e_payload=_sealed_for(BOB, b"secret"),
    )
    (taken,) = opened_messages(channel(BOB, ALICE), [forge(ALICE.identity, says=said)], NOW)
    assert taken.payload == b"secret"
    forged = _replaced(said, e2e_payload=_sealed_for(BOB, b"other"))
    opened = channel(BOB, ALICE).open(forge(ALICE.identity, says=forged), NOW)
    assert refusals(opened) == [Refusal.SOURCE_FORGED]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"e2e_payload": _sealed_for(BOB, b"other")}, Refusal.BAD_BODY),
        ({"e2e_payload": _sealed_for(BOB, b"")}, Refusal.BAD_BODY),
        ({"e2e_payload": _sealed_for(CAROL, b"hello")}, Refusal.UNDECRYPTABLE),
        ({"e2e_payload": _sealed_for(BOB, b"hello")[:-1]}, Refusal.UNDECRYPTABLE),
        ({"e2e_payload": b"short"}, Refusal.UNDECRYPTABLE),
        ({"e2e_payload": b""}, Refusal.UNDECRYPTABLE),
        ({"routing": inner.Routing(compressed=True)}, Refusal.BAD_BODY),
        (
            {
                "routing": inner.Routing(compressed=True),
                "payload": gzip.compress(bytes(MAX_INFLATED_BYTES + 1)),
            },
            Refusal.TOO_LARGE,
        ),
        ({"msg_id": ""}, Refusal.BAD_BODY),
        ({"timestamp": "x"}, Refusal.BAD_BODY),
        ({"sequence": 0}, Refusal.REPLAY),
        ({"sequence": 2**48 + 1}, Refusal.REPLAY),
    ],
    ids=[
        "another-body",
        "empty-body",
        "for-carol",
        "cut-seal",
        "short-seal",
        "no-seal",
        "not-gzip",
        "gzip-bomb",
        "no-id",
        "no-time",
        "sequence-0",
        "sequence-over-2-48",
    ],
)
def test_bodies_that_do_not_hold_together_are_refused(
    changes: dict[str, Any], reason: Refusal
) -> None:
    said = says(ALICE.identity, TO_BOB, **changes)
    if changes.get("timestamp"):
        wire = forge(ALICE.identity, plaintext=inner.encode(said))
    else:
        wire = forge(ALICE.identity, says=said)
    assert refusals(channel(BOB, ALICE).open(wire, NOW)) == [reason]


def test_published_sealed_boxes_open() -> None:
    bob = _channel_of("bob", "alice")
    for number, vector in enumerate(vectors.load("e2e_seal")["vectors"][1:], start=1):
        said = says(
            person("alice").identity,
            "*",
            payload=bytes.fromhex(vector["plaintext_hex"]),
            e2e_payload=bytes.fromhex(vector["sealed_hex"]),
            sequence=number,
            msg_id=f"m-{number}",
        )
        wire = forge(person("alice").identity, KEY, says=said)
        assert opened_messages(bob, [wire], NOW)[0].payload.hex() == vector["plaintext_hex"]


# --- Anything at all -------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["", "{}", '{"type":"MSG"}', "\ud800"], ids=ascii)
def test_text_has_no_place_in_a_session(unit: str) -> None:
    assert refusals(channel(BOB, ALICE).open(unit, NOW)) == [Refusal.PROTOCOL]


def test_a_unit_over_the_limit_is_refused_by_size() -> None:
    opened = channel(BOB, ALICE).open(bytes(MAX_UNIT_BYTES + 1), NOW)
    assert refusals(opened) == [Refusal.TOO_LARGE]


def test_every_single_bit_of_a_frame_counts_or_means_nothing() -> None:
    (unit,) = channel(ALICE, BOB).seal([message(ALICE, BOB)], NOW)
    assert isinstance(unit, bytes)
    (expected,) = opened_messages(channel(BOB, ALICE), [unit], NOW)
    meaningless = set()
    bob = channel(BOB, ALICE)
    for bit in range(len(unit) * 8):
        changed = bytearray(unit)
        changed[bit // 8] ^= 1 << bit % 8
        opened = bob.open(bytes(changed), NOW)
        if opened.messages:
            assert opened.messages == [expected]
            meaningless.add(bit // 8)
            bob = channel(BOB, ALICE)
        else:
            assert len(refusals(opened)) == 1
    # Version 3 for 4, flags without a meaning of their own, the last bit of a time in milliseconds.
    assert meaningless <= {2, 3, 19}


@hypothesis_settings(max_examples=200, deadline=None)
@given(change=mutations())
def test_a_changed_frame_is_refused_by_name_or_means_the_same(change: Any) -> None:
    (unit,) = channel(ALICE, BOB).seal([message(ALICE, BOB)], NOW)
    bob = channel(BOB, ALICE)
    opened = bob.open(change(unit), NOW)
    if not opened.messages:
        assert len(refusals(opened)) == 1
        opened = bob.open(unit, NOW)
    assert [taken.payload for taken in opened.messages] == [b"hello"]


@hypothesis_settings(deadline=None)
@given(st.binary(max_size=400))
def test_rightly_sealed_nonsense_is_refused_by_name(plaintext: bytes) -> None:
    opened = channel(BOB, ALICE).open(forge(ALICE.identity, plaintext=plaintext), NOW)
    assert len(refusals(opened)) == 1


@hypothesis_settings(deadline=None)
@given(
    st.builds(
        inner.Inner,
        type=st.sampled_from(["MSG", "PING", "PONG", "GOODBYE", "REKEY_REQUEST", "X"]),
        payload=st.binary(max_size=60) | st.just(b'{"type":"REKEY_REQUEST","rekey_id":"x"}'),
        msg_id=st.text(max_size=40),
        source=st.sampled_from([ALICE.identity.node_id, CAROL.identity.node_id, "x"]),
        destination=st.sampled_from([TO_BOB, "*", "x"]),
        timestamp=st.floats(NOW.wall - 40, NOW.wall + 10),
        sequence=st.integers(0, 2**64 - 1),
        hops=st.lists(st.text(max_size=9), max_size=2).map(tuple),
        source_signature=st.binary(max_size=64),
        e2e_payload=st.binary(max_size=80),
    )
)
def test_any_sealed_object_gives_a_message_or_named_events(said: inner.Inner) -> None:
    bob = channel(BOB, ALICE)
    opened = bob.open(forge(ALICE.identity, says=said), later(0))
    assert len(opened.messages) + len(opened.events) <= 1


def test_known_keys_is_asked_for_node_ids_only() -> None:
    asked: list[NodeId] = []

    def known_keys(node_id: NodeId) -> bytes | None:
        asked.append(node_id)
        return None

    bob = channel(settings("bob", known_keys=known_keys), ALICE)
    for number, name in enumerate(["../../x", "a" * 32, ""], start=1):
        said = says(ALICE.identity, "*", source=name, hops=("h",), sequence=number)
        assert refusals(bob.open(forge(ALICE.identity, says=said), NOW)) == [Refusal.SOURCE_UNKNOWN]
    assert asked == ["a" * 32]

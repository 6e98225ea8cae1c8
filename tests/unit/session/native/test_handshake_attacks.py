"""Somebody on the way, and somebody who knows the passphrase, against the native handshake.

Every byte of a hybrid handshake is flipped, every bit of a radio one; rows of the attack table are
named in brackets.
"""

from __future__ import annotations

from copy import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.native import (
    FAST,
    LINKS,
    NOW,
    OTHER_PRS,
    RADIO,
    agree,
    initiator,
    keys_of,
    refusal_of,
    responder,
    settings,
)

from ironmesh.crypto import hybrid, sodium
from ironmesh.errors import HandshakeError
from ironmesh.session.native import proof, schedule
from ironmesh.session.native.exchange import Offer, respond
from ironmesh.session.native.keys import Profile
from ironmesh.session.native.schedule import Negotiated, Role
from ironmesh.types import Refusal
from ironmesh.wire.native.constants import SUBPROTOCOL
from ironmesh.wire.native.handshake import Initiation, decode_answer, decode_first

ALICE, BOB, MALLORY = settings("alice"), settings("bob"), settings("mallory")
each_link = pytest.mark.parametrize("link", LINKS.values(), ids=list(LINKS))


class Halted:
    """A handshake stopped before each of its messages; `copy` lets one state be tried often."""

    def __init__(self, link: Negotiated) -> None:
        self.link = link
        self.listening = responder(BOB, link)
        self.dialling = initiator(ALICE, link)
        self.m1: bytes = self.dialling.start(NOW)[0]
        self.answered = copy(self.listening)
        self.m2: bytes = self.answered.receive(self.m1, NOW)[0]
        verified = copy(self.dialling)
        verified.receive(self.m2, NOW)
        self.keys = keys_of(verified)
        self.m3: bytes = verified.accept(NOW).units[0]

    def stops(self, number: int, forged: bytes) -> bool:
        """Tell whether one of the ends refuses when message `number` arrives like this."""
        if number == 1:
            try:
                answer = copy(self.listening).receive(forged, NOW)
            except HandshakeError:
                return True
            return refusal_of(copy(self.dialling), answer[0]) is not None
        machine = copy(self.dialling if number == 2 else self.answered)
        return refusal_of(machine, forged) is not None and machine.claim is None


HALTED = {name: Halted(link) for name, link in LINKS.items()}
each_message = pytest.mark.parametrize("number", [1, 2, 3])


def message(halted: Halted, number: int) -> bytes:
    return {1: halted.m1, 2: halted.m2, 3: halted.m3}[number]


@each_message
def test_no_byte_of_a_hybrid_handshake_can_change(number: int) -> None:
    halted = HALTED["hybrid"]
    said = message(halted, number)
    for at in range(len(said)):
        forged = said[:at] + bytes([said[at] ^ 1 << at % 8]) + said[at + 1 :]
        assert halted.stops(number, forged), f"byte {at} of M{number}"


@each_message
def test_no_bit_of_a_radio_handshake_can_change(number: int) -> None:
    halted = HALTED["radio"]
    said = message(halted, number)
    for bit in range(8 * len(said)):
        forged = bytearray(said)
        forged[bit // 8] ^= 1 << bit % 8
        assert halted.stops(number, bytes(forged)), f"bit {bit} of M{number}"


@each_link
@each_message
@trials(max_examples=30, deadline=None)
@given(at=st.integers(0, 2000), cut=st.integers(0, 64), put=st.binary(max_size=64))
def test_no_message_can_be_cut_or_extended(
    link: Negotiated, number: int, at: int, cut: int, put: bytes
) -> None:
    halted = HALTED["hybrid" if link is FAST else "radio"]
    said = message(halted, number)
    at %= len(said) + 1
    forged = said[:at] + put + said[at + cut :]
    assert forged == said or halted.stops(number, forged)


@each_link
@each_message
def test_no_message_passes_in_place_of_another(link: Negotiated, number: int) -> None:
    halted = HALTED["hybrid" if link is FAST else "radio"]
    for other in {1, 2, 3} - {number}:
        assert halted.stops(number, message(halted, other))


@each_link
def test_untouched_messages_pass(link: Negotiated) -> None:
    halted = HALTED["hybrid" if link is FAST else "radio"]
    answered = copy(halted.answered)
    answered.receive(halted.m3, NOW)
    assert agree(keys_of(answered), halted.keys)


@trials(max_examples=200, deadline=None)
@given(data=st.binary(max_size=2000))
def test_no_bytes_of_chance_are_taken(data: bytes) -> None:
    for halted in HALTED.values():
        for number in (2, 3):
            assert halted.stops(number, data)


# --- What was agreed on before --------------------------------------------------------------------


@pytest.mark.parametrize(
    "seen",
    [
        replace(FAST, offered=("ironmesh.v6", SUBPROTOCOL)),
        replace(FAST, offered=()),
        replace(FAST, offered=(SUBPROTOCOL, "x")),
        replace(FAST, offered=(SUBPROTOCOL + "x",)),
        replace(FAST, chosen=""),
        replace(FAST, transport="memory"),
    ],
)
def test_ends_that_saw_another_negotiation_do_not_meet(seen: Negotiated) -> None:
    """[A10] A better version that somebody struck from the offer is missed."""
    one = initiator(ALICE, seen)
    (m2,) = responder(BOB, FAST).receive(one.start(NOW)[0], NOW)
    assert refusal_of(one, m2) is Refusal.AUTH_FAILED


def test_no_two_negotiations_have_one_transcript() -> None:
    seen = [
        Negotiated("w", ("ab", "c"), "c"),
        Negotiated("w", ("a", "bc"), "c"),
        Negotiated("w", ("abc",), "c"),
        Negotiated("w", ("ab",), "cc"),
        Negotiated("wa", ("b", "c"), "c"),
        Negotiated("w", ("ab", "c", ""), "c"),
    ]
    assert len({each.transcript() for each in seen}) == len(seen)


def test_a_thousand_offers_are_no_more_than_a_hash() -> None:
    many = Negotiated("websocket", ("x" * 70_000,) * 10, SUBPROTOCOL)
    assert len(many.transcript()) == 32


def test_a_hybrid_first_message_cut_down_to_radio_is_refused() -> None:
    """[A10] Profile."""
    m1 = HALTED["hybrid"].m1
    assert refusal_of(responder(BOB, FAST), b"\x05\x02" + m1[2:99]) is Refusal.NOT_ALLOWED


# --- In the middle --------------------------------------------------------------------------------


@each_link
def test_a_middle_that_relays_the_passphrase_stage_cannot_put_its_identity_in(
    link: Negotiated,
) -> None:
    """[A1] CPace shares pass on, X25519 and identity are Mallory's: nothing opens."""
    one, other = initiator(ALICE, link), responder(BOB, link)
    toward_bob = Offer.make(
        Profile.RADIO if link is RADIO else Profile.HYBRID, 0, OTHER_PRS, MALLORY.random
    )
    m1 = decode_first(one.start(NOW)[0])
    assert isinstance(m1, Initiation)
    relayed = replace(toward_bob.said, nonce=m1.nonce, share=m1.share)
    m2 = decode_answer(other.receive(relayed.encoded, NOW)[0], m1.profile)
    own, secrets = respond(m1, OTHER_PRS, MALLORY.random, MALLORY.encapsulate)
    answer = replace(own, nonce=m2.nonce, share=m2.share)
    transcript = schedule.mix(schedule.mix(link.transcript(), m1.encoded), answer.head)
    chain = schedule.chain_key(transcript, *secrets)
    sealed = proof.seal_proof(
        chain, Role.RESPONDER, transcript, MALLORY.identity, MALLORY.statement(NOW)
    )
    for forged in (sealed, m2.sealed):
        attempt = copy(one)
        assert refusal_of(attempt, answer.head + forged) is Refusal.AUTH_FAILED
        assert attempt.claim is None
    assert refusal_of(other, sealed) is Refusal.AUTH_FAILED


def insider_reads(halted_m1: Initiation, link: Negotiated) -> tuple[Any, ...]:
    """Answer M1 as somebody who knows the passphrase; return what that one then knows."""
    answer, secrets = respond(halted_m1, BOB.prs[0], MALLORY.random, MALLORY.encapsulate)
    transcript = schedule.mix(schedule.mix(link.transcript(), halted_m1.encoded), answer.head)
    return answer, transcript, schedule.chain_key(transcript, *secrets)


@each_link
def test_an_insider_cannot_answer_as_another_node(link: Negotiated) -> None:
    """[A6] Bob's statement and signature of another handshake, under Mallory's own seal."""
    one = initiator(ALICE, link)
    m1 = decode_first(one.start(NOW)[0])
    assert isinstance(m1, Initiation)
    answer, transcript, chain = insider_reads(m1, link)
    said = BOB.statement(NOW).encoded
    elsewhere = BOB.identity.sign_prehashed(b"ironmesh v5 handshake" + bytes(73))
    plain = BOB.identity.sign(
        schedule.HANDSHAKE_LABEL + b"responder" + transcript + sodium.sha256(said)
    )
    as_initiator = BOB.identity.sign_prehashed(
        schedule.HANDSHAKE_LABEL + b"initiator" + transcript + sodium.sha256(said)
    )
    own = MALLORY.identity.sign_prehashed(
        schedule.HANDSHAKE_LABEL + b"responder" + transcript + sodium.sha256(said)
    )
    key = schedule.seal_key(chain, Role.RESPONDER, transcript)
    for signature in (elsewhere, plain, as_initiator, own, bytes(64)):
        sealed = hybrid.seal(key, hybrid.ZERO_NONCE, said + signature, transcript)
        assert refusal_of(copy(one), answer.head + sealed) is Refusal.BAD_SIGNATURE


@each_link
def test_an_insider_cannot_pass_on_whom_it_dialled(link: Negotiated) -> None:
    """[A6] Mallory stands between Alice and Bob, knows the passphrase, and wants to be neither."""
    one, other = initiator(ALICE, link), responder(BOB, link)
    m1 = decode_first(one.start(NOW)[0])
    assert isinstance(m1, Initiation)
    profile = Profile.RADIO if link is RADIO else Profile.HYBRID
    dial = Offer.make(profile, 0, BOB.prs[0], MALLORY.random)
    from_bob = decode_answer(other.receive(dial.said.encoded, NOW)[0], profile)
    bob_transcript = schedule.mix(schedule.mix(link.transcript(), dial.said.encoded), from_bob.head)
    bob_chain = schedule.chain_key(bob_transcript, *dial.agree(from_bob))
    opened = proof.open_proof(bob_chain, Role.RESPONDER, bob_transcript, from_bob.sealed)
    assert opened.node_id == BOB.identity.node_id  # an insider may know whom it dialled

    bobs_words = hybrid.open_sealed(
        schedule.seal_key(bob_chain, Role.RESPONDER, bob_transcript),
        hybrid.ZERO_NONCE,
        from_bob.sealed,
        bob_transcript,
    )
    answer, transcript, chain = insider_reads(m1, link)
    key = schedule.seal_key(chain, Role.RESPONDER, transcript)
    sealed = hybrid.seal(key, hybrid.ZERO_NONCE, bobs_words, transcript)
    assert refusal_of(one, answer.head + sealed) is Refusal.BAD_SIGNATURE


# --- Reflections and repetitions ------------------------------------------------------------------


@each_link
def test_a_dialler_that_hears_itself_is_not_fooled(link: Negotiated) -> None:
    """[A4] M1 back, its keys one by one back, M3 of the other role."""
    halted = HALTED["hybrid" if link is FAST else "radio"]
    keys = decode_first(halted.m1)
    assert isinstance(keys, Initiation)
    answer = decode_answer(halted.m2, keys.profile)
    for forged in (
        replace(answer, nonce=keys.nonce),
        replace(answer, public=keys.public),
        replace(answer, share=keys.share),
        replace(answer, nonce=keys.nonce, public=keys.public, share=keys.share),
    ):
        assert refusal_of(copy(halted.dialling), forged.encoded) is Refusal.REFLECTED
    assert refusal_of(copy(halted.dialling), halted.m1) is Refusal.PROTOCOL


@each_link
def test_a_responder_that_hears_itself_is_not_fooled(link: Negotiated) -> None:
    """[A4] The proof of M2 in place of M3."""
    halted = HALTED["hybrid" if link is FAST else "radio"]
    assert halted.m2[-144:] != halted.m3
    assert refusal_of(copy(halted.answered), halted.m2[-144:]) is Refusal.AUTH_FAILED


@each_link
def test_a_recorded_handshake_opens_no_second_one(link: Negotiated) -> None:
    """[A7] M1, then M3, to a responder that has drawn other keys; M2 to another dial."""
    halted = HALTED["hybrid" if link is FAST else "radio"]
    again = responder(BOB, link)
    (m2,) = again.receive(halted.m1, NOW)
    assert m2 != halted.m2
    assert refusal_of(again, halted.m3) is Refusal.AUTH_FAILED
    dial = initiator(ALICE, link)
    dial.start(NOW)
    assert refusal_of(dial, halted.m2) is Refusal.AUTH_FAILED


@each_link
def test_parallel_handshakes_do_not_mix(link: Negotiated) -> None:
    one, two = Halted(link), Halted(link)
    assert one.stops(2, two.m2)
    assert one.stops(3, two.m3)


@each_link
def test_a_repeated_first_message_is_no_proof(link: Negotiated) -> None:
    halted = HALTED["hybrid" if link is FAST else "radio"]
    assert refusal_of(copy(halted.answered), halted.m1) is Refusal.PROTOCOL


def test_each_answer_costs_a_token_even_when_nothing_follows() -> None:
    """[A2] Aborted handshakes are guesses too."""
    left = 2

    def may_answer() -> Refusal | None:
        nonlocal left
        left -= 1
        return None if left >= 0 else Refusal.BUSY

    heard = [
        refusal_of(responder(BOB, may_answer=may_answer), initiator(MALLORY).start(NOW)[0])
        for _ in range(4)
    ]
    assert heard == [None, None, Refusal.BUSY, Refusal.BUSY]


@each_link
def test_a_listener_finds_nothing_that_names_anybody(link: Negotiated) -> None:
    """[A11] Neither keys, ids nor names are on the wire in clear."""
    halted = HALTED["hybrid" if link is FAST else "radio"]
    heard = halted.m1 + halted.m2 + halted.m3
    for node in (ALICE, BOB):
        assert node.identity.public not in heard
        assert node.name.encode() not in heard
        assert bytes.fromhex(node.identity.node_id) not in heard

"""Going on with a session that was: who may, how often, how long, and what an attacker can do."""

from __future__ import annotations

from copy import copy
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.native import (
    FAST,
    NOW,
    OTHER_PRS,
    PRS,
    RADIO,
    Met,
    agree,
    initiator,
    later,
    meet,
    refusal_of,
    responder,
    settings,
)

from ironmesh.crypto import sodium
from ironmesh.errors import HandshakeError
from ironmesh.session.interface import PeerClosing
from ironmesh.session.native import schedule
from ironmesh.session.native.settings import NativeSettings
from ironmesh.types import Refusal
from ironmesh.wire.native.constants import TICKET_UNKNOWN
from ironmesh.wire.native.handshake import Resumption, decode_first

DAY_S = 24 * 3600.0


def pair(**changes: Any) -> tuple[NativeSettings, NativeSettings]:
    """Two nodes that never met."""
    return settings("alice", **changes), settings("bob", **changes)


def sizes(met: Met) -> list[int]:
    return [len(unit) for unit in met.units]


def halted(alice: NativeSettings, bob: NativeSettings, link: Any = FAST) -> tuple[Any, Any, bytes]:
    """Both machines, and the resumption that is on its way."""
    one, other = initiator(alice, link, resume=bob.identity.node_id), responder(bob, link)
    return one, other, one.start(NOW)[0]


def test_a_session_goes_on_in_two_small_messages() -> None:
    alice, bob = pair()
    meet(alice, bob)
    met = meet(alice, bob, resume=True)
    assert sizes(met) == [114, 80]
    one, other = met.keys
    assert agree(one, other)
    assert one.is_hybrid
    assert other.is_hybrid


def test_either_end_may_dial_next() -> None:
    alice, bob = pair()
    meet(alice, bob)
    assert sizes(meet(bob, alice, resume=True)) == [114, 80]
    assert sizes(meet(alice, bob, resume=True)) == [114, 80]


def test_a_resumed_session_has_its_own_keys_and_leaves_the_next_ticket() -> None:
    alice, bob = pair()
    roots = [meet(alice, bob).keys[0].root]
    for _ in range(3):
        met = meet(alice, bob, resume=True)
        assert sizes(met) == [114, 80]
        assert met.keys[0].root not in roots
        roots.append(met.keys[0].root)


def test_the_peer_is_the_one_of_the_session_that_is_resumed() -> None:
    alice, bob = pair()
    meet(alice, bob)
    one, other, said = halted(alice, bob)
    assert other.receive(said, NOW) == []
    assert other.claim.node_id == alice.identity.node_id
    assert other.claim.name == "alice"
    one.receive(other.accept(NOW).units[0], NOW)
    assert one.claim.node_id == bob.identity.node_id


def test_resuming_takes_no_token() -> None:
    alice, bob = pair()
    meet(alice, bob)
    other = responder(bob, may_answer=lambda: Refusal.BUSY)
    one = initiator(alice, resume=bob.identity.node_id)
    assert refusal_of(other, one.start(NOW)[0]) is None
    assert other.claim is not None


def test_whoever_may_not_stay_is_told_under_the_seal_of_the_resumed_session() -> None:
    alice, bob = pair()
    meet(alice, bob)
    one, other, said = halted(alice, bob)
    other.receive(said, NOW)
    answer, close = other.refuse(Refusal.REVOKED, NOW)
    assert refusal_of(one, answer) is None
    assert one.accept(NOW).channel.open(close, NOW).events == [PeerClosing("revoked")]


def test_whom_the_dialler_expects_must_be_whom_it_resumes_with() -> None:
    alice, bob = pair()
    meet(alice, bob)
    one, other, said = halted(alice, bob)
    one._expected = settings("carol").identity.node_id
    other.receive(said, NOW)
    assert refusal_of(one, other.accept(NOW).units[0]) is Refusal.UNEXPECTED_IDENTITY


# --- Falling back ---------------------------------------------------------------------------------


def test_without_a_ticket_the_dialler_says_m1() -> None:
    assert sizes(meet(*pair(), resume=True)) == [1283, 1328, 144]


def test_an_unknown_ticket_is_answered_by_one_byte_and_m1_follows() -> None:
    alice, bob = pair()
    meet(alice, bob)
    bob.tickets.drop_all()
    met = meet(alice, bob, resume=True)
    assert sizes(met) == [114, 1, 1283, 1328, 144]
    assert met.units[1] == TICKET_UNKNOWN == b"\x00"
    assert agree(*met.keys)
    assert sizes(meet(alice, bob, resume=True)) == [114, 80]


def test_the_wait_for_m1_begins_anew() -> None:
    alice, bob = pair()
    meet(alice, bob)
    bob.tickets.drop_all()
    one, other, said = halted(alice, bob)
    assert other.receive(said, later(4.0)) == [TICKET_UNKNOWN]
    assert other.deadline == NOW.mono + 9.0
    one.receive(TICKET_UNKNOWN, later(4.0))
    assert one.deadline == NOW.mono + 14.0


def test_one_ticket_is_shown_on_a_connection() -> None:
    alice, bob = pair()
    meet(alice, bob)
    bob.tickets.drop_all()
    _one, other, said = halted(alice, bob)
    other.receive(said, NOW)
    assert refusal_of(other, said) is Refusal.PROTOCOL


def test_a_fallback_that_the_responder_did_not_ask_for_is_noticed() -> None:
    """[A10] Somebody on the way swallows the resumption and answers in the responder's place."""
    alice, bob = pair()
    meet(alice, bob)
    one, other, _said = halted(alice, bob)
    (m1,) = one.receive(TICKET_UNKNOWN, NOW)
    (m2,) = other.receive(m1, NOW)
    assert refusal_of(one, m2) is Refusal.AUTH_FAILED


def test_a_second_fallback_is_refused() -> None:
    alice, bob = pair()
    meet(alice, bob)
    one, _other, _said = halted(alice, bob)
    one.receive(TICKET_UNKNOWN, NOW)
    assert refusal_of(one, TICKET_UNKNOWN) is Refusal.PROTOCOL


# --- Once, and not for ever -----------------------------------------------------------------------


def test_a_resumption_is_good_once() -> None:
    """[A7]"""
    alice, bob = pair()
    meet(alice, bob)
    _one, other, said = halted(alice, bob)
    other.receive(said, NOW)
    assert responder(bob).receive(said, NOW) == [TICKET_UNKNOWN]


def test_a_resumption_that_was_held_back_cannot_take_the_place_of_a_later_session() -> None:
    """[A7] Alice hung up, and met Bob anew; then her old words arrive."""
    alice, bob = pair()
    meet(alice, bob)
    _one, _other, held_back = halted(alice, bob)
    meet(alice, bob, now=later(60))
    assert responder(bob).receive(held_back, NOW) == [TICKET_UNKNOWN]


def test_a_recorded_answer_opens_no_later_resumption() -> None:
    """[A7]"""
    alice, bob = pair()
    meet(alice, bob)
    recorded = meet(alice, bob, resume=True).units[1]
    one, _other, _said = halted(alice, bob)
    assert refusal_of(one, recorded) is Refusal.UNDECRYPTABLE


def test_a_false_binder_does_not_burn_the_ticket() -> None:
    """[A15] Whoever saw the number go by cannot spend it."""
    alice, bob = pair()
    meet(alice, bob)
    one, other, said = halted(alice, bob)
    forged = said[:-1] + bytes([said[-1] ^ 1])
    assert responder(bob).receive(forged, NOW) == [TICKET_UNKNOWN]
    other.receive(said, NOW)
    assert refusal_of(one, other.accept(NOW).units[0]) is None


def test_a_ticket_shown_back_to_its_owner_is_unknown() -> None:
    """[A4]"""
    alice, bob = pair()
    meet(alice, bob)
    _one, _other, said = halted(alice, bob)
    assert responder(alice).receive(said, NOW) == [TICKET_UNKNOWN]


def test_the_day_counts_from_the_last_full_handshake() -> None:
    alice, bob = pair()
    meet(alice, bob)
    assert sizes(meet(alice, bob, resume=True, now=later(DAY_S - 10))) == [114, 80]
    assert sizes(meet(alice, bob, resume=True, now=later(DAY_S - 5))) == [114, 80]
    assert sizes(meet(alice, bob, resume=True, now=later(DAY_S))) == [1283, 1328, 144]
    assert sizes(meet(alice, bob, resume=True, now=later(DAY_S + 1))) == [114, 80]


def test_the_day_is_over_for_both_ends() -> None:
    alice, bob = pair()
    meet(alice, bob)
    meet(alice, bob, resume=True, now=later(DAY_S - 5))
    assert sizes(meet(bob, alice, resume=True, now=later(DAY_S))) == [1283, 1328, 144]


def test_a_hybrid_ticket_is_good_for_radio_and_stays_hybrid() -> None:
    alice, bob = pair(requires_pq=True)
    meet(alice, bob)
    met = meet(alice, bob, RADIO, resume=True)
    assert sizes(met) == [114, 80]
    assert not any(keys.is_hybrid for keys in met.keys)  # no room for ML-KEM in key changes there
    assert all(keys.is_hybrid for keys in meet(alice, bob, FAST, resume=True).keys)


def test_a_radio_ticket_is_good_for_radio_only() -> None:
    alice, bob = pair()
    meet(alice, bob, RADIO)
    assert sizes(meet(alice, bob, RADIO, resume=True)) == [114, 80]
    met = meet(alice, bob, FAST, resume=True)
    assert sizes(met) == [1283, 1328, 144]
    assert met.keys[0].is_hybrid


def test_a_responder_does_not_take_a_radio_ticket_on_a_fast_link() -> None:
    """[A10]"""
    alice, bob = pair()
    meet(alice, bob, RADIO)
    _one, _other, said = halted(alice, bob, RADIO)
    for link in (FAST, replace(RADIO, is_radio_small=False)):
        assert responder(bob, link).receive(said, NOW) == [TICKET_UNKNOWN]


def test_a_classic_ticket_is_no_good_once_post_quantum_keys_are_required() -> None:
    """[A10] Neither shown by the dialler nor taken by the listener, also on radio."""
    alice, bob = pair()
    meet(alice, bob, RADIO)
    _one, _other, said = halted(alice, bob, RADIO)
    assert responder(replace(bob, requires_pq=True), RADIO).receive(said, NOW) == [TICKET_UNKNOWN]
    meet(alice, bob, RADIO)
    careful = initiator(replace(alice, requires_pq=True), RADIO, resume=bob.identity.node_id)
    with pytest.raises(HandshakeError, match="post-quantum"):
        careful.start(NOW)


def test_a_ticket_outlives_no_change_of_passphrase() -> None:
    alice, bob = pair()
    meet(alice, bob)
    bob.tickets.drop_all()
    changed = replace(bob, prs={1: OTHER_PRS, 0: PRS})
    assert sizes(meet(alice, changed, resume=True)) == [114, 1, 1283, 1328, 144]


# --- Every bit ------------------------------------------------------------------------------------


def test_no_bit_of_a_resumption_can_change() -> None:
    """[A8] A ticket that changed is unknown; whatever else changed, the binder misses."""
    alice, bob = pair()
    meet(alice, bob)
    _one, other, said = halted(alice, bob)
    for bit in range(8 * len(said)):
        forged = bytearray(said)
        forged[bit // 8] ^= 1 << bit % 8
        machine = copy(other)
        if bit < 16:  # version and profile
            assert refusal_of(machine, bytes(forged)) is not None
        else:
            assert machine.receive(bytes(forged), NOW) == [TICKET_UNKNOWN], bit
        assert machine.claim is None
    assert other.receive(said, NOW) == []


def test_no_bit_of_the_answer_can_change() -> None:
    alice, bob = pair()
    meet(alice, bob)
    one, other, said = halted(alice, bob)
    other.receive(said, NOW)
    (answer,) = other.accept(NOW).units
    for bit in range(8 * len(answer)):
        forged = bytearray(answer)
        forged[bit // 8] ^= 1 << bit % 8
        assert refusal_of(copy(one), bytes(forged)) is not None, bit
    assert refusal_of(one, answer) is None


@pytest.mark.parametrize("size", [0, 1, 2, 79, 81, 240, 1328])
def test_an_answer_of_another_length_is_refused(size: int) -> None:
    alice, bob = pair()
    meet(alice, bob)
    one, _other, _said = halted(alice, bob)
    assert refusal_of(one, b"\x01" * size) is Refusal.PROTOCOL


@pytest.mark.parametrize("size", [2, 113, 115, 1283])
def test_a_resumption_of_another_length_is_refused(size: int) -> None:
    _alice, bob = pair()
    assert refusal_of(responder(bob), b"\x05\x03" + bytes(size - 2)) is Refusal.PROTOCOL


def test_an_answer_with_the_diallers_own_key_is_refused() -> None:
    """[A4]"""
    alice, bob = pair()
    meet(alice, bob)
    one, _other, said = halted(alice, bob)
    first = decode_first(said)
    assert isinstance(first, Resumption)
    assert refusal_of(one, bytes(32) + first.public + bytes(16)) is Refusal.REFLECTED


def test_a_key_of_low_order_is_refused_by_both_ends() -> None:
    alice, bob = pair()
    meet(alice, bob)
    one, other, said = halted(alice, bob)
    assert refusal_of(one, bytes(80)) is Refusal.UNDECRYPTABLE
    first = decode_first(said)
    assert isinstance(first, Resumption)
    assert one._resuming is None
    ticket = bob.tickets.find(first.ticket, NOW.mono, takes_classic=False)
    assert ticket is not None
    forged = replace(first, public=bytes(32))
    covered = schedule.mix(FAST.transcript(), forged.head)
    forged = replace(forged, binder=schedule.binder(ticket.binder_key, covered))
    assert refusal_of(other, forged.encoded) is Refusal.PROTOCOL
    assert other.claim is None


def test_a_listener_cannot_tell_whose_ticket_it_is() -> None:
    """[A11] Numbers come from a secret, one for each end, another for each session."""
    alice, bob = pair()
    numbers = []
    for _ in range(3):
        meet(alice, bob)
        for one, other in ((alice, bob), (bob, alice)):
            ticket = one.tickets.take(other.identity.node_id, NOW.mono, takes_classic=False)
            assert ticket is not None
            numbers.append(ticket.number)
    assert len(set(numbers)) == 6
    assert not any(sodium.sha256(n.identity.public)[:16] in numbers for n in (alice, bob))

"""A peer that can speak the native wire is not talked down to the 0.8 one (A10)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.trust import at, claim, identity

from ironmesh.errors import TrustError, UnknownPeerError
from ironmesh.trust.book import Standing, TrustBook, first_state
from ironmesh.trust.downgrade import is_talked_down
from ironmesh.trust.pins import TrustState
from ironmesh.types import Refusal, WireKind

LEGACY = claim(1, "alice", is_ours=False)
NATIVE = replace(LEGACY, wire=WireKind.NATIVE)
A, B = identity(1).node_id, identity(2).node_id


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("ironmesh/0.6.5", True),
        ("ironmesh/0.6.6", True),
        ("ironmesh/0.6.05", True),
        ("ironmesh/0.6", False),
        ("ironmesh/0.6.4", False),
        ("ironmesh/0.5.5", False),
        ("ironmesh/0.6.5.1", False),
        ("ironmesh/0.6.5\n", False),
        ("", False),
    ],
)
def test_a_hello_tells_that_its_sender_speaks_the_native_wire(version: str, expected: bool) -> None:
    assert is_talked_down(version) is expected


@given(st.text(max_size=64))
def test_no_stated_version_makes_trouble(version: str) -> None:
    is_talked_down(version)


def test_a_peer_once_seen_native_is_never_accepted_as_legacy_again() -> None:
    book = TrustBook().admit(LEGACY, at(0))
    assert not book.pins[A].seen_native
    book = book.admit(NATIVE, at(1))
    assert book.pins[A].seen_native
    for one in (LEGACY, replace(LEGACY, name="zoe")):
        verdict = book.judge(one)
        assert (verdict.standing, verdict.refusal) == (Standing.DOWNGRADED, Refusal.DOWNGRADED)
        assert "trust forget" in verdict.explain()
    assert book.admit(NATIVE, at(2)).pins[A].seen_native
    assert book.forget("alice").judge(LEGACY).standing is Standing.NEW


def test_nothing_that_the_operator_does_but_forgetting_lets_a_native_peer_come_as_legacy() -> None:
    book = TrustBook().admit(NATIVE, at(0))
    for changed in (
        book.set_state("alice", TrustState.PENDING),
        book.set_verified("alice", True),
        book.confirm("alice", A),
        book.pin(identity(1).public, "alice", at(1)),
        book.remember_tls(A, "0" * 64),
    ):
        assert changed.judge(LEGACY).standing is Standing.DOWNGRADED


def test_a_legacy_peer_cannot_take_the_name_of_a_native_one() -> None:
    book = TrustBook().admit(NATIVE, at(0)).admit(claim(2, "bob", is_ours=False), at(0))
    for other in (claim(2, "Alice", is_ours=False), claim(3, "alice", is_ours=False)):
        assert book.judge(other).refusal is Refusal.IDENTITY_CHANGED


def test_a_new_legacy_peer_waits_for_its_fingerprint_to_be_confirmed() -> None:
    assert first_state(NATIVE) is TrustState.TRUSTED
    state = first_state(LEGACY)
    assert state is TrustState.PENDING
    book = TrustBook().admit(LEGACY, at(0), state=state)
    assert (book.pins[A].state, book.pins[A].verified) == (TrustState.PENDING, False)
    book = book.confirm("alice", A)
    assert (book.pins[A].state, book.pins[A].verified) == (TrustState.TRUSTED, True)
    assert book.confirm(A, A) is book


def test_another_fingerprint_than_the_pinned_one_confirms_nothing() -> None:
    book = TrustBook().admit(LEGACY, at(0)).admit(claim(2, "bob", is_ours=False), at(0))
    with pytest.raises(TrustError, match="in the middle"):
        book.confirm("alice", B)
    with pytest.raises(UnknownPeerError):
        book.confirm("carol", A)


@pytest.mark.parametrize("state", [TrustState.BLOCKED, TrustState.PENDING_CAP_CHANGE])
def test_a_confirmed_fingerprint_lifts_no_other_decision(state: TrustState) -> None:
    book = TrustBook().admit(LEGACY, at(0), state=state).confirm("alice", A)
    assert (book.pins[A].state, book.pins[A].verified) == (state, True)

"""The rules of trust on first use."""

from __future__ import annotations

import time

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.support.trust import at, claim, identity

from ironmesh.errors import LocalProtocolError, TrustError, UnknownPeerError
from ironmesh.trust import book as book_module
from ironmesh.trust.book import Standing, TrustBook, Verdict
from ironmesh.trust.names import name_key
from ironmesh.trust.pins import TrustState
from ironmesh.types import Refusal, is_node_id

ALICE = claim(1, "alice")
A = identity(1).node_id
B = identity(2).node_id


def met(*claims) -> TrustBook:
    book = TrustBook()
    for seconds, one in enumerate(claims):
        book = book.admit(one, at(seconds))
    return book


def test_a_first_contact_is_pinned_with_its_key() -> None:  # F080
    assert TrustBook().judge(ALICE).standing is Standing.NEW
    pin = met(ALICE).pins[A]
    assert (pin.public, pin.name, pin.state) == (
        identity(1).public,
        "alice",
        TrustState.TRUSTED,
    )
    assert pin.first_seen == pin.last_seen == at(0).wall
    assert not pin.verified


def test_a_known_peer_is_known_again() -> None:
    book = met(ALICE)
    verdict = book.judge(ALICE)
    assert verdict.standing is Standing.KNOWN
    assert verdict.refusal is None
    later = book.admit(ALICE, at(60))
    assert later.pins[A].last_seen == at(60).wall
    assert later.pins[A].first_seen == at(0).wall


def test_a_clock_that_went_back_does_not_make_a_peer_seen_earlier() -> None:
    assert met(ALICE).admit(ALICE, at(-9)).pins[A].last_seen == at(0).wall


@pytest.mark.parametrize("name", ["alice", "Alice", "ali\u200bce"])
def test_another_key_cannot_have_a_known_name(name: str) -> None:  # F081, F262
    book = met(ALICE)
    verdict = book.judge(claim(2, name))
    assert verdict.standing is Standing.IDENTITY_CHANGED
    assert verdict.refusal is Refusal.IDENTITY_CHANGED
    assert verdict.holder == A
    assert A in verdict.explain()
    assert "trust forget" in verdict.explain()
    with pytest.raises(LocalProtocolError):
        book.admit(claim(2, name), at(1))


def test_a_known_key_cannot_take_the_name_of_another() -> None:
    book = met(ALICE, claim(2, "bob"))
    assert book.judge(claim(2, "Alice")).standing is Standing.IDENTITY_CHANGED


def test_nobody_is_called_by_the_node_id_of_another() -> None:
    verdict = TrustBook().judge(claim(1, B))
    assert verdict.standing is Standing.IDENTITY_CHANGED
    assert verdict.holder == B
    assert TrustBook().judge(claim(2, B)).standing is Standing.NEW


def test_a_known_key_may_take_a_free_name_and_frees_its_old_one() -> None:
    book = met(ALICE)
    verdict = book.judge(claim(1, "carol"))
    assert (verdict.standing, verdict.previous_name) == (Standing.RENAMED, "alice")
    book = book.admit(claim(1, "carol"), at(1))
    assert book.find("carol").node_id == A
    assert book.judge(claim(2, "alice")).standing is Standing.NEW


def test_a_peer_without_a_visible_name_holds_none_and_keeps_the_one_it_had() -> None:
    book = met(claim(1, ""), claim(2, "\u200b"), claim(3, "x"))
    assert book.admit(claim(3, ""), at(9)).pins[identity(3).node_id].name == "x"
    assert len(book.pins) == 3


def test_a_pin_without_a_name_takes_the_first_free_one() -> None:
    book = met(claim(1, ""))
    assert book.judge(ALICE).standing is Standing.KNOWN
    assert book.admit(ALICE, at(1)).find("alice").node_id == A


def test_a_blocked_peer_is_refused_and_its_name_stays_taken() -> None:
    book = met(ALICE).set_state("alice", TrustState.BLOCKED)
    assert book.judge(ALICE).refusal is Refusal.BLOCKED
    assert book.judge(claim(2, "alice")).refusal is Refusal.IDENTITY_CHANGED


def test_a_revoked_key_is_refused_under_any_name_and_its_name_is_free() -> None:  # F085
    book = met(ALICE).revoke("alice", B, at(5), "lost")
    assert book.judge(ALICE).refusal is Refusal.REVOKED
    assert book.judge(claim(1, "other")).refusal is Refusal.REVOKED
    assert book.judge(claim(2, "alice")).standing is Standing.NEW
    assert (book.revoked[A].revoker, book.revoked[A].reason) == (B, "lost")
    assert book.revoke(A, B, at(6)) is book


def test_an_unknown_key_can_be_revoked_in_advance() -> None:
    assert TrustBook().revoke(A, B, at(0)).judge(ALICE).refusal is Refusal.REVOKED
    with pytest.raises(UnknownPeerError):
        TrustBook().revoke("nobody", B, at(0))


def test_a_revocation_can_be_taken_back() -> None:
    book = met(ALICE).revoke(A, B, at(5)).unrevoke(A)
    assert book.judge(ALICE).standing is Standing.NEW
    with pytest.raises(UnknownPeerError):
        book.unrevoke(A)


def test_a_forgotten_peer_is_new_again() -> None:
    book = met(ALICE).forget("Alice")
    assert book.judge(ALICE).standing is Standing.NEW
    assert book.judge(claim(2, "alice")).standing is Standing.NEW


def test_an_unknown_name_is_answered_with_names_that_come_near() -> None:
    book = met(ALICE, claim(2, "bob"))
    with pytest.raises(UnknownPeerError, match=r"did you mean alice\?"):
        book.find("alcie")
    with pytest.raises(UnknownPeerError, match="trust list"):
        book.find("zzz")
    with pytest.raises(UnknownPeerError):
        book.find(identity(9).node_id)


def test_a_peer_is_found_by_id_and_by_any_spelling_of_its_name() -> None:
    book = met(ALICE)
    assert book.find(A) == book.find(A.upper()) == book.find("ALICE") == book.pins[A]


def test_the_operator_pins_a_key_before_it_is_met() -> None:
    book = TrustBook().pin(identity(1).public, "alice", at(0))
    assert book.judge(ALICE).standing is Standing.KNOWN
    assert book.pins[A].verified
    assert book.judge(claim(2, "alice")).refusal is Refusal.IDENTITY_CHANGED


def test_the_operator_confirms_a_pin_that_exists() -> None:
    book = met(ALICE).pin(identity(1).public, "", at(1), state=TrustState.PENDING)
    pin = book.pins[A]
    assert (pin.name, pin.verified, pin.state) == ("alice", True, TrustState.PENDING)
    assert not book.set_verified("alice", False).pins[A].verified


@pytest.mark.parametrize(
    ("book", "public", "reason"),
    [
        (met(ALICE), identity(2).public, "is the name of"),
        (met(ALICE).revoke(A, B, at(0)), identity(1).public, "revoked"),
        (TrustBook(), b"short", "32 bytes"),
    ],
)
def test_a_pin_that_breaks_a_rule_is_refused(book, public, reason) -> None:
    with pytest.raises(TrustError, match=reason):
        book.pin(public, "alice", at(0))


def test_a_certificate_is_remembered_with_the_key() -> None:
    book = met(ALICE).remember_tls(A, "ab" * 32)
    assert book.pins[A].tls_fingerprint == "ab" * 32
    assert book.remember_tls(A, "ab" * 32) is book


def test_a_full_book_refuses_new_keys_and_keeps_the_old(monkeypatch) -> None:
    monkeypatch.setattr(book_module, "MAX_PINS", 2)
    book = met(ALICE, claim(2, "bob"))
    assert book.judge(claim(3, "carol")).refusal is Refusal.LIMIT
    assert book.judge(ALICE).refusal is None


def test_what_changes_nothing_returns_the_same_book() -> None:
    book = met(ALICE)
    assert book.admit(ALICE, at(0)) is book
    assert book.set_state(A, TrustState.TRUSTED) is book
    assert book.merge(TrustBook()) is book


def test_merging_keeps_what_is_here_and_binds_only_free_names() -> None:
    here = met(ALICE).revoke(identity(9).node_id, A, at(0))
    other = met(claim(2, "Alice"), claim(3, "carol"), claim(9, "nine"))
    merged = here.merge(other)
    assert merged.pins[A].name == "alice"
    assert merged.pins[B].name == ""
    assert merged.find("carol").node_id == identity(3).node_id
    assert identity(9).node_id not in merged.pins


def test_merging_a_revocation_removes_the_pin() -> None:
    merged = met(ALICE).merge(TrustBook().revoke(A, B, at(0)))
    assert merged.judge(ALICE).refusal is Refusal.REVOKED
    assert A not in merged.pins


def test_judging_stays_quick_with_many_pins() -> None:
    book = TrustBook().merge(TrustBook(dict(met(*(claim(n, f"n{n}") for n in range(300))).pins)))
    start = time.process_time()
    for _ in range(1000):
        book.judge(ALICE)
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize("standing", Standing)
def test_every_verdict_explains_itself(standing: Standing) -> None:
    text = Verdict(standing, A, "alice", holder=B, previous_name="al").explain()
    assert A in text or B in text or standing is Standing.FULL
    assert "\n" not in text


NAMES = st.sampled_from(["alice", "Alice", "bob", "BOB", "bo\u200bb", "", "\u200b", A, B, "zoë"])
PEERS = st.integers(1, 4)


class BookMachine(RuleBasedStateMachine):
    """Any order of claims and operations keeps the promises of the book."""

    def __init__(self) -> None:
        super().__init__()
        self.book = TrustBook()
        self.seconds = 0

    def now(self):
        self.seconds += 1
        return at(self.seconds)

    @rule(peer=PEERS, name=NAMES)
    def meet(self, peer, name):
        one = claim(peer, name)
        before, verdict = self.book, self.book.judge(one)
        if verdict.refusal is None:
            self.book = self.book.admit(one, self.now())
            assert one.node_id not in before.revoked
            holder = before.holder(name)
            assert holder in (None, one.node_id)
            assert self.book.pins[one.node_id].public == one.identity_public
        else:
            with pytest.raises(LocalProtocolError):
                self.book.admit(one, self.now())

    @rule(peer=PEERS)
    def forget(self, peer):
        if identity(peer).node_id in self.book.pins:
            self.book = self.book.forget(identity(peer).node_id)

    @rule(peer=PEERS, name=NAMES)
    def pin(self, peer, name):
        try:
            self.book = self.book.pin(identity(peer).public, name, self.now())
        except TrustError:
            assert self.book.holder(name) not in (None, identity(peer).node_id) or (
                identity(peer).node_id in self.book.revoked
            )

    @rule(peer=PEERS)
    def revoke(self, peer):
        self.book = self.book.revoke(identity(peer).node_id, A, self.now())

    @rule(peer=PEERS)
    def unrevoke(self, peer):
        if identity(peer).node_id in self.book.revoked:
            self.book = self.book.unrevoke(identity(peer).node_id)

    @rule(peer=PEERS, state=st.sampled_from(TrustState))
    def set_state(self, peer, state):
        if identity(peer).node_id in self.book.pins:
            self.book = self.book.set_state(identity(peer).node_id, state)

    @invariant()
    def a_name_is_never_held_by_two_keys(self):
        keys = [name_key(pin.name) for pin in self.book.pins.values()]
        held = [key for key in keys if key]
        assert len(held) == len(set(held))

    @invariant()
    def a_name_that_is_an_id_is_its_own(self):
        for pin in self.book.pins.values():
            key = name_key(pin.name)
            assert not is_node_id(key) or key == pin.node_id

    @invariant()
    def a_revoked_key_is_not_pinned(self):
        assert not set(self.book.pins) & set(self.book.revoked)


TestBookMachine = BookMachine.TestCase
TestBookMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)

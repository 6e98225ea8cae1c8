"""Both machines of the native handshake against each other, and who is refused with which words."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from tests.support.native import (
    FAST,
    LINKS,
    NOW,
    OTHER_PRS,
    PRS,
    RADIO,
    agree,
    initiator,
    later,
    meet,
    refusal_of,
    responder,
    settings,
)

from ironmesh.errors import HandshakeError, LocalProtocolError
from ironmesh.session.interface import Opened, PeerClosing, PeerReady, PeerStatement
from ironmesh.session.native import proof, schedule
from ironmesh.session.native.initiator import InitiatorHandshake
from ironmesh.session.native.responder import ResponderHandshake
from ironmesh.session.native.settings import NativeSettings
from ironmesh.types import Instant, Refusal, Secret, WireKind
from ironmesh.wire.native.constants import CloseCode

ALICE, BOB = settings("alice"), settings("bob")
each_link = pytest.mark.parametrize("link", LINKS.values(), ids=list(LINKS))


@each_link
def test_both_ends_get_the_same_keys(link: Any) -> None:
    one, other = meet(ALICE, BOB, link).keys
    assert agree(one, other)
    assert (one.is_initiator, other.is_initiator) == (True, False)
    assert one.is_hybrid is other.is_hybrid is (link is FAST)


def test_no_two_keys_of_a_session_are_the_same() -> None:
    keys, _ = meet(ALICE, BOB).keys
    values = [
        keys.session_id,
        *(
            secret.reveal()
            for secret in (keys.root, keys.initiator_chain, keys.responder_chain, keys.resumption)
        ),
    ]
    assert len(set(values)) == 5
    assert all(len(value) == 32 for value in values)


def test_no_two_handshakes_have_a_key_in_common() -> None:
    one, other = meet(ALICE, BOB).keys[0], meet(ALICE, BOB).keys[0]
    assert one.session_id != other.session_id
    assert one.root != other.root


@pytest.mark.parametrize(
    ("link", "sizes"), [(FAST, [1283, 1328, 144]), (RADIO, [99, 240, 144])], ids=list(LINKS)
)
def test_the_messages_have_the_sizes_of_the_specification(link: Any, sizes: list[int]) -> None:
    assert [len(unit) for unit in meet(ALICE, BOB, link).units] == sizes


@pytest.mark.parametrize(("name", "size"), [("n" * 13, 144), ("n" * 14, 208), ("n" * 64, 208)])
def test_a_long_name_takes_another_64_bytes(name: str, size: int) -> None:
    assert len(meet(settings(name), BOB).units[2]) == size


def test_each_end_learns_who_the_other_is() -> None:
    dialler = settings("alice", features=5, record_sequence=lambda: 77)
    one, other = initiator(dialler), responder(BOB)
    one.receive(other.receive(one.start(NOW)[0], NOW)[0], NOW)
    other.receive(one.accept(NOW).units[0], NOW)
    assert one.claim is not None
    assert other.claim is not None
    assert (one.claim.node_id, one.claim.name) == (BOB.identity.node_id, "bob")
    assert (other.claim.node_id, other.claim.name) == (ALICE.identity.node_id, "alice")
    assert other.claim.identity_public == ALICE.identity.public
    assert other.claim.protocol_version == "ironmesh/5"
    assert other.claim.wire is WireKind.NATIVE
    assert other.claim.is_ours
    assert other.claim.statement == PeerStatement(5, 77, int(NOW.wall * 1000))


def test_clocks_decide_nothing() -> None:
    one, other = initiator(ALICE), responder(BOB)
    m1 = one.start(Instant(NOW.mono, -5.0))
    m2 = other.receive(m1[0], Instant(NOW.mono, 1e15))
    one.receive(m2[0], Instant(NOW.mono, 0.0))
    other.receive(one.accept(NOW).units[0], NOW)
    assert other.claim is not None


@each_link
def test_the_responder_says_ready_first_and_both_ends_talk(link: Any) -> None:
    met = meet(ALICE, BOB, link)
    assert met.accepted.wants_write
    assert not met.dialled.wants_write
    (ready,) = met.accepted.seal([], NOW)
    assert met.dialled.open(ready, NOW) == Opened(events=[PeerReady()])
    assert met.accepted.link.peer == ALICE.identity.node_id
    assert met.dialled.link.peer_name == "bob"
    assert met.dialled.link.wire is WireKind.NATIVE


# --- Who is refused -------------------------------------------------------------------------------


@each_link
def test_a_responder_without_the_passphrase_is_refused(link: Any) -> None:
    one, other = initiator(ALICE, link), responder(settings("bob", prs={0: OTHER_PRS}), link)
    (m2,) = other.receive(one.start(NOW)[0], NOW)
    assert refusal_of(one, m2) is Refusal.AUTH_FAILED
    assert one.claim is None
    assert (one.close_code, one.parting_units) == (4000, [])


@each_link
def test_an_initiator_without_the_passphrase_cannot_open_what_the_responder_says(link: Any) -> None:
    one, other = initiator(settings("alice", prs={0: OTHER_PRS}), link), responder(BOB, link)
    (m2,) = other.receive(one.start(NOW)[0], NOW)
    assert refusal_of(one, m2) is Refusal.AUTH_FAILED
    assert refusal_of(other, bytes(144)) is Refusal.AUTH_FAILED
    assert other.claim is None
    assert (other.close_code, other.parting_units) == (4000, [])


def test_a_node_that_dials_itself_is_told_so() -> None:
    one, other = initiator(ALICE), responder(ALICE)
    (m2,) = other.receive(one.start(NOW)[0], NOW)
    assert refusal_of(one, m2) is Refusal.SELF


def test_a_copy_of_a_node_that_dials_it_is_told_under_seal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copy, other = initiator(ALICE), responder(ALICE)
    (m2,) = other.receive(copy.start(NOW)[0], NOW)
    with monkeypatch.context() as patch:
        patch.setattr(proof, "check_peer", lambda *_: None)
        copy.receive(m2, NOW)
    established = copy.accept(NOW)
    (m3,), channel = established.units, established.channel
    assert refusal_of(other, m3) is Refusal.SELF
    assert other.claim is None
    (close,) = other.parting_units
    assert channel.open(close, NOW).events == [PeerClosing("self")]


class Ration:
    """Keeps what it is asked and told; implements `Guess`."""

    def __init__(self, refusal: Refusal | None = None) -> None:
        self.refusal = refusal
        self.log: list[str] = []

    def may_be_given(self) -> Refusal | None:
        self.log.append("asked")
        return self.refusal

    def was_wrong(self) -> None:
        self.log.append("wrong")


@pytest.mark.parametrize(
    ("answers", "log"),
    [
        (settings("bob"), ["asked"]),
        (settings("bob", prs={0: OTHER_PRS}), ["asked", "wrong"]),
        (ALICE, ["asked"]),
    ],
    ids=["right", "wrong", "ourselves"],
)
def test_an_answer_that_does_not_open_is_a_guess_given_away(
    answers: NativeSettings, log: list[str]
) -> None:
    ration = Ration()
    one = InitiatorHandshake(ALICE, FAST, guess=ration)
    with suppress(HandshakeError):
        one.receive(responder(answers).receive(one.start(NOW)[0], NOW)[0], NOW)
    assert ration.log == log


def test_an_answer_is_not_opened_where_no_guess_may_be_given_away() -> None:
    ration = Ration(Refusal.BUSY)
    one = InitiatorHandshake(ALICE, FAST, guess=ration)
    (m2,) = responder(BOB).receive(one.start(NOW)[0], NOW)
    assert refusal_of(one, m2) is Refusal.BUSY
    assert ration.log == ["asked"]
    assert (one.claim, one.close_code) == (None, CloseCode.BUSY)


def test_whoever_answers_in_place_of_the_dialled_node_is_refused() -> None:
    one = initiator(ALICE, expected=settings("carol").identity.node_id)
    (m2,) = responder(BOB).receive(one.start(NOW)[0], NOW)
    with pytest.raises(HandshakeError, match="answered where") as refused:
        one.receive(m2, NOW)
    assert refused.value.reason is Refusal.UNEXPECTED_IDENTITY
    assert one.claim is None


def test_a_refused_responder_does_not_learn_who_dialled() -> None:
    one = initiator(ALICE)
    one.receive(responder(BOB).receive(one.start(NOW)[0], NOW)[0], NOW)
    assert one.refuse(Refusal.REVOKED, NOW) == []
    assert one.claim is None
    with pytest.raises(LocalProtocolError):
        one.accept(NOW)


def test_a_verified_initiator_is_refused_in_place_of_ready() -> None:
    one, other = initiator(ALICE), responder(BOB)
    one.receive(other.receive(one.start(NOW)[0], NOW)[0], NOW)
    established = one.accept(NOW)
    other.receive(established.units[0], NOW)
    (close,) = other.refuse(Refusal.NOT_ALLOWED, NOW)
    assert established.channel.open(close, NOW).events == [PeerClosing("not_allowed")]
    assert other.claim is None


def test_a_stranger_is_refused_without_a_word() -> None:
    for machine in (
        initiator(ALICE),
        responder(BOB),
        ResponderHandshake(BOB, FAST, lambda: None),
    ):
        assert machine.refuse(Refusal.LIMIT, NOW) == []
        assert machine.close_code == 4002


# --- Before any key work --------------------------------------------------------------------------


def test_a_first_message_is_answered_only_for_a_token() -> None:
    def no_key(_public: bytes) -> Any:
        raise AssertionError("key work was done")

    asked: list[str] = []

    def may_answer() -> Refusal:
        asked.append("M1")
        return Refusal.BUSY

    other = responder(settings("bob", encapsulate=no_key), may_answer=may_answer)
    with pytest.raises(HandshakeError, match="too many") as refused:
        other.receive(initiator(ALICE).start(NOW)[0], NOW)
    assert refused.value.reason is Refusal.BUSY
    assert (asked, other.close_code, other.parting_units) == (["M1"], 4001, [])


@pytest.mark.parametrize(
    ("change", "reason", "close_code"),
    [
        (lambda m1: "text", Refusal.PROTOCOL, 4000),
        (lambda m1: b"", Refusal.PROTOCOL, 4000),
        (lambda m1: b"\x05", Refusal.PROTOCOL, 4000),
        (lambda m1: b"\x04" + m1[1:], Refusal.VERSION_TOO_OLD, 4003),
        (lambda m1: b"\x06" + m1[1:], Refusal.PROTOCOL, 4000),
        (lambda m1: m1[:-1], Refusal.PROTOCOL, 4000),
        (lambda m1: m1 + b"\x00", Refusal.PROTOCOL, 4000),
        (lambda m1: b"\x05\x00" + m1[2:], Refusal.PROTOCOL, 4000),
        (lambda m1: b"\x05\x04" + m1[2:], Refusal.PROTOCOL, 4000),
        (lambda m1: b"\x05\x02" + m1[2:99], Refusal.NOT_ALLOWED, 4000),
        (lambda m1: m1[:2] + b"\x01" + m1[3:], Refusal.AUTH_FAILED, 4000),
    ],
)
def test_a_first_message_that_is_not_for_us_costs_neither_token_nor_key_work(
    change: Any, reason: Refusal, close_code: int
) -> None:
    def no_token() -> Refusal | None:
        raise AssertionError("a token was taken")

    other = responder(BOB, may_answer=no_token)
    assert refusal_of(other, change(initiator(ALICE).start(NOW)[0])) is reason
    assert other.close_code == close_code


@pytest.mark.parametrize("at", [35, 67])
def test_keys_of_low_order_are_refused_at_the_responder(at: int) -> None:
    m1 = initiator(ALICE).start(NOW)[0]
    assert refusal_of(responder(BOB), m1[:at] + bytes(32) + m1[at + 32 :]) is Refusal.PROTOCOL


@pytest.mark.parametrize("at", [32, 64])
def test_keys_of_low_order_are_refused_at_the_initiator(at: int) -> None:
    one = initiator(ALICE)
    (m2,) = responder(BOB).receive(one.start(NOW)[0], NOW)
    assert refusal_of(one, m2[:at] + bytes(32) + m2[at + 32 :]) is Refusal.PROTOCOL


# --- Profiles and generations ---------------------------------------------------------------------


def test_profile_radio_is_for_small_radio_links_alone() -> None:
    one, other = initiator(ALICE, RADIO), responder(BOB, FAST)
    assert refusal_of(other, one.start(NOW)[0]) is Refusal.NOT_ALLOWED
    one, other = initiator(ALICE, FAST), responder(BOB, RADIO)
    assert refusal_of(other, one.start(NOW)[0]) is Refusal.NOT_ALLOWED


def test_a_node_that_wants_post_quantum_keys_takes_no_radio_session() -> None:
    careful = settings("bob", requires_pq=True)
    assert refusal_of(responder(careful, RADIO), initiator(ALICE, RADIO).start(NOW)[0]) is (
        Refusal.NOT_ALLOWED
    )
    with pytest.raises(HandshakeError, match="post-quantum"):
        initiator(careful, RADIO).start(NOW)
    meet(ALICE, careful)


@pytest.mark.parametrize("secret", ["x25519", "ml-kem", "cpace"])
def test_the_keys_change_if_any_one_of_the_secrets_does(secret: str) -> None:
    parts = {"x25519": b"a" * 32, "ml-kem": b"b" * 32, "cpace": b"c" * 64}
    changed = parts | {secret: bytes(len(parts[secret]))}
    assert schedule.chain_key(b"h", *parts.values()) != schedule.chain_key(b"h", *changed.values())


def test_a_mesh_changes_its_passphrase_node_by_node() -> None:
    old, both, new = (
        settings("bob", prs=prs) for prs in ({7: PRS}, {7: PRS, 8: OTHER_PRS}, {8: OTHER_PRS})
    )
    assert (old.generation, both.generation, new.generation) == (7, 8, 8)
    meet(settings("alice", prs={7: PRS}), both)
    meet(settings("alice", prs={8: OTHER_PRS}), both)
    one = initiator(settings("alice", prs={7: PRS}))
    with pytest.raises(HandshakeError, match="takes 8") as refused:
        responder(new).receive(one.start(NOW)[0], NOW)
    assert refused.value.reason is Refusal.AUTH_FAILED


def test_a_node_ahead_of_its_peer_can_prove_the_previous_passphrase() -> None:
    ahead = settings("alice", prs={7: PRS, 8: OTHER_PRS})
    one = InitiatorHandshake(ahead, FAST, generation=7)
    (m2,) = responder(settings("bob", prs={7: PRS})).receive(one.start(NOW)[0], NOW)
    assert refusal_of(one, m2) is None
    with pytest.raises(LocalProtocolError):
        InitiatorHandshake(ahead, FAST, generation=9)


def test_after_generation_255_comes_0() -> None:
    assert settings("bob", prs={255: PRS, 0: OTHER_PRS}).generation == 0
    assert settings("bob", prs={0: PRS, 255: OTHER_PRS}).generation == 0


def test_one_secret_under_two_generations_makes_two_handshakes() -> None:
    one, other = (
        initiator(settings("alice", prs={1: PRS})),
        responder(settings("bob", prs={2: PRS})),
    )
    m1 = one.start(NOW)[0]
    (m2,) = other.receive(m1[:2] + b"\x02" + m1[3:], NOW)
    assert refusal_of(one, m2) is Refusal.AUTH_FAILED


def test_a_mesh_secret_has_its_length() -> None:
    with pytest.raises(LocalProtocolError, match="32 bytes"):
        settings("alice", prs={0: Secret("passphrase")})


@pytest.mark.parametrize("wall", [-5.0, 1e15])
def test_a_clock_that_nobody_can_write_down_is_stated_as_the_nearest(wall: float) -> None:
    stated = ALICE.statement(Instant(NOW.mono, wall)).clock_ms
    assert stated == (0 if wall < 0 else 2**48 - 1)


@pytest.mark.parametrize("prs", [{}, {0: PRS, 1: PRS, 2: PRS}, {256: PRS}, {-1: PRS}])
def test_a_node_has_one_passphrase_or_two(prs: Any) -> None:
    with pytest.raises(LocalProtocolError):
        settings("alice", prs=prs)


# --- Time and order -------------------------------------------------------------------------------


@pytest.mark.parametrize(("link", "first", "other"), [(FAST, 5, 10), (RADIO, 60, 60)])
def test_every_wait_has_an_end(link: Any, first: float, other: float) -> None:
    listener, dialler = responder(BOB, link), initiator(ALICE, link)
    assert listener.deadline == NOW.mono + first
    m1 = dialler.start(NOW)
    assert dialler.deadline == NOW.mono + other
    (m2,) = listener.receive(m1[0], NOW)
    assert listener.deadline == NOW.mono + other
    assert refusal_of(dialler, m2, later(other + 1)) is Refusal.TIMEOUT
    assert refusal_of(listener, bytes(144), later(other + 1)) is Refusal.TIMEOUT


def test_a_machine_takes_nothing_out_of_turn() -> None:
    one, other = InitiatorHandshake(ALICE, FAST), ResponderHandshake(BOB, FAST, lambda: None)
    for machine in (one, other):
        with pytest.raises(LocalProtocolError):
            machine.receive(b"", NOW)
        with pytest.raises(LocalProtocolError):
            machine.accept(NOW)
        machine.start(NOW)
        with pytest.raises(LocalProtocolError):
            machine.start(NOW)


def test_nothing_secret_shows_in_a_repr() -> None:
    one = initiator(ALICE)
    one.start(NOW)
    shown = repr(one._offer) + repr(ALICE)
    assert PRS.reveal().hex() not in shown
    assert repr(PRS.reveal()) not in shown
    assert one._offer is not None
    assert repr(one._offer.share.scalar.reveal()) not in shown

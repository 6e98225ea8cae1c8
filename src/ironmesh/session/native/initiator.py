"""The dialling side of the native handshake (docs/protocol.md, sections 4 and 6)."""

from __future__ import annotations

from enum import Enum
from typing import Final, Protocol

import msgspec
from msgspec.structs import replace

from ironmesh.crypto import hybrid
from ironmesh.crypto.hybrid import X25519Pair
from ironmesh.crypto.sodium import CryptoError
from ironmesh.errors import HandshakeError, LocalProtocolError
from ironmesh.session.interface import Established, PeerClaim
from ironmesh.session.native import proof, schedule
from ironmesh.session.native.exchange import Offer
from ironmesh.session.native.keys import Profile
from ironmesh.session.native.outcome import Outcome
from ironmesh.session.native.schedule import Negotiated, Role
from ironmesh.session.native.settings import (
    MESSAGE_TIMEOUT_S,
    SLOW_TIMEOUT_S,
    NativeSettings,
)
from ironmesh.session.native.tickets import TICKET_LIFETIME_S, Ticket
from ironmesh.types import Instant, NodeId, Refusal, Secret, Unit
from ironmesh.wire.native.constants import NONCE_BYTES, TICKET_UNKNOWN, CloseCode, close_code_of
from ironmesh.wire.native.handshake import (
    Resumption,
    decode_answer,
    decode_resumption_answer,
)


class InitiatorState(Enum):
    """What has happened on the dialling side."""

    CREATED = "created"
    RESUMPTION_SENT = "resumption sent"
    INITIATION_SENT = "first message sent"
    VERIFIED = "peer verified"
    ACCEPTED = "accepted"
    REFUSED = "refused"


_WAITING: Final = frozenset({InitiatorState.RESUMPTION_SENT, InitiatorState.INITIATION_SENT})


class _Resuming(msgspec.Struct, frozen=True):
    ticket: Ticket
    pair: X25519Pair
    said: bytes


class Guess(Protocol):
    """What opening an answer gives away: whether the passphrase that made it is ours."""

    def may_be_given(self) -> Refusal | None:
        """Return why the answer may not be opened now; None = it may."""
        ...

    def was_wrong(self) -> None:
        """The answer did not open."""
        ...


class InitiatorHandshake:
    """Dials one node; implements `Handshake`.

    The peer learns who dialled only in what `accept` returns: somebody whom we refuse learns
    nothing.

    Args:
        expected: the node that must answer; None = any.
        resume: the node whose ticket to use, if there is one; a full handshake follows otherwise.
        generation: which passphrase to prove; None = the newest.
        guess: asked right before the answer is opened, and told if that fails; None = no ration.
    """

    def __init__(
        self,
        settings: NativeSettings,
        negotiated: Negotiated,
        expected: NodeId | None = None,
        *,
        resume: NodeId | None = None,
        generation: int | None = None,
        guess: Guess | None = None,
    ) -> None:
        if generation is not None and generation not in settings.prs:
            raise LocalProtocolError(f"this node has no passphrase number {generation}")
        self._settings = settings
        self._negotiated = negotiated
        self._expected = expected
        self._resume = resume
        self._guess = guess
        self._generation = settings.generation if generation is None else generation
        self._transcript = negotiated.transcript()
        self._resuming: _Resuming | None = None
        self._offer: Offer | None = None
        self._outcome: Outcome | None = None
        self._last_units: list[Unit] = []
        self._deadline = 0.0
        self._close_code = CloseCode.AUTH_FAILED
        self.state = InitiatorState.CREATED

    @property
    def claim(self) -> PeerClaim | None:
        """The verified peer."""
        return None if self._outcome is None else self._outcome.claim

    @property
    def deadline(self) -> float:
        """When waiting for the next message becomes too long, in monotonic seconds."""
        return self._deadline

    @property
    def parting_units(self) -> list[Unit]:
        """Nothing: a close code is all that a stranger is told."""
        return []

    @property
    def close_code(self) -> int:
        """With which code to close the connection after a `HandshakeError`."""
        return self._close_code

    def start(self, now: Instant) -> list[Unit]:
        """Return the first message: a resumption if there is a ticket, else M1.

        Raises:
            HandshakeError: NOT_ALLOWED: the link allows profile `radio` only, which we refuse.
        """
        self._require(InitiatorState.CREATED)
        try:
            return self._resumption(now) or self._initiation(now)
        except HandshakeError as error:
            self._end(InitiatorState.REFUSED, error.reason)
            raise

    def receive(self, unit: Unit, now: Instant) -> list[Unit]:
        """Take M2, or the answer to a resumption.

        Raises:
            HandshakeError: the peer is refused.
        """
        self._require(*_WAITING)
        try:
            return self._take(unit, now)
        except HandshakeError as error:
            self._end(InitiatorState.REFUSED, error.reason)
            raise

    def accept(self, now: Instant) -> Established:
        """Return M3, in which we say who we are, and the channel: records may follow at once."""
        self._require(InitiatorState.VERIFIED)
        outcome = self._verified()
        outcome.keep_tickets(self._settings, now)
        channel = outcome.channel(self._settings, self._negotiated, now)
        units, self._last_units = self._last_units, []
        self.state = InitiatorState.ACCEPTED
        return Established(units, channel)

    def refuse(self, reason: Refusal, now: Instant) -> list[Unit]:  # noqa: ARG002 - interface
        """Return nothing: whom we refuse does not learn who dialled."""
        self._end(InitiatorState.REFUSED, reason)
        return []

    def _resumption(self, now: Instant) -> list[Unit]:
        ticket = None
        if self._resume is not None:
            ticket = self._settings.tickets.take(
                self._resume, now.mono, takes_classic=self._takes_classic
            )
        if ticket is None:
            return []
        random = self._settings.random
        nonce = random(NONCE_BYTES)
        pair = X25519Pair.generate(random)
        unbound = Resumption(ticket.number, nonce, pair.public, binder=b"")
        covered = schedule.mix(self._transcript, unbound.head)
        said = replace(unbound, binder=schedule.binder(ticket.binder_key, covered)).encoded
        self._resuming = _Resuming(ticket, pair, said)
        self._wait(InitiatorState.RESUMPTION_SENT, now)
        return [said]

    def _initiation(self, now: Instant) -> list[Unit]:
        profile = Profile.RADIO if self._negotiated.is_radio_small else Profile.HYBRID
        if profile is Profile.RADIO and self._settings.requires_pq:
            raise HandshakeError(
                Refusal.NOT_ALLOWED,
                "this radio link has no room for post-quantum keys",
                "allow classic key agreement on radio links, or meet the peer on another link",
            )
        prs = self._settings.prs[self._generation]
        self._offer = Offer.make(profile, self._generation, prs, self._settings.random)
        said = self._offer.said.encoded
        self._transcript = schedule.mix(self._transcript, said)
        self._wait(InitiatorState.INITIATION_SENT, now)
        return [said]

    def _take(self, unit: Unit, now: Instant) -> list[Unit]:
        if now.mono > self._deadline:
            raise HandshakeError(
                Refusal.TIMEOUT, f"the peer was silent for too long: {self.state.value}"
            )
        if self._offer is not None:
            self._on_answer(self._offer, unit, now)
            return []
        resuming = self._resuming
        if resuming is None:
            raise LocalProtocolError("the handshake lost what it sent")
        if unit == TICKET_UNKNOWN:
            self._resuming = None
            self._transcript = schedule.mix(self._transcript, resuming.said, TICKET_UNKNOWN)
            return self._initiation(now)
        self._on_resumed(resuming, unit)
        return []

    def _on_answer(self, offer: Offer, unit: Unit, now: Instant) -> None:
        refusal = None if self._guess is None else self._guess.may_be_given()
        if refusal is not None:
            raise HandshakeError(
                refusal,
                "another answer from this address did not prove the passphrase a moment ago",
                "check whom the address leads to; we try again by ourselves",
            )
        answer = decode_answer(unit, offer.said.profile)
        secrets = offer.agree(answer)
        transcript = schedule.mix(self._transcript, answer.head)
        chain = schedule.chain_key(transcript, *secrets)
        claim = self._opened(chain, transcript, answer.sealed)
        proof.check_peer(claim, self._settings.identity.node_id, self._expected)
        transcript = schedule.mix(transcript, answer.sealed)
        sealed = proof.seal_proof(
            chain,
            Role.INITIATOR,
            transcript,
            self._settings.identity,
            self._settings.statement(now),
        )
        is_hybrid = offer.kem is not None
        self._finish(
            Outcome(
                claim,
                schedule.session_keys(
                    chain, schedule.mix(transcript, sealed), Role.INITIATOR, is_hybrid=is_hybrid
                ),
                resumes_hybrid=is_hybrid,
                resumable_until=now.mono + TICKET_LIFETIME_S,
            ),
            [sealed],
        )

    def _opened(self, chain: Secret, transcript: bytes, sealed: bytes) -> PeerClaim:
        try:
            return proof.open_proof(chain, Role.RESPONDER, transcript, sealed)
        except HandshakeError as error:
            if self._guess is not None and error.reason is Refusal.AUTH_FAILED:
                self._guess.was_wrong()
            raise

    def _on_resumed(self, resuming: _Resuming, unit: Unit) -> None:
        answer = decode_resumption_answer(unit)
        if answer.public == resuming.pair.public:
            raise HandshakeError(Refusal.REFLECTED, "the peer sent keys of ours back")
        transcript = schedule.mix(self._transcript, resuming.said)
        transcript = schedule.mix(transcript, answer.head)
        ticket = resuming.ticket
        try:
            exchanged = resuming.pair.agree(answer.public)
            chain = schedule.chain_key(transcript, exchanged, ticket.secret.reveal())
            key = schedule.seal_key(chain, Role.RESPONDER, transcript)
            hybrid.open_sealed(key, hybrid.ZERO_NONCE, answer.sealed, transcript)
        except CryptoError as error:
            raise HandshakeError(
                Refusal.UNDECRYPTABLE, "the peer did not prove that it knows the last session"
            ) from error
        proof.check_peer(ticket.claim, self._settings.identity.node_id, self._expected)
        is_hybrid = ticket.is_hybrid and not self._negotiated.is_radio_small
        keys = schedule.session_keys(chain, transcript, Role.INITIATOR, is_hybrid=is_hybrid)
        self._finish(Outcome(ticket.claim, keys, ticket.is_hybrid, ticket.expires), [])

    @property
    def _takes_classic(self) -> bool:
        return self._negotiated.is_radio_small and not self._settings.requires_pq

    def _finish(self, outcome: Outcome, last_units: list[Unit]) -> None:
        self._outcome, self._last_units = outcome, last_units
        self._offer, self._resuming = None, None
        self.state = InitiatorState.VERIFIED

    def _wait(self, state: InitiatorState, now: Instant) -> None:
        self.state = state
        self._deadline = now.mono + (
            SLOW_TIMEOUT_S if self._negotiated.is_slow else MESSAGE_TIMEOUT_S
        )

    def _verified(self) -> Outcome:
        if self._outcome is None:
            raise LocalProtocolError("the handshake lost what it verified")
        return self._outcome

    def _end(self, state: InitiatorState, reason: Refusal) -> None:
        """Drop every key, and the claim with them."""
        self.state = state
        self._close_code = close_code_of(reason)
        self._offer, self._resuming, self._outcome, self._last_units = None, None, None, []

    def _require(self, *states: InitiatorState) -> None:
        if self.state not in states:
            raise LocalProtocolError(f"not possible for an initiator: {self.state.value}")

"""The accepting side of the native handshake (docs/protocol.md, sections 4 and 6)."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final

import msgspec
from msgspec.structs import replace

from ironmesh.crypto import hybrid
from ironmesh.crypto.hybrid import X25519Pair
from ironmesh.crypto.sodium import CryptoError, same
from ironmesh.errors import HandshakeError, LocalProtocolError
from ironmesh.session.interface import Established, PeerClaim
from ironmesh.session.native import proof, schedule
from ironmesh.session.native.exchange import respond
from ironmesh.session.native.keys import Profile
from ironmesh.session.native.outcome import Outcome
from ironmesh.session.native.schedule import Negotiated, Role
from ironmesh.session.native.settings import (
    FIRST_MESSAGE_TIMEOUT_S,
    MESSAGE_TIMEOUT_S,
    SLOW_TIMEOUT_S,
    NativeSettings,
)
from ironmesh.session.native.tickets import TICKET_LIFETIME_S, Ticket
from ironmesh.types import Instant, Refusal, Secret, Unit
from ironmesh.wire.native.constants import NONCE_BYTES, TICKET_UNKNOWN, CloseCode, close_code_of
from ironmesh.wire.native.handshake import (
    Initiation,
    Resumption,
    ResumptionAnswer,
    decode_first,
    decode_proof,
)

MayAnswer = Callable[[], Refusal | None]
"""Takes a token for one answered first message; a refusal where there is none."""


class ResponderState(Enum):
    """What has happened on the accepting side."""

    CREATED = "created"
    LISTENING = "listening"
    ANSWERED = "answered"
    VERIFIED = "peer verified"
    ACCEPTED = "accepted"
    REFUSED = "refused"


_WAITING: Final = frozenset({ResponderState.LISTENING, ResponderState.ANSWERED})
_OPEN: Final = frozenset({ResponderState.CREATED, *_WAITING, ResponderState.VERIFIED})


class _Answered(msgspec.Struct, frozen=True):
    chain: Secret
    transcript: bytes
    """`h3`."""
    is_hybrid: bool


class ResponderHandshake:
    """Accepts one node; implements `Handshake`.

    Answering M1 gives away one guess at the passphrase, so `may_answer` is asked before any key
    work for it. Resuming gives away none.

    Args:
        may_answer: takes a token, or tells why there is none.
    """

    def __init__(
        self, settings: NativeSettings, negotiated: Negotiated, may_answer: MayAnswer
    ) -> None:
        self._settings = settings
        self._negotiated = negotiated
        self._may_answer = may_answer
        self._transcript = negotiated.transcript()
        self._may_resume = True
        self._answered: _Answered | None = None
        self._outcome: Outcome | None = None
        self._last_units: list[Unit] = []
        self._parting: list[Unit] = []
        self._deadline = 0.0
        self._close_code = CloseCode.AUTH_FAILED
        self.state = ResponderState.CREATED

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
        """A sealed CLOSE for a peer that proved the passphrase; nothing for a stranger."""
        return self._parting

    @property
    def close_code(self) -> int:
        """With which code to close the connection after a `HandshakeError`."""
        return self._close_code

    def start(self, now: Instant) -> list[Unit]:
        """Return nothing: the initiator speaks first."""
        self._require(ResponderState.CREATED)
        self._wait(ResponderState.LISTENING, now, FIRST_MESSAGE_TIMEOUT_S)
        return []

    def receive(self, unit: Unit, now: Instant) -> list[Unit]:
        """Take M1 or a resumption, then M3.

        Raises:
            HandshakeError: the peer is refused.
        """
        self._require(*_WAITING)
        try:
            return self._take(unit, now)
        except HandshakeError as error:
            self._end(error.reason)
            raise

    def accept(self, now: Instant) -> Established:
        """Return the channel, whose first record is READY; before it goes what resumes."""
        self._require(ResponderState.VERIFIED)
        outcome = self._verified()
        outcome.keep_tickets(self._settings, now)
        channel = outcome.channel(self._settings, self._negotiated, now)
        units, self._last_units = self._last_units, []
        self.state = ResponderState.ACCEPTED
        return Established(units, channel)

    def refuse(self, reason: Refusal, now: Instant) -> list[Unit]:
        """Return a sealed CLOSE in place of READY if the peer is verified, else nothing."""
        self._require(*_OPEN)
        words = self._last_words(reason, now)
        self._end(reason)
        return words

    def _take(self, unit: Unit, now: Instant) -> list[Unit]:
        if now.mono > self._deadline:
            raise HandshakeError(
                Refusal.TIMEOUT, f"the peer was silent for too long: {self.state.value}"
            )
        if self._answered is not None:
            self._on_proof(self._answered, unit, now)
            return []
        first = decode_first(unit)
        if isinstance(first, Initiation):
            return self._on_initiation(first, now)
        return self._on_resumption(first, now)

    def _on_initiation(self, said: Initiation, now: Instant) -> list[Unit]:
        prs = self._allowed(said)
        refusal = self._may_answer()
        if refusal is not None:
            raise HandshakeError(
                refusal,
                "too many handshakes came from there without a proof of the passphrase",
                "it may try again in a minute",
            )
        answer, secrets = respond(said, prs, self._settings.random, self._settings.encapsulate)
        transcript = schedule.mix(self._transcript, said.encoded)
        transcript = schedule.mix(transcript, answer.head)
        chain = schedule.chain_key(transcript, *secrets)
        sealed = proof.seal_proof(
            chain,
            Role.RESPONDER,
            transcript,
            self._settings.identity,
            self._settings.statement(now),
        )
        self._answered = _Answered(
            chain, schedule.mix(transcript, sealed), said.profile == Profile.HYBRID
        )
        self._wait(ResponderState.ANSWERED, now, MESSAGE_TIMEOUT_S)
        return [answer.head + sealed]

    def _allowed(self, said: Initiation) -> Secret:
        """Return the secret that the first message is to be answered with.

        Raises:
            HandshakeError: NOT_ALLOWED: the profile is not for this link; AUTH_FAILED: the
                generation is none of ours.
        """
        wanted = Profile.RADIO if self._negotiated.is_radio_small else Profile.HYBRID
        if said.profile != wanted:
            raise HandshakeError(
                Refusal.NOT_ALLOWED,
                f"the peer wants profile {said.profile} on a link that takes {wanted.value}",
            )
        if wanted is Profile.RADIO and self._settings.requires_pq:
            raise HandshakeError(
                Refusal.NOT_ALLOWED,
                "this radio link has no room for post-quantum keys",
                "allow classic key agreement on radio links, or meet the peer on another link",
            )
        prs = self._settings.prs.get(said.generation)
        if prs is None:
            raise HandshakeError(
                Refusal.AUTH_FAILED,
                f"the peer proves passphrase number {said.generation}, and this node takes "
                + " or ".join(str(number) for number in sorted(self._settings.prs)),
                "give both nodes the newest passphrase and its number",
            )
        return prs

    def _on_proof(self, answered: _Answered, unit: Unit, now: Instant) -> None:
        sealed = decode_proof(unit)
        claim = proof.open_proof(answered.chain, Role.INITIATOR, answered.transcript, sealed)
        keys = schedule.session_keys(
            answered.chain,
            schedule.mix(answered.transcript, sealed),
            Role.RESPONDER,
            is_hybrid=answered.is_hybrid,
        )
        self._answered = None
        self._finish(
            Outcome(claim, keys, answered.is_hybrid, now.mono + TICKET_LIFETIME_S), [], now
        )

    def _on_resumption(self, said: Resumption, now: Instant) -> list[Unit]:
        if not self._may_resume:
            raise HandshakeError(Refusal.PROTOCOL, "the peer showed a second ticket")
        self._may_resume = False
        encoded = said.encoded
        ticket = self._ticket_of(said, now)
        if ticket is None:
            self._transcript = schedule.mix(self._transcript, encoded, TICKET_UNKNOWN)
            self._wait(ResponderState.LISTENING, now, FIRST_MESSAGE_TIMEOUT_S)
            return [TICKET_UNKNOWN]
        self._settings.tickets.burn(ticket)
        self._resume(ticket, said, schedule.mix(self._transcript, encoded), now)
        return []

    def _ticket_of(self, said: Resumption, now: Instant) -> Ticket | None:
        takes_classic = self._negotiated.is_radio_small and not self._settings.requires_pq
        ticket = self._settings.tickets.find(said.ticket, now.mono, takes_classic=takes_classic)
        if ticket is None:
            return None
        expected = schedule.binder(ticket.binder_key, schedule.mix(self._transcript, said.head))
        return ticket if same(said.binder, expected) else None

    def _resume(self, ticket: Ticket, said: Resumption, transcript: bytes, now: Instant) -> None:
        nonce = self._settings.random(NONCE_BYTES)
        pair = X25519Pair.generate(self._settings.random)
        try:
            exchanged = pair.agree(said.public)
        except CryptoError as error:
            raise HandshakeError(
                Refusal.PROTOCOL, f"the peer's keys are refused: {error}"
            ) from error
        answer = ResumptionAnswer(nonce, pair.public, b"")
        transcript = schedule.mix(transcript, answer.head)
        chain = schedule.chain_key(transcript, exchanged, ticket.secret.reveal())
        key = schedule.seal_key(chain, Role.RESPONDER, transcript)
        sealed = hybrid.seal(key, hybrid.ZERO_NONCE, b"", transcript)
        is_hybrid = ticket.is_hybrid and not self._negotiated.is_radio_small
        keys = schedule.session_keys(chain, transcript, Role.RESPONDER, is_hybrid=is_hybrid)
        outcome = Outcome(ticket.claim, keys, ticket.is_hybrid, ticket.expires)
        self._finish(outcome, [replace(answer, sealed=sealed).encoded], now)

    def _finish(self, outcome: Outcome, last_units: list[Unit], now: Instant) -> None:
        self._outcome, self._last_units = outcome, last_units
        self.state = ResponderState.VERIFIED
        try:
            proof.check_peer(outcome.claim, self._settings.identity.node_id, None)
        except HandshakeError as error:
            self._parting = self._last_words(error.reason, now)
            raise

    def _last_words(self, reason: Refusal, now: Instant) -> list[Unit]:
        if self._outcome is None:
            return []
        channel = self._outcome.channel(self._settings, self._negotiated, now)
        return [*self._last_units, *channel.close(reason.value, now)]

    def _verified(self) -> Outcome:
        if self._outcome is None:
            raise LocalProtocolError("the handshake lost what it verified")
        return self._outcome

    def _wait(self, state: ResponderState, now: Instant, seconds: float) -> None:
        self.state = state
        self._deadline = now.mono + (SLOW_TIMEOUT_S if self._negotiated.is_slow else seconds)

    def _end(self, reason: Refusal) -> None:
        """Drop every key, and the claim with them."""
        self.state = ResponderState.REFUSED
        self._close_code = close_code_of(reason)
        self._answered, self._outcome, self._last_units = None, None, []

    def _require(self, *states: ResponderState) -> None:
        if self.state not in states:
            raise LocalProtocolError(f"not possible for a responder: {self.state.value}")

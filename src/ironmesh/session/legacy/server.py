"""The accepting side of the published 0.8 handshake (wire specification, section 4)."""

from __future__ import annotations

from enum import Enum
from typing import Final

from ironmesh.crypto import sodium
from ironmesh.errors import HandshakeError, LocalProtocolError
from ironmesh.session.interface import Established, PeerClaim
from ironmesh.session.legacy.channel import LegacyChannel
from ironmesh.session.legacy.hello import make_hello, verify_hello
from ironmesh.session.legacy.keys import Ephemeral
from ironmesh.session.legacy.settings import (
    MESSAGE_TIMEOUT_S,
    NORMAL_CLOSURE,
    LegacySettings,
)
from ironmesh.types import Instant, Refusal, Secret, Unit
from ironmesh.wire.legacy.constants import NONCE_BYTES
from ironmesh.wire.legacy.handshake import (
    LOCKED_OUT,
    TOO_MANY_CONNECTIONS,
    WRONG_PASSPHRASE,
    Challenge,
    Failure,
    FromClient,
    Hello,
    Proof,
    RateLimited,
    Rejected,
    Verified,
    decode_from_client,
    encode,
)


class ServerState(Enum):
    """What has happened on the accepting side."""

    CREATED = "created"
    CHALLENGE_SENT = "challenge sent"
    PROOF_VERIFIED = "proof verified"
    HELLO_VERIFIED = "hello verified"
    ACCEPTED = "accepted"
    REFUSED = "refused"


_WAITING: Final = frozenset({ServerState.CHALLENGE_SENT, ServerState.PROOF_VERIFIED})


class ServerHandshake:
    """Accepts one client; implements `Handshake`.

    A wrong or missing proof is the only failure reported as `AUTH_FAILED`: that alone counts
    toward a lockout. `refuse` before `start` says why to published clients where there are words
    for it (LOCKED_OUT, BUSY, LIMIT).
    """

    def __init__(self, settings: LegacySettings) -> None:
        self._settings = settings
        self._nonce = b""
        self._ephemeral_public = b""
        self._claim: PeerClaim | None = None
        self._session_key: Secret | None = None
        self._parting: list[Unit] = []
        self._deadline = 0.0
        self.state = ServerState.CREATED

    @property
    def claim(self) -> PeerClaim | None:
        """The verified client; nothing of ours but the proof was shown to it yet."""
        return self._claim

    @property
    def deadline(self) -> float:
        """When waiting for the next message becomes too long, in monotonic seconds."""
        return self._deadline

    @property
    def parting_units(self) -> list[Unit]:
        """What to write before closing after a `HandshakeError`."""
        return self._parting

    @property
    def close_code(self) -> int:
        """The usual one: this wire says why in words, if at all."""
        return NORMAL_CLOSURE

    def start(self, now: Instant) -> list[Unit]:
        """Return the challenge."""
        self._require(ServerState.CREATED)
        self._nonce = self._settings.random(NONCE_BYTES)
        self._settings.nonces.issue(self._nonce, now.mono)
        self._advance(ServerState.CHALLENGE_SENT, now)
        challenge = Challenge(
            from_id=self._settings.identity.node_id,
            nonce=self._nonce.hex(),
            protocol_version=self._settings.protocol_version,
        )
        return [encode(challenge)]

    def receive(self, unit: Unit, now: Instant) -> list[Unit]:
        """Take the client's proof, then its HELLO.

        Raises:
            HandshakeError: the client is refused.
        """
        self._require(*_WAITING)
        try:
            return self._take(unit, now)
        except HandshakeError:
            self._end(ServerState.REFUSED)
            raise

    def accept(self, now: Instant) -> Established:
        """Return our HELLO and the channel."""
        self._require(ServerState.HELLO_VERIFIED)
        claim, key, ephemeral_public = self._claim, self._session_key, self._ephemeral_public
        if claim is None or key is None:
            raise LocalProtocolError("the handshake lost what it verified")
        hello = make_hello(
            self._settings, ephemeral_public, self._nonce.hex(), claim.protocol_version
        )
        self._end(ServerState.ACCEPTED)
        channel = LegacyChannel(self._settings, claim, key, now)
        return Established([encode(hello)], channel)

    def refuse(self, reason: Refusal, now: Instant) -> list[Unit]:  # noqa: ARG002 - interface
        """Return the published words for `reason`, if there are any before the challenge."""
        is_new = self.state is ServerState.CREATED
        self._end(ServerState.REFUSED)
        if not is_new:
            return []
        if reason is Refusal.LOCKED_OUT:
            return [encode(Rejected(error=LOCKED_OUT))]
        if reason in (Refusal.BUSY, Refusal.LIMIT):
            return [encode(RateLimited(error=TOO_MANY_CONNECTIONS))]
        return []

    def _take(self, unit: Unit, now: Instant) -> list[Unit]:
        if now.mono > self._deadline:
            raise HandshakeError(
                Refusal.TIMEOUT, f"the peer was silent for too long: {self.state.value}"
            )
        message = decode_from_client(unit)
        if self.state is ServerState.CHALLENGE_SENT:
            return self._on_proof(message, now)
        return self._on_hello(message, now)

    def _on_proof(self, message: FromClient, now: Instant) -> list[Unit]:
        own_id = self._settings.identity.node_id
        if not isinstance(message, Proof):
            kind = "HELLO" if isinstance(message, Hello) else message.type
            error = f"Expected PASSPHRASE_CHALLENGE, got {kind}"
            self._parting = [encode(Rejected(from_id=own_id, error=error))]
            raise HandshakeError(Refusal.PROTOCOL, f"the peer answered the challenge with {kind!r}")
        key = self._settings.passphrase.reveal()
        expected = sodium.hmac_sha256(key, self._nonce).hex()
        if not sodium.same(message.proof.encode(), expected.encode()):
            self._parting = [encode(Rejected(from_id=own_id, error=WRONG_PASSPHRASE))]
            raise HandshakeError(
                Refusal.AUTH_FAILED,
                "the peer did not prove the passphrase",
                "start both nodes with the same passphrase",
            )
        self._advance(ServerState.PROOF_VERIFIED, now)
        proof = sodium.hmac_sha256(key, self._nonce[::-1]).hex()
        return [encode(Verified(from_id=own_id, server_proof=proof))]

    def _on_hello(self, message: FromClient, now: Instant) -> list[Unit]:
        if not isinstance(message, Hello):
            raise HandshakeError(Refusal.PROTOCOL, "the peer sent no HELLO after its proof")
        if not message.from_id or not message.ephemeral_public:
            self._part("Invalid HELLO: missing ephemeral_public", "INVALID_FRAME")
            raise HandshakeError(Refusal.PROTOCOL, "the peer's HELLO has no ephemeral_public")
        ephemeral = Ephemeral.generate(self._settings.random)
        try:
            verified = verify_hello(message, self._nonce.hex(), ephemeral, self._settings)
        except HandshakeError as error:
            if error.reason is Refusal.UNSIGNED:
                self._part(
                    "HELLO signature required when identity_public is provided"
                    if message.identity_public
                    else "HELLO identity_public required",
                    "AUTH_FAILED",
                )
            elif error.reason is Refusal.BAD_SIGNATURE:
                self._part("HELLO signature verification failed", "AUTH_FAILED")
            raise
        self._ephemeral_public = ephemeral.public
        self._claim, self._session_key = verified.claim, verified.session_key
        self._advance(ServerState.HELLO_VERIFIED, now)
        return []

    def _part(self, error: str, code: str) -> None:
        self._parting = [encode(Failure(error=error, code=code))]

    def _advance(self, state: ServerState, now: Instant) -> None:
        self.state = state
        self._deadline = now.mono + MESSAGE_TIMEOUT_S

    def _end(self, state: ServerState) -> None:
        """Drop every key; the claim goes with them unless the peer was accepted."""
        self.state = state
        self._session_key = None
        if state is ServerState.REFUSED:
            self._claim = None

    def _require(self, *states: ServerState) -> None:
        if self.state not in states:
            raise LocalProtocolError(f"not possible for a server handshake: {self.state.value}")

"""The dialling side of the published 0.8 handshake (wire specification, section 4)."""

from __future__ import annotations

from enum import Enum
from typing import Final, NoReturn

from ironmesh.crypto import sodium
from ironmesh.errors import HandshakeError, LocalProtocolError
from ironmesh.session.interface import Established, PeerClaim, check_expected
from ironmesh.session.legacy.channel import LegacyChannel
from ironmesh.session.legacy.hello import make_hello, verify_hello
from ironmesh.session.legacy.keys import Ephemeral
from ironmesh.session.legacy.settings import (
    MESSAGE_TIMEOUT_S,
    NORMAL_CLOSURE,
    LegacySettings,
)
from ironmesh.types import Instant, NodeId, Refusal, Secret, Unit
from ironmesh.wire.legacy.handshake import (
    LOCKED_OUT,
    Challenge,
    Failure,
    FromServer,
    Hello,
    Proof,
    RateLimited,
    Rejected,
    Verified,
    decode_from_server,
    encode,
    nonce_bytes,
)

_QUOTED_CHARS: Final = 120


class ClientState(Enum):
    """What has happened on the dialling side."""

    CREATED = "created"
    CONNECTED = "connected"
    PROOF_SENT = "proof sent"
    HELLO_SENT = "hello sent"
    HELLO_VERIFIED = "hello verified"
    ACCEPTED = "accepted"
    REFUSED = "refused"


_WAITING: Final = frozenset({ClientState.CONNECTED, ClientState.PROOF_SENT, ClientState.HELLO_SENT})


class ClientHandshake:
    """Dials one server; implements `Handshake`.

    A published server decides about us only after its HELLO, and closes without a word if it does
    not want us: the session is up once anything arrives, and the channel's first frame is a ping.

    Args:
        expected: the node that must answer; None = any.
    """

    def __init__(self, settings: LegacySettings, expected: NodeId | None = None) -> None:
        self._settings = settings
        self._expected = expected
        self._nonce = b""
        self._ephemeral: Ephemeral | None = None
        self._server_version = ""
        self._claim: PeerClaim | None = None
        self._session_key: Secret | None = None
        self._deadline = 0.0
        self.state = ClientState.CREATED

    @property
    def claim(self) -> PeerClaim | None:
        """The verified server."""
        return self._claim

    @property
    def deadline(self) -> float:
        """When waiting for the next message becomes too long, in monotonic seconds."""
        return self._deadline

    @property
    def parting_units(self) -> list[Unit]:
        """Nothing: a published client has no last words."""
        return []

    @property
    def close_code(self) -> int:
        """The usual one: this wire says why in words, if at all."""
        return NORMAL_CLOSURE

    def start(self, now: Instant) -> list[Unit]:
        """Return nothing: the server speaks first."""
        self._require(ClientState.CREATED)
        self._advance(ClientState.CONNECTED, now)
        return []

    def receive(self, unit: Unit, now: Instant) -> list[Unit]:
        """Take the challenge, the verdict with the server's proof, then its HELLO.

        Raises:
            HandshakeError: the server refused us, or is refused.
        """
        self._require(*_WAITING)
        try:
            return self._take(unit, now)
        except HandshakeError:
            self._end(ClientState.REFUSED)
            raise

    def accept(self, now: Instant) -> Established:
        """Return the channel; its first control frame is a ping."""
        self._require(ClientState.HELLO_VERIFIED)
        claim, key = self._claim, self._session_key
        if claim is None or key is None:
            raise LocalProtocolError("the handshake lost what it verified")
        self._end(ClientState.ACCEPTED)
        channel = LegacyChannel(self._settings, claim, key, now)
        channel.ping(now)
        return Established([], channel)

    def refuse(self, reason: Refusal, now: Instant) -> list[Unit]:  # noqa: ARG002 - interface
        """Return nothing: a published client closes without a word."""
        self._end(ClientState.REFUSED)
        return []

    def _take(self, unit: Unit, now: Instant) -> list[Unit]:
        if now.mono > self._deadline:
            raise HandshakeError(
                Refusal.TIMEOUT, f"the peer was silent for too long: {self.state.value}"
            )
        message = decode_from_server(unit)
        _raise_if_refused(message)
        if self.state is ClientState.CONNECTED:
            return self._on_challenge(message, now)
        if self.state is ClientState.PROOF_SENT:
            return self._on_verified(message, now)
        return self._on_hello(message, now)

    def _on_challenge(self, message: FromServer, now: Instant) -> list[Unit]:
        if not isinstance(message, Challenge):
            _raise_unexpected(message, "a challenge")
        nonce = nonce_bytes(message.nonce)
        if nonce is None or nonce == nonce[::-1]:
            raise HandshakeError(
                Refusal.PROTOCOL,
                "the peer's challenge is not 32 bytes that differ from their reverse",
            )
        self._settings.nonces.answer(nonce, now.mono)
        self._nonce = nonce
        self._server_version = message.protocol_version
        self._advance(ClientState.PROOF_SENT, now)
        proof = self._proof(nonce)
        return [encode(Proof(from_id=self._settings.identity.node_id, proof=proof))]

    def _on_verified(self, message: FromServer, now: Instant) -> list[Unit]:
        if not isinstance(message, Verified):
            _raise_unexpected(message, "its proof")
        given = message.server_proof.encode()
        if not sodium.same(given, self._proof(self._nonce[::-1]).encode()):
            if sodium.same(given, self._proof(self._nonce).encode()):
                raise HandshakeError(Refusal.REFLECTED, "the peer sent our own proof back")
            raise HandshakeError(
                Refusal.AUTH_FAILED,
                "the peer did not prove the passphrase",
                "check whom this address leads to, and that both nodes have the same passphrase",
            )
        self._ephemeral = Ephemeral.generate(self._settings.random)
        self._advance(ClientState.HELLO_SENT, now)
        hello = make_hello(
            self._settings, self._ephemeral.public, self._nonce.hex(), self._server_version
        )
        return [encode(hello)]

    def _on_hello(self, message: FromServer, now: Instant) -> list[Unit]:
        if not isinstance(message, Hello):
            _raise_unexpected(message, "its HELLO")
        if self._ephemeral is None:
            raise LocalProtocolError("the handshake lost its ephemeral key")
        binding = self._nonce.hex()
        if not sodium.same(message.channel_binding.encode(), binding.encode()):
            raise HandshakeError(Refusal.REPLAY, "the peer's HELLO belongs to another connection")
        verified = verify_hello(message, binding, self._ephemeral, self._settings)
        check_expected(verified.claim, self._expected)
        self._claim, self._session_key = verified.claim, verified.session_key
        self._ephemeral = None
        self._advance(ClientState.HELLO_VERIFIED, now)
        return []

    def _proof(self, nonce: bytes) -> str:
        return sodium.hmac_sha256(self._settings.passphrase.reveal(), nonce).hex()

    def _advance(self, state: ClientState, now: Instant) -> None:
        self.state = state
        self._deadline = now.mono + MESSAGE_TIMEOUT_S

    def _end(self, state: ClientState) -> None:
        """Drop every key; the claim goes with them unless the peer was accepted."""
        self.state = state
        self._ephemeral = None
        self._session_key = None
        if state is ClientState.REFUSED:
            self._claim = None

    def _require(self, *states: ClientState) -> None:
        if self.state not in states:
            raise LocalProtocolError(f"not possible for a client handshake: {self.state.value}")


def _raise_if_refused(message: FromServer) -> None:
    """Translate the three ways in which a server refuses."""
    if isinstance(message, RateLimited):
        raise HandshakeError(
            Refusal.BUSY, f"the peer is busy ({_quote(message.error)})", "try again in a minute"
        )
    if isinstance(message, Rejected):
        if message.error == LOCKED_OUT:
            raise HandshakeError(
                Refusal.LOCKED_OUT,
                "the peer locked this address out after failed proofs",
                "correct the passphrase and wait five minutes",
            )
        raise HandshakeError(
            Refusal.AUTH_FAILED,
            f"the peer rejected our passphrase ({_quote(message.error)})",
            "start both nodes with the same passphrase",
        )
    if isinstance(message, Failure):
        reason = Refusal.AUTH_FAILED if message.code == "AUTH_FAILED" else Refusal.PROTOCOL
        raise HandshakeError(reason, f"the peer refused us ({_quote(message.error)})")


def _raise_unexpected(message: FromServer, wanted: str) -> NoReturn:
    raise HandshakeError(
        Refusal.PROTOCOL, f"the peer sent {type(message).__name__} instead of {wanted}"
    )


def _quote(text: str) -> str:
    return ascii(text[:_QUOTED_CHARS])

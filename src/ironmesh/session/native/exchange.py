"""Agreeing on secrets: X25519, ML-KEM-768 (profile hybrid) and CPace, both halves.

Everything here is used for one handshake only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from ironmesh.crypto import cpace
from ironmesh.crypto.cpace import Share, Transcript
from ironmesh.crypto.hybrid import Encapsulated, KemPair, X25519Pair
from ironmesh.crypto.sodium import CryptoError
from ironmesh.errors import HandshakeError
from ironmesh.session.native.keys import Profile
from ironmesh.session.native.schedule import Role
from ironmesh.types import Random, Refusal, Secret
from ironmesh.wire.native.constants import NONCE_BYTES
from ironmesh.wire.native.handshake import Answer, Initiation

Encapsulate = Callable[[bytes], Encapsulated]
"""Makes a secret for an ML-KEM key; the library draws the randomness."""

_CHANNEL_LABEL: Final = b"ironmesh v5"


class Offer(msgspec.Struct, frozen=True):
    """The initiator's half. Make one with `make`."""

    said: Initiation
    pair: X25519Pair
    share: Share
    kem: KemPair | None

    @classmethod
    def make(cls, profile: Profile, generation: int, prs: Secret, random: Random) -> Offer:
        """Draw nonce, keys and share, in this order."""
        nonce = random(NONCE_BYTES)
        pair = X25519Pair.generate(random)
        share = cpace.make_share(prs, _channel(generation), nonce, random)
        kem = KemPair.generate(random) if profile is Profile.HYBRID else None
        said = Initiation(
            profile, generation, nonce, pair.public, share.public, kem.public if kem else b""
        )
        return cls(said, pair, share, kem)

    def agree(self, answer: Answer) -> tuple[bytes, ...]:
        """Return the secrets that both ends share if the responder knew the passphrase.

        Raises:
            HandshakeError: REFLECTED, or PROTOCOL: a key of low order.
        """
        said = self.said
        if answer.nonce == said.nonce or answer.public == said.public or answer.share == said.share:
            raise HandshakeError(Refusal.REFLECTED, "the peer sent keys of ours back")
        with _peer_keys():
            isk = cpace.session_key(self.share, answer.share, _transcript(said, answer))
            secrets = (self.pair.agree(answer.public), isk)
            if self.kem is None:
                return secrets
            return secrets[0], self.kem.open(answer.kem_ciphertext), isk


def respond(
    said: Initiation, prs: Secret, random: Random, encapsulate: Encapsulate
) -> tuple[Answer, tuple[bytes, ...]]:
    """Return the responder's half without its proof, and the secrets.

    Raises:
        HandshakeError: PROTOCOL: a key of low order, or no ML-KEM key.
    """
    nonce = random(NONCE_BYTES)
    pair = X25519Pair.generate(random)
    share = cpace.make_share(prs, _channel(said.generation), said.nonce, random)
    with _peer_keys():
        exchanged = pair.agree(said.public)
        sent = encapsulate(said.kem_public) if said.kem_public else None
        answer = Answer(nonce, pair.public, share.public, sent.ciphertext if sent else b"", b"")
        isk = cpace.session_key(share, said.share, _transcript(said, answer))
    return answer, (exchanged, sent.secret, isk) if sent else (exchanged, isk)


@contextmanager
def _peer_keys() -> Iterator[None]:
    try:
        yield
    except CryptoError as error:
        raise HandshakeError(Refusal.PROTOCOL, f"the peer's keys are refused: {error}") from error


def _channel(generation: int) -> bytes:
    return _CHANNEL_LABEL + bytes((generation,))


def _transcript(said: Initiation, answer: Answer) -> Transcript:
    return Transcript(
        sid=said.nonce,
        initiator_share=said.share,
        initiator_data=Role.INITIATOR.label + said.nonce + said.public,
        responder_share=answer.share,
        responder_data=Role.RESPONDER.label + answer.nonce + answer.public,
    )

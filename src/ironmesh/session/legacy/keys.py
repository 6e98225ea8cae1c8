"""Ephemeral keys and what two of them agree on (wire specification, section 4.5)."""

from __future__ import annotations

from dataclasses import dataclass

from ironmesh.crypto import sodium
from ironmesh.types import Random, Secret


@dataclass(frozen=True, slots=True)
class Ephemeral:
    """An X25519 key pair for one agreement; its owner drops it right after."""

    secret: Secret
    public: bytes

    @classmethod
    def generate(cls, random: Random) -> Ephemeral:
        """Return a new pair from 32 bytes of `random`."""
        secret = random(sodium.KEY_BYTES)
        return cls(Secret(secret), sodium.box_public(secret))

    def agree(self, peer_public: bytes) -> Secret:
        """Return the session key (32 bytes) shared with the owner of `peer_public`.

        Raises:
            CryptoError: a key of low order.
        """
        return Secret(sodium.box_beforenm(peer_public, self.secret.reveal()))

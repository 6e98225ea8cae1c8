"""Who a node is: an Ed25519 key pair, and the id that everybody computes from its public half."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from ironmesh.crypto import prehash, sodium
from ironmesh.types import NodeId, Random, Secret


@lru_cache(maxsize=8192)
def node_id_of(public: bytes) -> NodeId:
    """Return the node id of an Ed25519 public key: the first 32 hex digits of its SHA-256."""
    return NodeId(sodium.sha256(public).hex()[:32])


class PublicIdentity(msgspec.Struct, frozen=True):
    """The half of an identity that others may know."""

    public: bytes
    """Ed25519 public key, 32 bytes."""

    @property
    def node_id(self) -> NodeId:
        """The node id of this key."""
        return node_id_of(self.public)


class Identity(msgspec.Struct, frozen=True):
    """A node's own key pair. Make one with `generate` or `from_seed`."""

    seed: Secret
    """Ed25519 seed, 32 bytes."""
    public: bytes
    """Ed25519 public key, 32 bytes."""
    node_id: NodeId
    _secret: Secret

    @classmethod
    def from_seed(cls, seed: bytes) -> Identity:
        """Return the identity of a 32-byte Ed25519 seed."""
        public = sodium.sign_public(seed)
        return cls(Secret(seed), public, node_id_of(public), Secret(sodium.sign_secret(seed)))

    @classmethod
    def generate(cls, random: Random) -> Identity:
        """Return a new identity from 32 bytes of `random`."""
        return cls.from_seed(random(sodium.SEED_BYTES))

    def sign(self, data: bytes) -> bytes:
        """Return the detached Ed25519 signature (64 bytes) of `data`."""
        return sodium.sign(self._secret.reveal(), data)

    def sign_prehashed(self, data: bytes) -> bytes:
        """Return the detached Ed25519ph signature (64 bytes) of `data`, as on the native wire."""
        return prehash.sign(self._secret.reveal(), data)

    def box_secret(self) -> bytes:
        """Return the X25519 form (32 bytes) of the secret key, which opens sealed boxes."""
        return sodium.sign_seed_to_box(self.seed.reveal())

"""Revocations: a key that its holder, or an authority, gives up for good (docs/protocol-mesh.md).

revoked key(32) signer's key(32) time(5) signature(64)        one or more in a REVOCATION
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

import msgspec

from ironmesh.crypto.identity import node_id_of
from ironmesh.errors import RemoteProtocolError
from ironmesh.types import NodeId, Refusal

REVOCATION_BYTES: Final = 133
MAX_REVOCATIONS: Final = 256
"""In one message."""
MAX_TIME_S: Final = 2**40 - 1

_LAYOUT: Final = struct.Struct(">32s32sBI64s")
_SIGNED_BYTES: Final = REVOCATION_BYTES - 64
_LABEL: Final = b"ironmesh v5 revocation"


class Revocation(msgspec.Struct, frozen=True, gc=False):
    """The end of an identity; it is never taken back and never expires."""

    revoked: bytes
    """Ed25519 key, 32 bytes."""
    signer: bytes
    """Ed25519 key, 32 bytes: the same, or that of an authority."""
    time_s: int
    """Seconds since 1970, by the clock of the signer: for people only."""
    signature: bytes = b""
    """Ed25519ph, 64 bytes."""

    @property
    def node_id(self) -> NodeId:
        """The node whose identity ends."""
        return node_id_of(self.revoked)

    @property
    def signer_id(self) -> NodeId:
        """Who says so."""
        return node_id_of(self.signer)


def encode_revocations(revocations: Iterable[Revocation]) -> bytes:
    """Return the payload of a REVOCATION; at most 256 fit.

    Raises:
        ValueError: a time out of range; a bug of ours.
    """
    return b"".join(map(_pack, revocations))


def decode_revocations(payload: bytes) -> tuple[Revocation, ...]:
    """Return what a REVOCATION holds; the signatures are not checked here.

    Raises:
        RemoteProtocolError: TOO_LARGE, or BAD_BODY: cut off, or none.
    """
    if len(payload) > MAX_REVOCATIONS * REVOCATION_BYTES:
        raise RemoteProtocolError(Refusal.TOO_LARGE, f"revocations of {len(payload)} bytes")
    if not payload or len(payload) % REVOCATION_BYTES:
        raise RemoteProtocolError(Refusal.BAD_BODY, "revocations that are cut off")
    return tuple(
        Revocation(revoked, signer, high << 32 | low, signature)
        for revoked, signer, high, low, signature in _LAYOUT.iter_unpack(payload)
    )


def signed_text(revocation: Revocation) -> bytes:
    """Return what the signer of a revocation signs with Ed25519ph."""
    return _LABEL + _pack(revocation)[:_SIGNED_BYTES]


def _pack(revocation: Revocation) -> bytes:
    if not 0 <= revocation.time_s <= MAX_TIME_S:
        raise ValueError("a time out of range")
    high, low = revocation.time_s >> 32, revocation.time_s & 0xFFFFFFFF
    return _LAYOUT.pack(revocation.revoked, revocation.signer, high, low, revocation.signature)

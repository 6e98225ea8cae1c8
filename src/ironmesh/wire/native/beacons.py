"""Beacons: what a destination says about itself, spread with its routes (docs/protocol-mesh.md).

public key(32) sequence(8) expiry(5) record hash(32) signature(64)
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from ironmesh.crypto.identity import node_id_of
from ironmesh.errors import RemoteProtocolError
from ironmesh.types import NodeId, Refusal

BEACON_BYTES: Final = 141
MAX_SEQUENCE: Final = 2**64 - 1
MAX_EXPIRY_S: Final = 2**40 - 1
HASH_BYTES: Final = 32

_LAYOUT: Final = struct.Struct(">32sQBI32s64s")
_SIGNED_BYTES: Final = BEACON_BYTES - 64
_LABEL: Final = b"ironmesh v5 beacon"


class Beacon(msgspec.Struct, frozen=True, gc=False):
    """One statement of a node about itself; `ironmesh.mesh.beacons` makes and checks them."""

    public: bytes
    """Ed25519 key, 32 bytes: whose beacon it is."""
    sequence: int
    """Grows with every beacon of a node, in its whole life; never 0."""
    expiry_s: int
    """Seconds since 1970 after which nobody seals to the record."""
    record_hash: bytes
    """SHA-256 of the body of its node record."""
    signature: bytes = b""
    """Ed25519ph, 64 bytes; a beacon without one is never believed."""

    @property
    def origin(self) -> NodeId:
        """The node whose beacon it is; computed anew each time."""
        return node_id_of(self.public)


def encode_beacon(beacon: Beacon) -> bytes:
    """Return the 141 bytes of a signed beacon.

    Raises:
        ValueError: a field has another size; a bug of ours.
    """
    is_whole = len(beacon.public) == 32 and len(beacon.record_hash) == 32
    is_signed = len(beacon.signature) == 64
    if not is_whole or not is_signed or not 0 < beacon.sequence <= MAX_SEQUENCE:
        raise ValueError("not a beacon that can be written")
    return _pack(beacon)


def decode_beacon(data: bytes, at: int = 0) -> Beacon:
    """Return the beacon that begins at `at`; its signature is not checked here.

    Raises:
        RemoteProtocolError: TRUNCATED, or BAD_BODY: it has the sequence 0.
    """
    if at < 0 or len(data) - at < BEACON_BYTES:
        raise RemoteProtocolError(Refusal.TRUNCATED, "a beacon that is cut off")
    public, sequence, high, low, record_hash, signature = _LAYOUT.unpack_from(data, at)
    if not sequence:
        raise RemoteProtocolError(Refusal.BAD_BODY, "a beacon with the sequence 0")
    return Beacon(public, sequence, high << 32 | low, record_hash, signature)


def signed_text(beacon: Beacon) -> bytes:
    """Return what the node of a beacon signs with Ed25519ph."""
    return _LABEL + _pack(beacon)[:_SIGNED_BYTES]


def _pack(beacon: Beacon) -> bytes:
    high, low = beacon.expiry_s >> 32, beacon.expiry_s & 0xFFFFFFFF
    try:
        return _LAYOUT.pack(
            beacon.public, beacon.sequence, high, low, beacon.record_hash, beacon.signature
        )
    except struct.error as error:
        raise ValueError("not a beacon that can be written") from error

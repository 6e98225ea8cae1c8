"""Makes beacons, and tells true ones from forged ones. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from ironmesh.crypto import prehash
from ironmesh.crypto.identity import Identity
from ironmesh.wire.native.beacons import Beacon, signed_text

RECORD_LIFE_S: Final = 48 * 3600
"""How long what a beacon says may be relied on, from when it was made."""


def make_beacon(identity: Identity, sequence: int, expiry_s: int, record_hash: bytes) -> Beacon:
    """Return a signed beacon.

    Args:
        sequence: larger than that of any beacon of this identity before.
        expiry_s: seconds since 1970.
        record_hash: SHA-256 of the body of the node record, 32 bytes.

    Raises:
        ValueError: a value out of range; a bug of ours.

    Source: docs/protocol-mesh.md, "Beacons".
    """
    beacon = Beacon(identity.public, sequence, expiry_s, record_hash)
    return msgspec.structs.replace(beacon, signature=identity.sign_prehashed(signed_text(beacon)))


def check_beacon(beacon: Beacon) -> bool:
    """Tell whether the node that a beacon speaks of signed it."""
    return prehash.verify(beacon.public, signed_text(beacon), beacon.signature)

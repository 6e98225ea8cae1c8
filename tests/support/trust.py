"""Peers that claim things, for the tests of the trust room and of those above it."""

from __future__ import annotations

from pathlib import Path

from ironmesh.crypto.identity import Identity
from ironmesh.session.interface import PeerClaim
from ironmesh.types import Instant, Secret, WireKind
from ironmesh.wire.native.constants import PROTOCOL_VERSION

DATA_KEY = Secret(bytes(range(32)))
VECTORS = Path(__file__).parents[2] / "spec" / "vectors"


def identity(number: int) -> Identity:
    """Return the same identity for the same number."""
    return Identity.from_seed(number.to_bytes(32, "big"))


def claim(number: int, name: str, *, is_ours: bool = True) -> PeerClaim:
    """Return what peer `number` says of itself in a handshake: natively, if it is one of ours."""
    key = identity(number)
    wire = WireKind.NATIVE if is_ours else WireKind.LEGACY
    version = PROTOCOL_VERSION if is_ours else "ironmesh/0.6"
    return PeerClaim(key.node_id, key.public, name, version, wire)


def at(seconds: float) -> Instant:
    """Return a moment."""
    return Instant(mono=seconds, wall=1_700_000_000.0 + seconds)

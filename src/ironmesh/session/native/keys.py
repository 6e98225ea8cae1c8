"""What a finished handshake leaves to the record channel."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from ironmesh.types import Secret


class Profile(IntEnum):
    """How a handshake agrees on keys; one byte on the wire."""

    HYBRID = 1
    """X25519 and ML-KEM-768."""
    RADIO = 2
    """X25519 alone: a lost record costs more there than a quantum computer in years to come."""
    RESUME = 3
    """A ticket of an earlier session, and X25519."""


class SessionKeys(msgspec.Struct, frozen=True):
    """Keys of a session, all 32 bytes, that both ends derived from one transcript."""

    session_id: bytes
    """Not secret; both ends of one handshake have the same, no two handshakes share it."""
    root: Secret
    """From it the next key exchange derives all that follows."""
    initiator_chain: Secret
    """Record chain of what the initiator writes in phase 0."""
    responder_chain: Secret
    resumption: Secret
    is_initiator: bool
    is_hybrid: bool
    """Key changes use ML-KEM as well."""

"""Transcript and key schedule (docs/protocol.md, section 5): every hash, every label, in one place.

Whatever was said on a connection, down to which protocols were offered, enters the hash `h`, and
every key comes from secrets and `h`: two ends have the same keys only if they saw the same bytes.
"""

from __future__ import annotations

import hmac
from enum import Enum
from hashlib import sha256

import msgspec

from ironmesh.crypto import hybrid
from ironmesh.session.native.keys import SessionKeys
from ironmesh.types import Secret
from ironmesh.wire.native.records import MAX_RECORD_BYTES

HANDSHAKE_LABEL = b"ironmesh v5 handshake"


class Role(Enum):
    """Which end of a handshake: who dialled, and who was dialled."""

    INITIATOR = b"initiator"
    RESPONDER = b"responder"

    @property
    def label(self) -> bytes:
        """How the role is written into hashes: nine letters each."""
        return self.value

    @property
    def seal_label(self) -> bytes:
        """Label of the key that seals this role's proof, named after its message."""
        return b"sealed 3" if self is Role.INITIATOR else b"sealed 2"


class Negotiated(msgspec.Struct, frozen=True):
    """What was agreed on before the first byte of ours; both ends must have seen the same."""

    transport: str
    """`websocket`, `reticulum` or `memory`."""
    offered: tuple[str, ...]
    """Protocols that the dialling end offered, in its order."""
    chosen: str
    """The one that was chosen; empty where there is no choice."""
    is_radio_small: bool = False
    """A Reticulum link whose channel message is under 1,400 bytes: profile `radio`."""
    is_slow: bool = False
    """Messages take seconds: every wait of the handshake is longer."""
    max_record_bytes: int = MAX_RECORD_BYTES
    """What one message of the transport carries; no part of the transcript."""

    def transcript(self) -> bytes:
        """Return `h0`, 32 bytes: what every transcript on this connection begins with."""
        said = b"".join(_sized(text) for text in (self.transport, *self.offered, self.chosen))
        count = len(self.offered).to_bytes(4, "big")
        return sha256(HANDSHAKE_LABEL + sha256(count + said).digest()).digest()


def mix(transcript: bytes, *said: bytes) -> bytes:
    """Return the transcript after something more was said."""
    return sha256(b"".join((transcript, *said))).digest()


def chain_key(transcript: bytes, *secrets: bytes) -> Secret:
    """Return `ck` of the exchanged secrets; the profile fixes their number and lengths."""
    return hybrid.extract(transcript, *secrets)


def seal_key(chain: Secret, role: Role, transcript: bytes) -> bytes:
    """Return the key that seals the proof of a role; it seals nothing else."""
    return hybrid.expand(chain, role.seal_label + transcript)


def binder(key: Secret, transcript: bytes) -> bytes:
    """Return the proof of a resumption: HMAC-SHA256 of the transcript before it."""
    return hmac.digest(key.reveal(), transcript, "sha256")


def session_keys(chain: Secret, transcript: bytes, role: Role, *, is_hybrid: bool) -> SessionKeys:
    """Return the keys of the session whose whole handshake `transcript` is."""

    def derive(label: bytes) -> bytes:
        return hybrid.expand(chain, label + transcript)

    return SessionKeys(
        session_id=derive(b"session id"),
        root=Secret(derive(b"root")),
        initiator_chain=Secret(derive(b"i2r")),
        responder_chain=Secret(derive(b"r2i")),
        resumption=Secret(derive(b"resumption")),
        is_initiator=role is Role.INITIATOR,
        is_hybrid=is_hybrid,
    )


def _sized(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(4, "big") + encoded

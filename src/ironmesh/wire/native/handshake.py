"""The handshake's messages as bytes: every length is exact and checked before anything else.

M1 and M2 agree on keys, and what both ends say of themselves travels sealed: `Statement` is the
plaintext. Layouts are in docs/protocol.md, section 4.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ironmesh.config import check_name
from ironmesh.errors import ConfigError, HandshakeError
from ironmesh.types import Refusal, Unit
from ironmesh.wire.native.constants import (
    BINDER_BYTES,
    KEM_CIPHERTEXT_BYTES,
    KEM_PUBLIC_BYTES,
    MAX_NAME_BYTES,
    NONCE_BYTES,
    PUBLIC_BYTES,
    SHARE_BYTES,
    SIGNATURE_BYTES,
    STATEMENT_STEP_BYTES,
    TAG_BYTES,
    TICKET_BYTES,
    VERSION,
)

PROFILE_HYBRID: Final = 1
PROFILE_RADIO: Final = 2
PROFILE_RESUME: Final = 3

_KEYS: Final = NONCE_BYTES + PUBLIC_BYTES + SHARE_BYTES
_INITIATION_BYTES: Final = {
    PROFILE_HYBRID: 3 + _KEYS + KEM_PUBLIC_BYTES,
    PROFILE_RADIO: 3 + _KEYS,
}
_RESUMPTION_BYTES: Final = 2 + TICKET_BYTES + NONCE_BYTES + PUBLIC_BYTES + BINDER_BYTES
_RESUMPTION_ANSWER_BYTES: Final = NONCE_BYTES + PUBLIC_BYTES + TAG_BYTES
_STATEMENT_HEAD: Final = PUBLIC_BYTES + 4 + 8 + 6 + 1
_STATEMENT_SIZES: Final = (STATEMENT_STEP_BYTES, 2 * STATEMENT_STEP_BYTES)
SEALED_SIZES: Final = tuple(size + SIGNATURE_BYTES + TAG_BYTES for size in _STATEMENT_SIZES)
"""What a sealed proof may measure: with a name of up to 13 bytes, and with a longer one."""


class Initiation(msgspec.Struct, frozen=True):
    """M1: the initiator's half of every exchange."""

    profile: int
    generation: int
    """Number of the passphrase, 0 to 255."""
    nonce: bytes
    public: bytes
    """Ephemeral X25519 key."""
    share: bytes
    """CPace."""
    kem_public: bytes
    """ML-KEM-768 key; empty in profile 2."""

    @property
    def encoded(self) -> bytes:
        """The whole message."""
        head = bytes((VERSION, self.profile, self.generation))
        return head + self.nonce + self.public + self.share + self.kem_public


class Answer(msgspec.Struct, frozen=True):
    """M2: the responder's half, and its sealed proof."""

    nonce: bytes
    public: bytes
    share: bytes
    kem_ciphertext: bytes
    sealed: bytes

    @property
    def head(self) -> bytes:
        """What comes before the sealed proof."""
        return self.nonce + self.public + self.share + self.kem_ciphertext

    @property
    def encoded(self) -> bytes:
        """The whole message."""
        return self.head + self.sealed


class Resumption(msgspec.Struct, frozen=True):
    """The first message of a resumed session."""

    ticket: bytes
    nonce: bytes
    public: bytes
    binder: bytes
    """Proves the secret of the ticket."""

    @property
    def head(self) -> bytes:
        """What the binder covers."""
        return bytes((VERSION, PROFILE_RESUME)) + self.ticket + self.nonce + self.public

    @property
    def encoded(self) -> bytes:
        """The whole message."""
        return self.head + self.binder


class ResumptionAnswer(msgspec.Struct, frozen=True):
    """The responder's half of a resumed session; its seal is empty and proves the secret."""

    nonce: bytes
    public: bytes
    sealed: bytes

    @property
    def head(self) -> bytes:
        """What comes before the seal."""
        return self.nonce + self.public

    @property
    def encoded(self) -> bytes:
        """The whole message."""
        return self.head + self.sealed


class Statement(msgspec.Struct, frozen=True):
    """What a node says of itself, under its signature and the seal of a handshake."""

    identity_public: bytes
    features: int
    """Bits of what the node can do beyond this document; unknown bits are ignored."""
    record_sequence: int
    """Of its own node record; 0 = it has none."""
    clock_ms: int
    """Its clock, milliseconds since 1970: for people and node records only."""
    name: str

    @property
    def encoded(self) -> bytes:
        """The statement, filled with zeros to 64 or 128 bytes."""
        name = self.name.encode()
        said = (
            self.identity_public
            + self.features.to_bytes(4, "big")
            + self.record_sequence.to_bytes(8, "big")
            + self.clock_ms.to_bytes(6, "big")
            + bytes((len(name),))
            + name
        )
        return said + bytes(-len(said) % STATEMENT_STEP_BYTES)


def decode_first(unit: Unit) -> Initiation | Resumption:
    """Take a first message apart.

    Raises:
        HandshakeError: VERSION_TOO_OLD, or PROTOCOL: another version, profile or length.
    """
    data = _bytes(unit)
    if len(data) < 2:
        raise HandshakeError(Refusal.PROTOCOL, "the peer's first message is too short to be one")
    if data[0] != VERSION:
        _refuse_version(data[0])
    profile, size = data[1], len(data)
    if profile == PROFILE_RESUME and size == _RESUMPTION_BYTES:
        ticket, nonce, public, binder = _cut(
            data[2:], TICKET_BYTES, NONCE_BYTES, PUBLIC_BYTES, BINDER_BYTES
        )
        return Resumption(ticket, nonce, public, binder)
    if size != _INITIATION_BYTES.get(profile):
        raise HandshakeError(
            Refusal.PROTOCOL, f"the peer's first message has profile {profile} and {size} bytes"
        )
    nonce, public, share, kem_public = _cut(
        data[3:], NONCE_BYTES, PUBLIC_BYTES, SHARE_BYTES, size - 3 - _KEYS
    )
    return Initiation(profile, data[2], nonce, public, share, kem_public)


def decode_answer(unit: Unit, profile: int) -> Answer:
    """Take M2 apart.

    Args:
        profile: the one of our M1, hybrid or radio.

    Raises:
        HandshakeError: PROTOCOL: another length.
    """
    data = _bytes(unit)
    kem_size = KEM_CIPHERTEXT_BYTES if profile == PROFILE_HYBRID else 0
    sealed_size = len(data) - _KEYS - kem_size
    if sealed_size not in SEALED_SIZES:
        raise HandshakeError(Refusal.PROTOCOL, f"the peer's answer has {len(data)} bytes")
    return Answer(*_cut(data, NONCE_BYTES, PUBLIC_BYTES, SHARE_BYTES, kem_size, sealed_size))


def decode_resumption_answer(unit: Unit) -> ResumptionAnswer:
    """Take the answer to a resumption apart.

    Raises:
        HandshakeError: PROTOCOL: another length.
    """
    data = _bytes(unit)
    if len(data) != _RESUMPTION_ANSWER_BYTES:
        raise HandshakeError(
            Refusal.PROTOCOL, f"the peer's answer to a resumption has {len(data)} bytes"
        )
    return ResumptionAnswer(*_cut(data, NONCE_BYTES, PUBLIC_BYTES, TAG_BYTES))


def decode_proof(unit: Unit) -> bytes:
    """Return the sealed proof that M3 is.

    Raises:
        HandshakeError: PROTOCOL: another length.
    """
    data = _bytes(unit)
    if len(data) not in SEALED_SIZES:
        raise HandshakeError(Refusal.PROTOCOL, f"the peer's proof has {len(data)} bytes")
    return data


def decode_statement(data: bytes) -> Statement:
    """Take a statement apart; there is one encoding of each.

    Raises:
        HandshakeError: PROTOCOL: not as we would write it, or a name that no node may have.
    """
    if len(data) not in _STATEMENT_SIZES:
        raise HandshakeError(Refusal.PROTOCOL, "the peer's statement has a wrong length")
    public, features, sequence, clock, size, rest = _cut(
        data, PUBLIC_BYTES, 4, 8, 6, 1, len(data) - _STATEMENT_HEAD
    )
    end = size[0]
    expected = -(-(_STATEMENT_HEAD + end) // STATEMENT_STEP_BYTES) * STATEMENT_STEP_BYTES
    if end > MAX_NAME_BYTES or len(data) != expected or any(rest[end:]):
        raise HandshakeError(Refusal.PROTOCOL, "the peer's statement is not filled with zeros")
    return Statement(
        identity_public=public,
        features=int.from_bytes(features, "big"),
        record_sequence=int.from_bytes(sequence, "big"),
        clock_ms=int.from_bytes(clock, "big"),
        name=_name(rest[:end]),
    )


def _name(encoded: bytes) -> str:
    try:
        return check_name(encoded.decode())
    except (UnicodeDecodeError, ConfigError) as error:
        raise HandshakeError(
            Refusal.PROTOCOL, "the peer's name is not one that a node may have"
        ) from error


def _refuse_version(version: int) -> None:
    if version < VERSION:
        raise HandshakeError(
            Refusal.VERSION_TOO_OLD,
            f"the peer speaks version {version} of the wire",
            "upgrade the peer",
        )
    raise HandshakeError(
        Refusal.PROTOCOL, f"the peer speaks version {version} of the wire", "upgrade this node"
    )


def _bytes(unit: Unit) -> bytes:
    if not isinstance(unit, bytes):
        raise HandshakeError(Refusal.PROTOCOL, "the peer sent text where bytes belong")
    return unit


def _cut(data: bytes, *sizes: int) -> list[bytes]:
    parts, at = [], 0
    for size in sizes:
        parts.append(data[at : at + size])
        at += size
    return parts

"""The binary session frame (wire specification, section 5.1): header, ciphertext, signature."""

from __future__ import annotations

import struct
from enum import StrEnum
from typing import Final, NamedTuple

from ironmesh.crypto import sodium
from ironmesh.errors import RemoteProtocolError
from ironmesh.types import MessagePriority, Refusal
from ironmesh.wire.legacy.constants import (
    FRAME_MAGIC,
    FRAME_VERSION,
    FRAME_VERSIONS,
    MAX_UNIT_BYTES,
)

HEADER_BYTES: Final = 32
MIN_CIPHERTEXT_BYTES: Final = sodium.BOX_NONCE_BYTES + sodium.BOX_TAG_BYTES
OVERHEAD_BYTES: Final = HEADER_BYTES + MIN_CIPHERTEXT_BYTES + sodium.SIGNATURE_BYTES
"""What a frame adds to its plaintext."""

FLAG_HIGH: Final = 0x01
FLAG_CRITICAL: Final = 0x02
FLAG_ENCRYPTED: Final = 0x04
FLAG_SIGNED: Final = 0x08

_HEADER: Final = struct.Struct(">2sBBQQ8sI")
_PRIORITY_FLAGS: Final = {
    MessagePriority.HIGH: FLAG_HIGH,
    MessagePriority.CRITICAL: FLAG_CRITICAL,
}


class FrameFault(StrEnum):
    """What is wrong with a frame, in the words of the test vectors."""

    SHORT = "short"
    MAGIC = "magic"
    VERSION = "version"
    TRUNCATED = "truncated"
    TOO_LARGE = "too-large"
    UNENCRYPTED = "unencrypted"
    SIGNATURE_MISSING = "signature-missing"
    SIGNATURE = "signature"
    DECRYPT = "decrypt"


_REFUSALS: Final = {
    FrameFault.TOO_LARGE: Refusal.TOO_LARGE,
    FrameFault.SIGNATURE_MISSING: Refusal.UNSIGNED,
    FrameFault.SIGNATURE: Refusal.BAD_SIGNATURE,
    FrameFault.DECRYPT: Refusal.UNDECRYPTABLE,
}


class FrameError(RemoteProtocolError):
    """A frame that must be dropped."""

    code = "frame"

    def __init__(self, fault: FrameFault) -> None:
        self.fault = fault
        super().__init__(_REFUSALS.get(fault, Refusal.PROTOCOL), f"frame refused: {fault}")


class Header(NamedTuple):
    """The 32 bytes before the ciphertext; nothing in them is authenticated."""

    magic: bytes
    version: int
    flags: int
    sequence: int
    timestamp_ms: int
    id_hash: bytes
    """First 8 bytes of SHA-256 over the message id's text."""
    ciphertext_bytes: int


class Frame(NamedTuple):
    """A frame taken apart; nothing is checked beyond its lengths."""

    header: Header
    ciphertext: bytes
    """Nonce (24), tag (16), data."""
    signature: bytes | None
    """64 bytes by the immediate sender over the ciphertext; None if the frame says unsigned."""


def id_hash(message_id: str) -> bytes:
    """Return the header's 8-byte hash of a message id's text."""
    return sodium.sha256(message_id.encode())[:8]


def milliseconds(timestamp_s: float) -> int:
    """Return the header's form of an inner timestamp: floor of the milliseconds."""
    return int(timestamp_s * 1000)


def pack(
    ciphertext: bytes,
    signature: bytes,
    *,
    sequence: int,
    timestamp_ms: int,
    message_id_hash: bytes,
    priority: MessagePriority = MessagePriority.NORMAL,
) -> bytes:
    """Return a whole frame, encrypted and signed."""
    header = _HEADER.pack(
        FRAME_MAGIC,
        FRAME_VERSION,
        FLAG_ENCRYPTED | FLAG_SIGNED | _PRIORITY_FLAGS.get(priority, 0),
        sequence,
        timestamp_ms,
        message_id_hash,
        len(ciphertext),
    )
    return header + ciphertext + signature


def split(data: bytes) -> Frame:
    """Take a frame apart, in the published order of checks; bytes after it are ignored.

    Raises:
        FrameError: too large, short, magic, version, truncated, unencrypted, signature missing.
    """
    if len(data) > MAX_UNIT_BYTES:
        raise FrameError(FrameFault.TOO_LARGE)
    if len(data) < HEADER_BYTES:
        raise FrameError(FrameFault.SHORT)
    header = Header._make(_HEADER.unpack_from(data))
    if header.magic != FRAME_MAGIC:
        raise FrameError(FrameFault.MAGIC)
    if header.version not in FRAME_VERSIONS:
        raise FrameError(FrameFault.VERSION)
    end = HEADER_BYTES + header.ciphertext_bytes
    if end > len(data):
        raise FrameError(FrameFault.TRUNCATED)
    if not header.flags & FLAG_ENCRYPTED:
        raise FrameError(FrameFault.UNENCRYPTED)
    ciphertext = data[HEADER_BYTES:end]
    if not header.flags & FLAG_SIGNED:
        return Frame(header, ciphertext, None)
    signature = data[end : end + sodium.SIGNATURE_BYTES]
    if len(signature) < sodium.SIGNATURE_BYTES:
        raise FrameError(FrameFault.SIGNATURE_MISSING)
    return Frame(header, ciphertext, signature)


def verify(frame: Frame, sender_public: bytes) -> None:
    """Check that the immediate sender signed the ciphertext.

    Raises:
        FrameError: unsigned, or signed by another key, or changed.
    """
    if frame.signature is None:
        raise FrameError(FrameFault.SIGNATURE_MISSING)
    if not sodium.verify(sender_public, frame.ciphertext, frame.signature):
        raise FrameError(FrameFault.SIGNATURE)


def encrypt(key: bytes, nonce: bytes, plaintext: bytes) -> bytes:
    """Return the ciphertext field: nonce (24 bytes), tag, data."""
    return nonce + sodium.secretbox(key, nonce, plaintext)


def decrypt(key: bytes, ciphertext: bytes) -> bytes:
    """Return the inner JSON of a ciphertext field.

    Raises:
        FrameError: shorter than 40 bytes, another key, or changed.
    """
    if len(ciphertext) < MIN_CIPHERTEXT_BYTES:
        raise FrameError(FrameFault.DECRYPT)
    nonce = ciphertext[: sodium.BOX_NONCE_BYTES]
    try:
        return sodium.secretbox_open(key, nonce, ciphertext[sodium.BOX_NONCE_BYTES :])
    except sodium.CryptoError as error:
        raise FrameError(FrameFault.DECRYPT) from error

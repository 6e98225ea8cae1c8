"""The frame around messages (docs/protocol-records.md, "Records").

    version and flags(1)  phase(1)  counter(4)  ChaCha20-Poly1305 of messages [and signature(64)]

One message of the transport is one record.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from hashlib import blake2b
from typing import Final, NamedTuple

from ironmesh.errors import RemoteProtocolError
from ironmesh.types import Refusal

VERSION: Final = 5
FLAG_SIGNED: Final = 0x01

HEADER_BYTES: Final = 6
TAG_BYTES: Final = 16
SIGNATURE_BYTES: Final = 64
OVERHEAD_BYTES: Final = HEADER_BYTES + SIGNATURE_BYTES + TAG_BYTES
MAX_RECORD_BYTES: Final = 1024 * 1024

_HEADER: Final = struct.Struct(">BBI")
_SIGNATURE_LABEL: Final = b"ironmesh v5 record"


class Direction(IntEnum):
    """Who wrote a record; one byte of what is signed."""

    FROM_INITIATOR = 1
    FROM_RESPONDER = 2


class Header(NamedTuple):
    """What stands in clear before a record, and is authenticated with it."""

    is_signed: bool
    phase: int
    """Key changes in this session, modulo 256."""
    counter: int
    """Records before this one in its phase and direction."""


def encode_header(header: Header) -> bytes:
    """Return the 6 bytes of a header."""
    first = VERSION << 4 | (FLAG_SIGNED if header.is_signed else 0)
    return _HEADER.pack(first, header.phase, header.counter)


def decode_header(record: bytes, max_bytes: int = MAX_RECORD_BYTES) -> Header:
    """Return the header of a record, whose size is checked first.

    Raises:
        RemoteProtocolError: TOO_LARGE, TRUNCATED, or PROTOCOL: not a record of this version.
    """
    size = len(record)
    if size > max_bytes:
        raise RemoteProtocolError(
            Refusal.TOO_LARGE, f"a record of {size} bytes, where {max_bytes} are the most"
        )
    if size < HEADER_BYTES + TAG_BYTES:
        raise RemoteProtocolError(Refusal.TRUNCATED, f"a record of {size} bytes")
    first, phase, counter = _HEADER.unpack_from(record)
    if first >> 4 != VERSION:
        raise RemoteProtocolError(
            Refusal.PROTOCOL, f"a record of wire version {first >> 4}, where {VERSION} was agreed"
        )
    if first & 0x0F & ~FLAG_SIGNED:
        raise RemoteProtocolError(Refusal.PROTOCOL, "a record with unknown flags")
    is_signed = bool(first & FLAG_SIGNED)
    if is_signed and size < OVERHEAD_BYTES:
        raise RemoteProtocolError(Refusal.TRUNCATED, f"a signed record of {size} bytes")
    return Header(is_signed, phase, counter)


def signed_text(
    session_id: bytes, direction: Direction, header: bytes, *messages: bytes | memoryview
) -> bytes:
    """Return what the writer of a record signs with Ed25519ph.

    Args:
        session_id: 32 bytes.
        header: the 6 bytes as sent.
        messages: what the record holds, without the signature; in one part or several.
    """
    digest = blake2b(digest_size=32)
    for part in messages:
        digest.update(part)
    parts = (_SIGNATURE_LABEL, session_id, bytes((direction,)), header, digest.digest())
    return b"".join(parts)

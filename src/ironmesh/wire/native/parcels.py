"""Parcels: messages for one node, sealed to it, on their way over others (docs/protocol-mesh.md).

    parcel     head  ChaCha20-Poly1305 of source key(32) content signature(64)
    head       kind(1) prekey number(4) X25519 key(32) [ML-KEM-768 ciphertext(1088)]

    content    flags(1) stream(4) sequence(varint) messages        in order
               flags(1) stream(4) messages                         UNORDERED: receipts
               flags(1) stream(4) above(4)                         RESET

What stands before a parcel on its way is in `ironmesh.wire.native.relaying`.
"""

from __future__ import annotations

import struct
from hashlib import blake2b, sha256
from typing import Final, NamedTuple

from ironmesh.errors import RemoteProtocolError
from ironmesh.types import PRIORITIES, MessagePriority, Refusal
from ironmesh.wire.native.messages import take_varint, varint

KIND_CLASSIC: Final = 1
"""X25519 alone."""
KIND_HYBRID: Final = 2
"""X25519 and ML-KEM-768."""

PUBLIC_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
TAG_BYTES: Final = 16
MAX_CONTENT_BYTES: Final = 60 * 1024
"""What one parcel holds for its destination."""

_CLASSIC_HEAD_BYTES: Final = 1 + 4 + 32
_HEAD_BYTES: Final = {KIND_CLASSIC: _CLASSIC_HEAD_BYTES, KIND_HYBRID: _CLASSIC_HEAD_BYTES + 1088}
_SEAL_BYTES: Final = PUBLIC_BYTES + SIGNATURE_BYTES + TAG_BYTES
MAX_PARCEL_BYTES: Final = _HEAD_BYTES[KIND_HYBRID] + _SEAL_BYTES + MAX_CONTENT_BYTES
_LABEL: Final = b"ironmesh v5 parcel"

PRIORITY_BITS: Final = 0x03
FLAG_UNORDERED: Final = 0x04
FLAG_RESET: Final = 0x08
MAX_STREAM: Final = 2**32 - 1
_MAX_SEQUENCE_BYTES: Final = 9
_RESET: Final = struct.Struct(">BII")
_STREAM_HEAD: Final = struct.Struct(">BI")
_PRIORITY_NUMBERS: Final = {priority: number for number, priority in enumerate(PRIORITIES)}


# --- The parcel ----------------------------------------------------------------------------------


class SplitParcel(NamedTuple):
    """A parcel, taken apart."""

    kind: int
    number: int
    """Of the prekey that it is sealed to."""
    ephemeral: bytes
    ciphertext: bytes
    """Empty in kind 1."""
    head: bytes
    """Everything before the seal."""
    sealed: bytes


def encode_head(number: int, ephemeral: bytes, ciphertext: bytes = b"") -> bytes:
    """Return the head of a parcel; with a ciphertext it is of kind 2."""
    kind = KIND_HYBRID if ciphertext else KIND_CLASSIC
    return bytes((kind,)) + number.to_bytes(4, "big") + ephemeral + ciphertext


def split_parcel(parcel: bytes) -> SplitParcel:
    """Take a parcel apart; its size is checked first.

    Raises:
        RemoteProtocolError: TOO_LARGE, TRUNCATED, or PROTOCOL: a kind that is unknown.
    """
    size = len(parcel)
    if size > MAX_PARCEL_BYTES:
        raise RemoteProtocolError(
            Refusal.TOO_LARGE, f"a parcel of {size} bytes, where {MAX_PARCEL_BYTES} are the most"
        )
    head_bytes = _HEAD_BYTES.get(parcel[0]) if size else 0
    if head_bytes is None:
        raise RemoteProtocolError(Refusal.PROTOCOL, f"a parcel of the unknown kind {parcel[0]}")
    if size < max(head_bytes, _CLASSIC_HEAD_BYTES) + _SEAL_BYTES:
        raise RemoteProtocolError(Refusal.TRUNCATED, f"a parcel of {size} bytes")
    return SplitParcel(
        kind=parcel[0],
        number=int.from_bytes(parcel[1:5], "big"),
        ephemeral=parcel[5:_CLASSIC_HEAD_BYTES],
        ciphertext=parcel[_CLASSIC_HEAD_BYTES:head_bytes],
        head=parcel[:head_bytes],
        sealed=parcel[head_bytes:],
    )


def context(destination: bytes, x25519: bytes, kem_hash: bytes, head: bytes) -> bytes:
    """Return what a parcel is bound to: its destination, the prekeys used, and its head.

    Args:
        destination: Ed25519 key, 32 bytes.
        kem_hash: SHA-256 of the ML-KEM prekey in kind 2; empty in kind 1.
    """
    return sha256(b"".join((_LABEL, destination, x25519, kem_hash, head))).digest()


def signed_text(destination: bytes, head: bytes, source: bytes, content: bytes) -> bytes:
    """Return what the source of a parcel signs with Ed25519ph.

    Args:
        destination: Ed25519 key, 32 bytes; so a parcel cannot be sealed anew for another node.
    """
    digest = blake2b(head, digest_size=32)
    digest.update(source)
    digest.update(content)
    return _LABEL + destination + digest.digest()


# --- The content ---------------------------------------------------------------------------------


class InOrder(NamedTuple):
    """Messages that have a place among others."""

    priority: MessagePriority
    stream: int
    sequence: int
    messages: bytes


class Unordered(NamedTuple):
    """Receipts: they need no order."""

    stream: int
    messages: bytes


class Reset(NamedTuple):
    """The reader of a stream cannot go on with it."""

    stream: int
    """The one that the source used."""
    above: int
    """It is to begin one with a larger number than this."""


Content = InOrder | Unordered | Reset


def in_order_head(priority: MessagePriority, stream: int, sequence: int) -> bytes:
    """Return what stands before messages that have a place among others."""
    return _STREAM_HEAD.pack(_PRIORITY_NUMBERS[priority], stream) + varint(sequence)


def unordered_head(stream: int) -> bytes:
    """Return what stands before receipts."""
    return _STREAM_HEAD.pack(FLAG_UNORDERED, stream)


def encode_reset(reset: Reset) -> bytes:
    """Return the content that asks a source to start over."""
    return _RESET.pack(FLAG_RESET, reset.stream, reset.above)


def decode_content(content: bytes) -> Content:
    """Take the content of a parcel apart, but for its messages.

    Raises:
        RemoteProtocolError: PROTOCOL: unknown flags; BAD_BODY: malformed.
    """
    if len(content) <= _STREAM_HEAD.size:
        raise _bad("cut off")
    flags, stream = _STREAM_HEAD.unpack_from(content)
    if flags == FLAG_RESET:
        if len(content) != _RESET.size:
            raise _bad("a reset of another size")
        return Reset(*_RESET.unpack(content)[1:])
    if flags == FLAG_UNORDERED:
        return Unordered(stream, content[_STREAM_HEAD.size :])
    if flags & ~PRIORITY_BITS:
        raise RemoteProtocolError(Refusal.PROTOCOL, f"a parcel with unknown flags {flags:#04x}")
    try:
        sequence, at = take_varint(content, _STREAM_HEAD.size, _MAX_SEQUENCE_BYTES)
    except IndexError as error:
        raise _bad("cut off") from error
    if at == len(content):
        raise _bad("no messages")
    return InOrder(PRIORITIES[flags], stream, sequence, content[at:])


def _bad(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(Refusal.BAD_BODY, f"a malformed parcel: {what}")

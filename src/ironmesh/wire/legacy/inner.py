"""The inner object of a frame (wire specification, section 5.2): what the ciphertext holds."""

from __future__ import annotations

import hashlib
import math
import re
import zlib
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ironmesh.errors import RemoteProtocolError
from ironmesh.types import MessageId, MessagePriority, Refusal
from ironmesh.wire.legacy import cjson
from ironmesh.wire.legacy.constants import (
    BROADCAST,
    MAX_DEPTH,
    MAX_HOPS,
    MAX_INFLATED_BYTES,
    MAX_TEXT_CHARS,
    MAX_UNIT_BYTES,
)

_MAX_TIMESTAMP_S: Final = 1e12
_UUID_OR_HEX: Final = re.compile(
    r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
)
_ID_LABEL: Final = b"ironmesh 0.8 id"
_GZIP: Final = 31

_Text = Annotated[str, Meta(max_length=MAX_TEXT_CHARS)]


class Routing(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the payload travels."""

    compressed: bool = False
    """The payload is gzip."""


class Inner(msgspec.Struct, frozen=True, kw_only=True):
    """What a frame says, once it is opened; the order of members is that of published nodes."""

    type: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT_CHARS)]
    payload: bytes = b""
    msg_id: _Text = ""
    source: _Text = "unknown"
    source_display: _Text | UnsetType = UNSET
    destination: _Text = BROADCAST
    timestamp: float | _Text = 0.0
    """Seconds since 1970 by the originator's clock; `timestamp_of` reads both spellings."""
    priority: _Text = MessagePriority.NORMAL.value
    sequence: Annotated[int, Meta(ge=0)] = 0
    retries: int = 0
    routing: Routing = Routing()
    ttl: Annotated[int, Meta(ge=0, le=255)] | bool = 3
    hops: Annotated[tuple[_Text, ...], Meta(max_length=MAX_HOPS)] = ()
    """Ids of the relays so far."""
    source_signature: bytes | UnsetType = UNSET
    e2e_payload: bytes | UnsetType = UNSET
    """A sealed copy of the payload, for the destination's identity key."""
    source_sig_scheme: _Text | UnsetType = UNSET


_DECODER: Final = msgspec.json.Decoder(Inner)


def encode(inner: Inner) -> bytes:
    """Return the plaintext of a frame."""
    return cjson.encode(inner)


def decode(plaintext: bytes) -> Inner:
    """Parse the plaintext of a frame.

    Raises:
        RemoteProtocolError: BAD_BODY or TOO_LARGE.
    """
    return cjson.decode(
        _DECODER, plaintext, "the inner object", max_bytes=MAX_UNIT_BYTES, max_depth=MAX_DEPTH
    )


def timestamp_of(inner: Inner) -> float:
    """Return the originator's time in seconds since 1970.

    Raises:
        RemoteProtocolError: BAD_BODY: a text that is no number, or a time out of range.
    """
    try:
        timestamp = float(inner.timestamp)
    except ValueError as error:
        raise RemoteProtocolError(Refusal.BAD_BODY, "the timestamp is no number") from error
    if not (math.isfinite(timestamp) and 0 <= timestamp <= _MAX_TIMESTAMP_S):
        raise RemoteProtocolError(Refusal.BAD_BODY, "the timestamp is out of range")
    return timestamp


def priority_of(inner: Inner) -> MessagePriority:
    """Return the priority; NORMAL for a name that we do not know."""
    try:
        return MessagePriority(inner.priority)
    except ValueError:
        return MessagePriority.NORMAL


def message_id_of(text: str) -> MessageId:
    """Return the 16 bytes that stand for a foreign message id.

    A UUID or 32 hex digits are those bytes; any other text is hashed under a label.
    """
    if _UUID_OR_HEX.fullmatch(text):
        return MessageId(bytes.fromhex(text.replace("-", "")))
    return MessageId(hashlib.blake2b(_ID_LABEL + text.encode(), digest_size=16).digest())


def inflate(payload: bytes) -> bytes:
    """Decompress a gzip payload of at most 4 MiB.

    Raises:
        RemoteProtocolError: TOO_LARGE, or BAD_BODY for anything that is not one gzip member.
    """
    machine = zlib.decompressobj(wbits=_GZIP)
    try:
        body = machine.decompress(payload, MAX_INFLATED_BYTES + 1)
    except zlib.error as error:
        raise RemoteProtocolError(Refusal.BAD_BODY, "the payload is not gzip") from error
    if len(body) > MAX_INFLATED_BYTES:
        raise RemoteProtocolError(
            Refusal.TOO_LARGE, f"the payload unpacks to more than {MAX_INFLATED_BYTES} bytes"
        )
    if not machine.eof or machine.unused_data:
        raise RemoteProtocolError(Refusal.BAD_BODY, "the payload is not one whole gzip member")
    return body

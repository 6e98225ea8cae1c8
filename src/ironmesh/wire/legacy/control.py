"""Payloads in control form (wire specification, section 6.1): pings, goodbyes, key changes."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ironmesh.types import MessageType
from ironmesh.wire.legacy import cjson
from ironmesh.wire.legacy.constants import MAX_DEPTH, MAX_HANDSHAKE_BYTES, MAX_TEXT_CHARS

CHANNEL_TYPES: Final = frozenset(
    {
        MessageType.PING,
        MessageType.PONG,
        MessageType.GOODBYE,
        MessageType.RATE_LIMITED,
        MessageType.REKEY_REQUEST,
        MessageType.REKEY_RESPONSE,
        MessageType.KEY_ROTATE,
    }
)
"""Types that end at the channel and never reach the node as messages."""

MESH_TYPES: Final = frozenset(
    {
        MessageType.REVOCATION,
        MessageType.ROUTE_ANNOUNCE,
        MessageType.ROUTE_UNREACHABLE,
        MessageType.CAPABILITY_ANNOUNCE,
        MessageType.CAPABILITY_QUERY,
    }
)
"""Types that the mesh consumes: sent like control frames, and never taken for duplicates."""

MAX_REASON_CHARS: Final = 256

_Text = Annotated[str, Meta(max_length=MAX_TEXT_CHARS)]


class Control(msgspec.Struct, frozen=True, kw_only=True, rename={"from_id": "from"}):
    """The payload of a control frame."""

    type: _Text
    from_id: _Text = ""
    new_ephemeral_public: _Text | UnsetType = UNSET
    """Key changes: X25519 public key, base64."""
    rekey_id: _Text | UnsetType = UNSET
    """Key changes: UUID text, echoed by the answer."""
    reason: _Text | UnsetType = UNSET
    """Goodbyes of ours: why, for people."""


_DECODER: Final = msgspec.json.Decoder(Control)


def encode(control: Control) -> bytes:
    """Return the payload bytes."""
    return cjson.encode(control)


def decode(payload: bytes) -> Control:
    """Parse a control payload.

    Raises:
        RemoteProtocolError: BAD_BODY or TOO_LARGE.
    """
    return cjson.decode(
        _DECODER,
        payload,
        "a control payload",
        max_bytes=MAX_HANDSHAKE_BYTES,
        max_depth=MAX_DEPTH,
    )

"""Several messages in one frame, between nodes of ours on the 0.8 wire.

A frame costs a signature, and its check costs twice as much: more than all the rest that is done
for a small message. So messages that are written together travel in one frame, whose type is
`BUNDLE` and whose payload is these entries, one after the other, integers big-endian:

    id (16)  time (8, milliseconds since 1970)  priority (1)  type size (2)  payload size (4)
    type (UTF-8)  payload

A bundle holds messages of the frame's source for the frame's destination. Published nodes never
get one; a frame of this type that one of them sends is a message like any other.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from ironmesh.errors import RemoteProtocolError
from ironmesh.types import PRIORITIES, Message, MessageId, NodeId, Refusal
from ironmesh.wire.legacy.constants import MAX_SENT_TYPE_CHARS
from ironmesh.wire.legacy.control import CHANNEL_TYPES

TYPE: Final = "BUNDLE"
MAX_MESSAGES: Final = 256
MAX_BYTES: Final = 64 * 1024
"""What entries may take together; a message that takes more goes in a frame of its own."""

_HEAD: Final = struct.Struct(">16sQBHI")
_PRIORITY_NUMBERS: Final = {priority: number for number, priority in enumerate(PRIORITIES)}


def entry_bytes(message: Message) -> int:
    """Return at least as much as a message takes in a bundle."""
    return _HEAD.size + 4 * len(message.type) + len(message.payload)


def encode(messages: Sequence[Message]) -> bytes:
    """Return the payload of a frame that carries these messages."""
    parts: list[bytes] = []
    for message in messages:
        kind = message.type.encode()
        number = _PRIORITY_NUMBERS[message.priority]
        sizes = len(kind), len(message.payload)
        parts += (_HEAD.pack(message.id, message.timestamp_ms, number, *sizes), kind)
        parts.append(message.payload)
    return b"".join(parts)


def decode(payload: bytes, source: NodeId, destination: NodeId) -> list[Message]:
    """Return the messages that a frame carries, in their order.

    Raises:
        RemoteProtocolError: BAD_BODY: it is not whole, or holds what no bundle may.
    """
    messages: list[Message] = []
    at, end = 0, len(payload)
    while at < end and len(messages) < MAX_MESSAGES:
        if at + _HEAD.size > end:
            raise _bad("an entry is cut off")
        message_id, time_ms, priority, type_bytes, payload_bytes = _HEAD.unpack_from(payload, at)
        type_at = at + _HEAD.size
        payload_at = type_at + type_bytes
        at = payload_at + payload_bytes
        if at > end:
            raise _bad("an entry is cut off")
        if priority >= len(PRIORITIES):
            raise _bad("an unknown priority")
        messages.append(
            Message(
                id=MessageId(message_id),
                type=_type_of(payload[type_at:payload_at]),
                payload=payload[payload_at:at],
                source=source,
                destination=destination,
                priority=PRIORITIES[priority],
                timestamp_ms=time_ms,
            )
        )
    if at < end or not messages:
        raise _bad("too many entries, or none")
    return messages


def _type_of(data: bytes) -> str:
    try:
        kind = data.decode()
    except UnicodeDecodeError as error:
        raise _bad("a type that is no text") from error
    if not 0 < len(kind) <= MAX_SENT_TYPE_CHARS or kind in CHANNEL_TYPES or kind == TYPE:
        raise _bad("a type that no bundle may hold")
    return kind


def _bad(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(Refusal.BAD_BODY, f"a bundle with {what}")

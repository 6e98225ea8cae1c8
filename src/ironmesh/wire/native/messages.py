"""Messages inside a record (docs/protocol-records.md, "Messages").

    control, mesh   type(1) flags(1) length(varint) body
    application     type(1) flags(1) [name] id(16 or 8) [timestamp(6)] length(varint) payload
    name            length(varint) and UTF-8, with type 0 only

Varints are LEB128 in their shortest form. There is one way to write each message.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from ironmesh.errors import RemoteProtocolError
from ironmesh.types import NO_ID, PRIORITIES, Message, MessageId, NodeId, Refusal
from ironmesh.wire.native.registry import (
    APPLICATION_TYPES,
    MESH_TYPES,
    NAMED,
    NUMBER_OF,
    SKIPPED,
    ControlType,
    is_name,
)
from ironmesh.wire.receipts import EPOCH_BYTES, LIVE_EPOCH, MESSAGE_ID_BYTES

MAX_TIMESTAMP_MS: Final = 2**48 - 1
MAX_HEAD_BYTES: Final = 2 + 2 + 256 + MESSAGE_ID_BYTES + 6
"""Of an application message before its length: type, flags, the longest name, id, timestamp."""
MAX_VARINT_BYTES: Final = 4

PRIORITY_BITS: Final = 0x03
FLAG_TIMESTAMP: Final = 0x04
FLAG_LIVE: Final = 0x08
"""The id has no epoch: 8 bytes of it are left out."""
FLAG_COMPRESSED: Final = 0x10
FLAG_FIRST: Final = 0x20
"""Of a CHUNK: it begins a message."""

_APPLICATION_FLAGS: Final = PRIORITY_BITS | FLAG_TIMESTAMP | FLAG_LIVE
_CONTROL_FLAGS: Final = dict.fromkeys(ControlType, 0) | {
    ControlType.CHUNK: PRIORITY_BITS | FLAG_FIRST
}
_CONTROLS: Final = {kind.value: kind for kind in ControlType}
_PRIORITY_NUMBERS: Final = {priority: number for number, priority in enumerate(PRIORITIES)}

_COMMON: Final = struct.Struct(">BB16sHIB")
"""What nearly all messages begin with: a number, an id, a time, and less than 128 bytes to come."""
_COMMON_LIVE: Final = struct.Struct(">BB8sHIB")
"""The same for those that are not kept."""
_COMMON_BEGINNINGS: Final = {
    (name, priority): (number, bits | FLAG_TIMESTAMP)
    for number, name in APPLICATION_TYPES.items()
    for priority, bits in _PRIORITY_NUMBERS.items()
}
_COMMON_TYPES: Final = {
    bytes((number, flags | live)): (name, priority, bool(live))
    for (name, priority), (number, flags) in _COMMON_BEGINNINGS.items()
    for live in (0, FLAG_LIVE)
}


class Control(NamedTuple):
    """A message from channel to channel."""

    kind: ControlType
    flags: int
    body: bytes


class Head(NamedTuple):
    """What stands before the length of a message: all but its payload."""

    type: str
    flags: int
    id: MessageId
    timestamp_ms: int

    def message(self, payload: bytes, source: NodeId, destination: NodeId) -> Message:
        """Return the message with this head."""
        return Message(
            self.id,
            self.type,
            payload,
            source,
            destination,
            PRIORITIES[self.flags & PRIORITY_BITS],
            self.timestamp_ms,
        )


# --- Encoding ------------------------------------------------------------------------------------


def varint(number: int) -> bytes:
    """Return a number in LEB128; where nothing else is said, of at most 28 bits."""
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def encode_control(kind: ControlType, body: bytes = b"", flags: int = 0) -> bytes:
    """Return a control message."""
    return bytes((kind, flags)) + varint(len(body)) + body


def encode_prefix(message: Message) -> bytes:
    """Return what stands before the payload of a message: its head and its length."""
    size, time_ms, message_id = len(message.payload), message.timestamp_ms, message.id
    common = _COMMON_BEGINNINGS.get((message.type, message.priority))
    if common is None or size >= 0x80 or not 0 < time_ms <= MAX_TIMESTAMP_MS:
        return encode_head(message) + varint(size)
    number, flags = common
    high, low = time_ms >> 32, time_ms & 0xFFFFFFFF
    if message_id.startswith(LIVE_EPOCH):
        flags |= FLAG_LIVE
        return _COMMON_LIVE.pack(number, flags, message_id[EPOCH_BYTES:], high, low, size)
    return _COMMON.pack(number, flags, message_id, high, low, size)


def encode_head(message: Message) -> bytes:
    """Return what stands before the length of a message; the session says who writes to whom."""
    number = NUMBER_OF.get(message.type, NAMED)
    flags = _PRIORITY_NUMBERS[message.priority]
    if number in MESH_TYPES:
        return bytes((number, flags))
    name = b""
    if number == NAMED:
        name = message.type.encode()
        name = varint(len(name)) + name
    message_id: bytes = message.id
    if message_id.startswith(LIVE_EPOCH):
        flags |= FLAG_LIVE
        message_id = message_id[EPOCH_BYTES:]
    if 0 < message.timestamp_ms <= MAX_TIMESTAMP_MS:
        flags |= FLAG_TIMESTAMP
        message_id += message.timestamp_ms.to_bytes(6, "big")
    return bytes((number, flags)) + name + message_id


def is_sendable(kind: str) -> bool:
    """Tell whether messages can have a type."""
    return kind in NUMBER_OF or is_name(kind)


# --- Decoding ------------------------------------------------------------------------------------


def decode(data: bytes, source: NodeId, destination: NodeId) -> list[Message | Control]:
    """Return the messages of a record in their order, without those that are skipped.

    Raises:
        RemoteProtocolError: BAD_BODY: malformed; PROTOCOL: a type or flag that is unknown.
    """
    items: list[Message | Control] = []
    at, end = 0, len(data)
    try:
        while at < end:
            common = _COMMON_TYPES.get(data[at : at + 2])
            layout = _COMMON_LIVE if common is not None and common[2] else _COMMON
            start = at + layout.size
            if common is not None and data[start - 1] < 0x80:
                name, priority, is_live = common
                _, _, message_id, high, low, size = layout.unpack_from(data, at)
                if not (high or low) or (not is_live and message_id.startswith(LIVE_EPOCH)):
                    raise _bad("an id of no epoch, or a time of zero")
                if is_live:
                    message_id = LIVE_EPOCH + message_id
                at = start + size
                payload = data[start:at]
                time_ms = high << 32 | low
                items.append(
                    Message(message_id, name, payload, source, destination, priority, time_ms)
                )
            elif data[at] in SKIPPED:
                size, at = take_varint(data, at + 2)
                at += size
            elif data[at] in _CONTROLS:
                control, at = _control(data, at)
                items.append(control)
            else:
                head, at = decode_head(data, at)
                size, start = take_varint(data, at)
                at = start + size
                items.append(head.message(data[start:at], source, destination))
    except IndexError as error:
        raise _bad("cut off") from error
    if at != end:
        raise _bad("cut off")
    return items


def decode_head(data: bytes, at: int) -> tuple[Head, int]:
    """Return the head of a mesh or application message at `at`, and where it ends.

    Raises:
        RemoteProtocolError: as `decode`.
        IndexError: it is cut off.
    """
    number, flags = data[at], data[at + 1]
    at += 2
    kind = APPLICATION_TYPES.get(number)
    if kind is None:
        if number != NAMED:
            return _mesh_head(number, flags), at
        kind, at = _name(data, at)
    if flags & ~_APPLICATION_FLAGS:
        raise _flags(flags)
    if flags & FLAG_LIVE:
        message_id = LIVE_EPOCH + data[at : at + 8]
        at += 8
    else:
        message_id = data[at : at + 16]
        at += 16
        if message_id.startswith(LIVE_EPOCH):
            raise _bad("an id of no epoch in more bytes than it needs")
    timestamp_ms = 0
    if flags & FLAG_TIMESTAMP:
        timestamp_ms = int.from_bytes(data[at : at + 6], "big")
        at += 6
        if not timestamp_ms:
            raise _bad("a time of zero")
    if at > len(data):
        raise IndexError
    return Head(kind, flags, MessageId(message_id), timestamp_ms), at


def _mesh_head(number: int, flags: int) -> Head:
    kind = MESH_TYPES.get(number)
    if kind is None:
        raise RemoteProtocolError(
            Refusal.PROTOCOL,
            f"a message of the unknown type {number}",
            "the peer may run a newer version: update this node",
        )
    if flags & ~PRIORITY_BITS:
        raise _flags(flags)
    return Head(kind, flags, NO_ID, 0)


def _name(data: bytes, at: int) -> tuple[str, int]:
    size, at = take_varint(data, at)
    try:
        name = data[at : at + size].decode()
    except UnicodeDecodeError as error:
        raise _bad("a type that is no text") from error
    if not is_name(name):
        raise _bad("a type by a name that it may not have")
    return name, at + size


def _control(data: bytes, at: int) -> tuple[Control, int]:
    kind, flags = _CONTROLS[data[at]], data[at + 1]
    if flags & ~_CONTROL_FLAGS[kind]:
        raise _flags(flags)
    size, at = take_varint(data, at + 2)
    return Control(kind, flags, data[at : at + size]), at + size


def take_varint(data: bytes, at: int, max_bytes: int = MAX_VARINT_BYTES) -> tuple[int, int]:
    """Return the varint at `at` and where it ends.

    Args:
        max_bytes: more are refused; each holds 7 bits.

    Raises:
        RemoteProtocolError: BAD_BODY: it is not in its shortest form, or has too many bytes.
        IndexError: it is cut off.
    """
    value = 0
    for place in range(max_bytes):
        byte = data[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            if not byte and place:
                raise _bad("a number in more bytes than it needs")
            return value, at + place + 1
    raise _bad("a number out of range")


def _flags(flags: int) -> RemoteProtocolError:
    if flags & FLAG_COMPRESSED:
        return RemoteProtocolError(
            Refusal.PROTOCOL, "a compressed message, which was not agreed on"
        )
    return RemoteProtocolError(Refusal.PROTOCOL, f"a message with unknown flags {flags:#04x}")


def _bad(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(Refusal.BAD_BODY, f"malformed messages: {what}")

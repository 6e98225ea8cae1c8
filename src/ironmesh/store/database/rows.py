"""The sealed parts of a row, as bytes."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final, NamedTuple

from ironmesh.delivery.records import InboxRow, OutboxState
from ironmesh.types import Message, MessageId, MessagePriority, NodeId

EPOCH_BYTES: Final = 8
"""A message id is an epoch and then a number of as many bytes."""

STATE_NUMBERS: Final = {
    OutboxState.QUEUED: 0,
    OutboxState.SENT: 1,
    OutboxState.DELIVERED: 2,
    OutboxState.HELD: 3,
    OutboxState.REFUSED: 4,
    OutboxState.EXPIRED: 5,
    OutboxState.EVICTED: 6,
    OutboxState.CANCELLED: 7,
}
STATES: Final = {number: state for state, number in STATE_NUMBERS.items()}

_PRIORITY_NUMBERS: Final = {
    MessagePriority.LOW: 0,
    MessagePriority.NORMAL: 1,
    MessagePriority.HIGH: 2,
    MessagePriority.CRITICAL: 3,
}
_PRIORITIES: Final = {number: priority for priority, number in _PRIORITY_NUMBERS.items()}
SMALL_BYTES: Final = 1024
"""Type and payload of at most so much lie in the head of the row: one seal costs less than two."""
_WITH_PAYLOAD: Final = 0x80
"""In the byte of the priority: a length and the type follow, then the payload."""

_INT: Final = struct.Struct(">q")
_SIZE: Final = struct.Struct(">H")
_INBOX: Final = struct.Struct(">16s16s16s16sB?Q")


def identity(number: int, rest: bytes = b"") -> bytes:
    """Return which row it is; a sealed value is bound to one byte for its kind, and this."""
    return _INT.pack(number) + rest


@lru_cache(maxsize=1024)
def node_bytes(node_id: NodeId) -> bytes:
    """Return a node id as 16 bytes.

    Raises:
        ValueError: it is none.
    """
    data = bytes.fromhex(node_id)
    if len(data) != 16:
        raise ValueError(f"{node_id!r} is not a node id")
    return data


def node_id(data: bytes) -> NodeId:
    """Return a node id from its 16 bytes."""
    return NodeId(data.hex())


def split_id(message_id: MessageId) -> tuple[bytes, bytes]:
    """Return epoch and number of an id, 8 bytes each.

    Raises:
        ValueError: it is not 16 bytes long.
    """
    if len(message_id) != 2 * EPOCH_BYTES:
        raise ValueError(f"a message id of {len(message_id)} bytes")
    return message_id[:EPOCH_BYTES], message_id[EPOCH_BYTES:]


class OutboxHead(NamedTuple):
    """What is sealed with the head of a message of ours."""

    type: str
    priority: MessagePriority
    payload: bytes | None
    """None = it lies by itself."""


def outbox_parts(
    message_type: str, priority: MessagePriority, payload: bytes
) -> tuple[bytes, bytes | None]:
    """Encode what only the node itself may know of a message of ours.

    Returns:
        The head, and the payload unless that lies in the head.
    """
    if len(message_type) + len(payload) > SMALL_BYTES:
        return bytes((_PRIORITY_NUMBERS[priority],)) + message_type.encode(), payload
    return _small_outbox_head(message_type, priority) + payload, None


@lru_cache(maxsize=256)
def _small_outbox_head(message_type: str, priority: MessagePriority) -> bytes:
    kind = message_type.encode()
    return bytes((_PRIORITY_NUMBERS[priority] | _WITH_PAYLOAD,)) + _SIZE.pack(len(kind)) + kind


def read_outbox_head(head: bytes) -> OutboxHead:
    """Decode the head of `outbox_parts`."""
    kind, payload = _read_type(head[0], head[1:])
    return OutboxHead(kind, _PRIORITIES[head[0] & ~_WITH_PAYLOAD], payload)


def _read_type(first: int, rest: bytes) -> tuple[str, bytes | None]:
    if not first & _WITH_PAYLOAD:
        return rest.decode(), None
    end = _SIZE.size + _SIZE.unpack_from(rest)[0]
    return rest[_SIZE.size : end].decode(), rest[end:]


class InboxHead(NamedTuple):
    """What is sealed with the head of an arrived message."""

    id: MessageId
    source: NodeId
    destination: NodeId
    via: NodeId
    priority: MessagePriority
    is_foreign: bool
    timestamp_ms: int
    type: str
    payload: bytes | None
    """None = it lies by itself."""

    def with_payload(self, payload: bytes) -> Message:
        """Return the message."""
        return Message(
            self.id,
            self.type,
            payload,
            self.source,
            self.destination,
            self.priority,
            self.timestamp_ms,
        )


def inbox_parts(row: InboxRow) -> tuple[bytes, bytes | None]:
    """Encode what only the node itself may know of an arrived message.

    Returns:
        The head, which begins with the id and the source, and the payload unless that lies in it.

    Raises:
        ValueError: an id is malformed.
        struct.error: a number is out of range.
    """
    message, payload = row.message, row.message.payload
    split_id(message.id)
    kind = message.type.encode()
    is_small = len(kind) + len(payload) <= SMALL_BYTES
    head = _INBOX.pack(
        message.id,
        node_bytes(message.source),
        node_bytes(message.destination),
        node_bytes(row.via),
        _PRIORITY_NUMBERS[message.priority] | (_WITH_PAYLOAD if is_small else 0),
        row.is_foreign,
        message.timestamp_ms,
    )
    if is_small:
        return b"".join((head, _SIZE.pack(len(kind)), kind, payload)), None
    return head + kind, payload


def read_inbox_head(head: bytes) -> InboxHead:
    """Decode the head of `inbox_parts`."""
    message_id, source, destination, via, priority, is_foreign, timestamp_ms = _INBOX.unpack_from(
        head
    )
    kind, payload = _read_type(priority, head[_INBOX.size :])
    return InboxHead(
        MessageId(message_id),
        node_id(source),
        node_id(destination),
        node_id(via),
        _PRIORITIES[priority & ~_WITH_PAYLOAD],
        is_foreign,
        timestamp_ms,
        kind,
        payload,
    )

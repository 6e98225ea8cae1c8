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

PRIORITY_NUMBERS: Final = {
    MessagePriority.LOW: 0,
    MessagePriority.NORMAL: 1,
    MessagePriority.HIGH: 2,
    MessagePriority.CRITICAL: 3,
}
PRIORITIES: Final = {number: priority for priority, number in PRIORITY_NUMBERS.items()}
_INT: Final = struct.Struct(">q")
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


@lru_cache(maxsize=256)
def outbox_head(message_type: str, priority: MessagePriority) -> bytes:
    """Encode what only the node itself may know of a message of ours."""
    return bytes((PRIORITY_NUMBERS[priority],)) + message_type.encode()


def read_outbox_head(head: bytes) -> tuple[str, MessagePriority]:
    """Decode `outbox_head`."""
    return head[1:].decode(), PRIORITIES[head[0]]


class InboxHead(NamedTuple):
    """All of an arrived message that is sealed, but its payload."""

    id: MessageId
    source: NodeId
    destination: NodeId
    via: NodeId
    priority: MessagePriority
    is_foreign: bool
    timestamp_ms: int
    type: str

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


def inbox_head(row: InboxRow) -> bytes:
    """Encode what only the node itself may know of an arrived message.

    Raises:
        ValueError: an id is malformed.
        struct.error: a number is out of range.
    """
    message = row.message
    split_id(message.id)
    return (
        _INBOX.pack(
            message.id,
            node_bytes(message.source),
            node_bytes(message.destination),
            node_bytes(row.via),
            PRIORITY_NUMBERS[message.priority],
            row.is_foreign,
            message.timestamp_ms,
        )
        + message.type.encode()
    )


def read_inbox_head(head: bytes) -> InboxHead:
    """Decode `inbox_head`."""
    message_id, source, destination, via, priority, is_foreign, timestamp_ms = _INBOX.unpack_from(
        head
    )
    return InboxHead(
        MessageId(message_id),
        node_id(source),
        node_id(destination),
        node_id(via),
        PRIORITIES[priority],
        is_foreign,
        timestamp_ms,
        head[_INBOX.size :].decode(),
    )

"""What the store tells people of messages."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ironmesh.delivery.records import OutboxRow, OutboxState
from ironmesh.types import MessageId, MessagePriority, NodeId


class Direction(StrEnum):
    """Which way a message went."""

    SENT = "sent"
    RECEIVED = "received"


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message as history shows it, without its payload."""

    direction: Direction
    id: MessageId
    peer: NodeId
    """Its destination, or its source."""
    type: str
    priority: MessagePriority
    size_bytes: int
    wall: float
    """When it was accepted, or arrived: seconds since 1970."""
    state: OutboxState | None = None
    """Of a message of ours."""
    is_handled: bool | None = None
    """Of an arrived message: its handler is done."""
    ended_wall: float | None = None
    reason: str = ""


class SentMessage(msgspec.Struct, frozen=True, gc=False):
    """A message of ours, whole."""

    row: OutboxRow
    payload: bytes

"""What the store tells people of messages."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol, runtime_checkable

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


@runtime_checkable
class Archive(Protocol):
    """What a store that people can look into answers; see `SqliteStore`."""

    async def history(
        self,
        *,
        peer: NodeId | None = None,
        direction: Direction | None = None,
        since_wall: float = 0.0,
        limit: int = 100,
    ) -> list[HistoryEntry]:
        """Return messages of both directions, the newest first."""
        ...

    async def outbox(
        self, *, destination: NodeId | None = None, limit: int = 10_000
    ) -> list[OutboxRow]:
        """Return messages of ours that have not ended, the oldest first."""
        ...

    async def sent(self, message_id: MessageId) -> SentMessage | None:
        """Return a message of ours, ended or not; None if there is none of this id."""
        ...

    async def sent_like(self, beginning: str, limit: int) -> list[MessageId]:
        """Return ids of messages of ours that begin like this, in hexadecimal."""
        ...

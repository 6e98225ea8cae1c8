"""What the promise is kept with: rows of the outbox and the inbox, and the store behind them.

The machines of this room decide; a `DeliveryStore` makes it last. A batch is one transaction: when
`commit` returns, all of it is on disk; when the process dies before, none of it may be.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from ironmesh.types import Message, MessageId, MessagePriority, NodeId

DEFAULT_LIFETIME_S: Final = 24 * 3600.0
"""How long a message may take."""


class OutboxState(StrEnum):
    """What has happened to a message of ours."""

    QUEUED = "queued"
    """On disk; it goes, and goes again, until it ends."""
    SENT = "sent"
    """Written to a peer that cannot confirm (a published node). An end."""
    DELIVERED = "delivered"
    """On disk at its destination. An end."""
    HELD = "held"
    """At its destination, waiting for its operator; `delivered` or `refused` may follow."""
    REFUSED = "refused"
    """Its destination, or its wire, will not take it. An end."""
    EXPIRED = "expired"
    """Its lifetime is over. An end."""
    EVICTED = "evicted"
    """More urgent messages needed its place. An end."""
    CANCELLED = "cancelled"
    """Its sender or operator took it back. An end."""

    @property
    def is_end(self) -> bool:
        """Nothing follows."""
        return self not in (OutboxState.QUEUED, OutboxState.HELD)


class OutboxRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message of ours: outbox and history are one row. Everything but the payload."""

    id: MessageId
    destination: NodeId
    type: str
    priority: MessagePriority
    size_bytes: int
    accepted_wall: float
    """When `send` took it, seconds since 1970."""
    lifetime_s: float
    """What was left of its lifetime at `as_of_wall`."""
    as_of_wall: float
    state: OutboxState = OutboxState.QUEUED
    attempts: int = 0
    ended_wall: float | None = None
    reason: str = ""
    """Why it was refused, for people."""


class InboxRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message for us, as it was committed; the payload is in `message`."""

    sequence: int
    """Counts up over all sources: the order in which handlers get them. Given by the machine."""
    message: Message
    via: NodeId
    arrived_wall: float
    is_foreign: bool
    """A published node made its id: remembered for 25 hours, not by epoch and floor."""
    is_redelivered: bool = False
    """Its handler may have seen it before."""


# --- What a batch may hold ------------------------------------------------------------------------


class PutOutbox(msgspec.Struct, frozen=True, gc=False):
    """Take new messages of ours in, with their payloads, and note the numbers they used up."""

    rows: tuple[tuple[OutboxRow, bytes], ...]


class UpdateOutbox(msgspec.Struct, frozen=True, gc=False):
    """Note a new state of one message of ours; an ended one stays as history."""

    id: MessageId
    destination: NodeId
    state: OutboxState
    ended_wall: float | None = None
    reason: str = ""
    attempts: int | None = None


class EndOutbox(msgspec.Struct, frozen=True, gc=False):
    """Note that messages of ours to one destination ended alike; they stay as history."""

    ids: tuple[MessageId, ...]
    destination: NodeId
    state: OutboxState
    ended_wall: float
    reason: str
    attempts: int


class PutInbox(msgspec.Struct, frozen=True, gc=False):
    """Take arrived messages in, and remember their ids."""

    rows: tuple[InboxRow, ...]


class MarkHandled(msgspec.Struct, frozen=True, gc=False):
    """Their handlers are done; they stay as history."""

    sequences: tuple[int, ...]


class SetFloor(msgspec.Struct, frozen=True, gc=False):
    """All ids of a source's epoch below `number` are settled: they need not be remembered."""

    source: NodeId
    epoch: bytes
    number: int
    used_wall: float


class ForgetEpochs(msgspec.Struct, frozen=True, gc=False):
    """Forget epochs of sources that were not used since, and foreign ids that arrived before."""

    epochs_unused_since_wall: float
    foreign_before_wall: float


class PruneHistory(msgspec.Struct, frozen=True, gc=False):
    """Remove ended messages of ours and handled ones of others from before a moment."""

    before_wall: float


class ShiftClock(msgspec.Struct, frozen=True, gc=False):
    """The wall clock was moved: move along all by which things age.

    That is `as_of_wall` of messages of ours that have not ended, `used_wall` of epochs, and
    `arrived_wall` of the remembered ids of published nodes; not what people read.
    """

    shift_s: float


StoreOp = (
    PutOutbox
    | UpdateOutbox
    | EndOutbox
    | PutInbox
    | MarkHandled
    | SetFloor
    | ForgetEpochs
    | PruneHistory
    | ShiftClock
)


# --- What a start finds ---------------------------------------------------------------------------


class EpochRecord(msgspec.Struct, frozen=True, gc=False):
    """Our numbering toward one destination."""

    destination: NodeId
    epoch: bytes
    """8 bytes, random."""
    next_number: int


class SourceRecord(msgspec.Struct, frozen=True, gc=False):
    """What is remembered of one epoch of a source."""

    source: NodeId
    epoch: bytes
    floor: int
    numbers: tuple[int, ...]
    """Those at or above the floor that arrived."""
    used_wall: float


class ForeignId(msgspec.Struct, frozen=True, gc=False):
    """An id of a published node."""

    source: NodeId
    id: MessageId
    arrived_wall: float


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """Everything that the machines need at a start; payloads of the outbox are not in it."""

    outbox: tuple[OutboxRow, ...] = ()
    """Rows that have not ended, oldest first."""
    epochs: tuple[EpochRecord, ...] = ()
    unhandled: tuple[InboxRow, ...] = ()
    """In order; those whose handler may have seen them are marked `is_redelivered`."""
    sources: tuple[SourceRecord, ...] = ()
    foreign: tuple[ForeignId, ...] = ()
    next_sequence: int = 1


class DeliveryStore(Protocol):
    """Makes batches last. One node, one store; all but notes come from the node's loop."""

    async def load(self) -> Snapshot:
        """Return what a start finds; call it once, first."""
        ...

    def commit(self, batch: Sequence[StoreOp]) -> Awaitable[None]:
        """Make a batch last; batches take effect in the order of the calls.

        Raises:
            StoreError: it did not; a full disk is `StoreFullError`. Nothing of it took effect.
        """
        ...

    async def payloads(self, ids: Sequence[tuple[NodeId, MessageId]]) -> list[bytes | None]:
        """Return the payloads of messages of ours by destination and id; None where gone."""
        ...

    def note_started(self, sequence: int, *, after: int | None = None) -> None:
        """The handler of this message begins: a plain write, not flushed; from any thread.

        Args:
            after: the handler of that one is done, which is part of the same write.
        """
        ...

    def note_completed(self, sequence: int) -> None:
        """The handler of this message is done: a plain write, not flushed; from any thread."""
        ...

    async def close(self) -> None:
        """Finish what was committed and free every file."""
        ...

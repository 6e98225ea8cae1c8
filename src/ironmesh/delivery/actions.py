"""What goes into the machines of this room from above, and what they ask their shell to do."""

from __future__ import annotations

from typing import Final

import msgspec

from ironmesh.delivery.records import DEFAULT_LIFETIME_S, InboxRow, OutboxState, StoreOp
from ironmesh.types import Message, MessageId, MessagePriority, NodeId
from ironmesh.wire.receipts import Floor, Receipt

MAX_LIFETIME_S: Final = 14 * 24 * 3600.0
"""Half of what a destination remembers ids for: no late copy can meet a forgotten id."""


class Draft(msgspec.Struct, frozen=True, gc=False):
    """A message that an application wants to send."""

    destination: NodeId
    type: str
    payload: bytes
    priority: MessagePriority = MessagePriority.NORMAL
    lifetime_s: float = DEFAULT_LIFETIME_S


class Accepted(msgspec.Struct, frozen=True):
    """Drafts got their ids: commit `ops`, then call `committed` or `commit_failed` with the ids."""

    ids: tuple[MessageId, ...]
    """One for each draft, in their order."""
    ops: tuple[StoreOp, ...]


# --- Actions of the outbox ------------------------------------------------------------------------


class Commit(msgspec.Struct, frozen=True):
    """Commit `ops`; then call `committed`, or `commit_failed`, with the ids, if there are any."""

    ops: tuple[StoreOp, ...]
    ids: tuple[MessageId, ...] = ()
    can_wait: bool = False
    """It may be part of a commit a little later: if it is lost, it is only learnt once more."""


class Load(msgspec.Struct, frozen=True):
    """Read these payloads; then call `loaded`, or `load_failed`. Nothing else goes to the peer."""

    peer: NodeId
    ids: tuple[MessageId, ...]


class Transmit(msgspec.Struct, frozen=True):
    """Give these to the link in this order; call `written` when the transport has them."""

    peer: NodeId
    messages: tuple[Message, ...]


class SendFloor(msgspec.Struct, frozen=True):
    """Tell a peer which of our ids are settled: before the messages of later actions."""

    peer: NodeId
    floor: Floor


class Settled(msgspec.Struct, frozen=True):
    """Messages of ours reached a new state; but for HELD it is their last one."""

    peer: NodeId
    ids: tuple[MessageId, ...]
    state: OutboxState
    reason: str = ""


class ForgedReceipt(msgspec.Struct, frozen=True):
    """A peer spoke about messages that are not addressed to it. Ignored; worth an audit event."""

    peer: NodeId
    ids: tuple[MessageId, ...]


OutboxAction = Commit | Load | Transmit | SendFloor | Settled | ForgedReceipt


# --- Answers of the inbox -------------------------------------------------------------------------


class SendReceipt(msgspec.Struct, frozen=True):
    """Tell a peer what became of its messages."""

    peer: NodeId
    receipt: Receipt


class Arrival(msgspec.Struct, frozen=True):
    """What became of messages that arrived; new ones are in the next batch."""

    receipts: tuple[SendReceipt, ...] = ()
    """To send at once: repeated messages are receipted again, refused ones are told."""
    new: int = 0
    duplicates: int = 0
    refused: int = 0


class Batch(msgspec.Struct, frozen=True):
    """Commit `ops`, then hand the batch back to `committed` or `commit_failed`."""

    ops: tuple[StoreOp, ...]
    rows: tuple[InboxRow, ...]


class Ready(msgspec.Struct, frozen=True):
    """What a finished commit of the inbox leads to."""

    receipts: tuple[SendReceipt, ...] = ()
    rows: tuple[InboxRow, ...] = ()
    """For handlers, in the order of `sequence`."""

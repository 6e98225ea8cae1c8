"""One message of ours that has not ended, as the outbox keeps it in memory."""

from __future__ import annotations

from enum import Enum
from typing import Final

from ironmesh.delivery.records import OutboxRow, OutboxState, UpdateOutbox
from ironmesh.types import PRIORITIES
from ironmesh.wire.receipts import split_id

RANKS: Final = {priority: rank for rank, priority in enumerate(PRIORITIES)}
"""0 is the most urgent."""


class Stage(Enum):
    """Where a message of ours is."""

    ACCEPTED = "accepted"
    """Its first commit is under way."""
    READY = "ready"
    """On disk; waits for a link, or for room in its window."""
    LOADING = "loading"
    """In the window; its payload is being read."""
    ON_WIRE = "on_wire"
    """In the window; the shell has it."""
    HELD = "held"
    """At its destination, which has not decided."""
    YIELDING = "yielding"
    """Out of the queue for a more urgent one, whose first commit is under way."""
    ENDED = "ended"
    """Its end is known; the commit of it may be under way."""


class Entry:
    """A message of ours.

    Args:
        row: as it is on disk.
        order: counts up over all messages of this run.
        expires_at: monotonic seconds.
        payload: None = to be read from the store when its turn comes.
    """

    __slots__ = (
        "attempts",
        "end",
        "expires_at",
        "is_fresh",
        "is_gone",
        "is_saved",
        "number",
        "order",
        "payload",
        "rank",
        "row",
        "stage",
        "tries",
        "victims",
        "written_at",
        "written_no",
    )

    def __init__(
        self, row: OutboxRow, order: int, expires_at: float, payload: bytes | None = None
    ) -> None:
        self.row = row
        self.order = order
        self.expires_at = expires_at
        self.payload = payload
        self.number = split_id(row.id)[1]
        self.rank = RANKS[row.priority]
        self.stage = Stage.ACCEPTED
        self.is_fresh = True
        """It was not transmitted in this run."""
        self.is_saved = False
        """It is on disk."""
        self.is_gone = False
        """Its number is settled for good: its end is on disk, or it never was itself."""
        self.attempts = 0
        """Transmissions in this run."""
        self.tries = 0
        """Transmissions since the link came up."""
        self.written_at: float | None = None
        self.written_no = 0
        self.victims: tuple[Entry, ...] = ()
        """Those that make room for it."""
        self.end: UpdateOutbox | None = None

    @property
    def is_being_cancelled(self) -> bool:
        """It is taken back, which is told once it is on disk."""
        return self.end is not None and self.end.state is OutboxState.CANCELLED

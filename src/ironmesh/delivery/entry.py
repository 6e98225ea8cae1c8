"""One message of ours that has not ended, as the outbox keeps it in memory."""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec

from ironmesh.delivery.records import OutboxRow, OutboxState
from ironmesh.types import PRIORITIES

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


class End(msgspec.Struct, frozen=True, gc=False):
    """How messages ended."""

    state: OutboxState
    wall: float
    """Seconds since 1970."""
    reason: str


class Entry(msgspec.Struct, eq=False, gc=False):
    """A message of ours; two are never equal. Those it holds are older: there are no circles."""

    row: OutboxRow
    """As it is on disk."""
    order: int
    """Counts up over all messages of this run."""
    number: int
    """The number in its id."""
    rank: int
    """Of its priority; 0 is the most urgent."""
    expires_at: float
    """Monotonic seconds."""
    payload: bytes | None
    """None = to be read from the store when its turn comes."""
    stage: Stage = Stage.ACCEPTED
    is_fresh: bool = True
    """It was not transmitted in this run."""
    is_saved: bool = False
    """It is on disk."""
    is_gone: bool = False
    """Its number is settled for good: its end is on disk, or it never was itself."""
    attempts: int = 0
    """Transmissions in this run."""
    tries: int = 0
    """Transmissions since the link came up."""
    written_at: float | None = None
    written_no: int = 0
    victims: tuple[Entry, ...] = ()
    """Those that make room for it."""
    end: End | None = None

    @property
    def is_being_cancelled(self) -> bool:
        """It is taken back, which is told once it is on disk."""
        return self.end is not None and self.end.state is OutboxState.CANCELLED

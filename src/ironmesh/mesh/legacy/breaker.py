"""Neighbours that fail again and again are left alone for a while (10.3)."""

from __future__ import annotations

from typing import Final

from ironmesh.types import NodeId

FAILURES: Final = 3
WITHIN_S: Final = 60.0
OPEN_S: Final = 60.0


class Breaker:
    """One circuit breaker for each neighbour; `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._failures: dict[NodeId, list[float]] = {}
        self._open_until: dict[NodeId, float] = {}

    def failed(self, neighbour: NodeId, now: float) -> bool:
        """Count a frame that this neighbour did not take; True if that opens its breaker."""
        if self.is_open(neighbour, now):
            return False
        recent = [at for at in self._failures.get(neighbour, ()) if at > now - WITHIN_S]
        self._failures[neighbour] = recent = [*recent, now]
        if len(recent) < FAILURES:
            return False
        del self._failures[neighbour]
        self._open_until[neighbour] = now + OPEN_S
        return True

    def is_open(self, neighbour: NodeId, now: float) -> bool:
        """Tell whether nothing is passed on to this neighbour now."""
        return now < self._open_until.get(neighbour, now)

    def forget(self, neighbour: NodeId) -> None:
        """The session with a neighbour ended: the next one starts afresh."""
        self._failures.pop(neighbour, None)
        self._open_until.pop(neighbour, None)

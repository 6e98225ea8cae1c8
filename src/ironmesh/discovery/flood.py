"""Keeps a flood of announcements from becoming work: at most 10 events a second are looked at.

What is over the rate waits; there is one place for each instance name, and a fixed number of them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

EVENTS_PER_S: Final = 10.0
BURST: Final = 10
MAX_WAITING: Final = 256


class Change(StrEnum):
    """What happened to an instance."""

    SEEN = "seen"
    GONE = "gone"


class FloodGate:
    """A token bucket with a bounded waiting room; `now` is monotonic seconds."""

    def __init__(
        self,
        *,
        rate: float = EVENTS_PER_S,
        burst: int = BURST,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._max_waiting = max_waiting
        self._tokens = float(burst)
        self._filled_at = 0.0
        self._waiting: dict[str, Change] = {}

    def offer(self, instance: str, change: Change) -> bool:
        """Let an event wait; of several for one instance the latest counts.

        Returns:
            False if there is no room: the event is dropped.
        """
        if instance not in self._waiting and len(self._waiting) >= self._max_waiting:
            return False
        self._waiting[instance] = change
        return True

    def take(self, now: float) -> tuple[str, Change] | None:
        """Return the event that waited longest, or None if none may be looked at yet."""
        self._fill(now)
        if not self._waiting or self._tokens < 1.0:
            return None
        self._tokens -= 1.0
        instance = next(iter(self._waiting))
        return instance, self._waiting.pop(instance)

    def wait_s(self, now: float) -> float | None:
        """Return after how many seconds `take` has an event; None if none waits."""
        if not self._waiting:
            return None
        self._fill(now)
        return max(0.0, (1.0 - self._tokens) / self._rate)

    def _fill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now

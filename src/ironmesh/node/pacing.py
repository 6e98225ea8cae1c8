"""A token bucket that says when the next frames may go, so that a peer's limit is never met."""

from __future__ import annotations

from typing import Final

UNLIMITED: Final = 1 << 30


class Pacer:
    """Spreads frames over time: `burst` at once, then `rate` each second. Pure; `now` is given.

    Args:
        rate: frames each second; 0 = no limit.
        burst: frames that may go at once after a pause.
    """

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self._rate = rate
        self._burst = float(max(burst, 1))
        self._tokens = self._burst
        self._at = now

    def available(self, now: float) -> int:
        """Return how many frames may go at `now`."""
        if self._rate <= 0:
            return UNLIMITED
        self._refill(now)
        return int(self._tokens + 1e-9)

    def spend(self, frames: int, now: float) -> None:
        """Count frames that went; control frames may overdraw."""
        if self._rate > 0:
            self._refill(now)
            self._tokens -= frames

    def next_at(self, now: float) -> float:
        """Return when at least one frame may go."""
        if self._rate <= 0:
            return now
        self._refill(now)
        return now + max(0.0, (1.0 - self._tokens) / self._rate)

    def _refill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = now

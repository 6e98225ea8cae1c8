"""How many events of one kind the log takes, so that nobody can fill the disk with them."""

from __future__ import annotations

from typing import Final

import msgspec

from ironmesh.audit.events import AuditEvent
from ironmesh.types import Instant

BURST: Final = 100
PER_MINUTE: Final = 20.0
SUMMARY_S: Final = 60.0
"""How long suppressed events of one kind are counted before a record tells their number."""


class Suppressed(msgspec.Struct, frozen=True):
    """Events that were not written one by one."""

    event: AuditEvent
    count: int
    since: Instant
    """When the first of them came."""


class _Bucket(msgspec.Struct):
    tokens: float
    filled_at: float
    suppressed: int = 0
    since: Instant | None = None


class EventLimiter:
    """A token bucket for each kind of event.

    Args:
        burst: events of one kind that are written at once.
        per_minute: events of one kind that are written in the long run.
    """

    def __init__(self, burst: int = BURST, per_minute: float = PER_MINUTE) -> None:
        self._burst = float(burst)
        self._per_second = per_minute / 60
        self._buckets: dict[AuditEvent, _Bucket] = {}

    def admit(self, event: AuditEvent, now: Instant) -> bool:
        """Tell whether this event is written; if not, count it."""
        bucket = self._buckets.setdefault(event, _Bucket(self._burst, now.mono))
        gained = (now.mono - bucket.filled_at) * self._per_second
        bucket.tokens = min(self._burst, bucket.tokens + gained)
        bucket.filled_at = now.mono
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return True
        bucket.suppressed += 1
        bucket.since = bucket.since or now
        return False

    def take_suppressed(self, now: Instant, *, all_kinds: bool = False) -> list[Suppressed]:
        """Return, once, what was suppressed and is due to be told.

        Args:
            now: the present.
            all_kinds: also what was counted for less than a minute.
        """
        due: list[Suppressed] = []
        for event, bucket in self._buckets.items():
            since = bucket.since
            if since is not None and (all_kinds or now.mono >= since.mono + SUMMARY_S):
                due.append(Suppressed(event, bucket.suppressed, since))
                bucket.suppressed, bucket.since = 0, None
        return due

"""The replay guard of one direction under one session key (wire specification, section 5.4)."""

from __future__ import annotations

from typing import Final

from ironmesh.errors import RemoteProtocolError
from ironmesh.types import Refusal
from ironmesh.wire.legacy.constants import MAX_SEQUENCE

MAX_AGE_S: Final = 30.0
MAX_AHEAD_S: Final = 5.0


class ReplayGuard:
    """Accepts rising sequence numbers with fresh timestamps; gaps are allowed."""

    __slots__ = ("_highest", "_limit")

    def __init__(self, limit: int = MAX_SEQUENCE) -> None:
        self._highest = 0
        self._limit = limit

    def accept(self, sequence: int, timestamp_s: float, wall: float) -> None:
        """Take one frame's number and time; a refused one leaves no trace.

        Args:
            timestamp_s: when the originator made it, by its clock.
            wall: now, by ours.

        Raises:
            RemoteProtocolError: CLOCK_SKEW with the offset in seconds, or REPLAY.
        """
        age = wall - timestamp_s
        if not -MAX_AHEAD_S <= age <= MAX_AGE_S:
            raise RemoteProtocolError(
                Refusal.CLOCK_SKEW,
                f"clock offset {-age:+.1f} s",
                "set the clocks of both machines (NTP)",
            )
        if not self._highest < sequence <= self._limit:
            raise RemoteProtocolError(
                Refusal.REPLAY, f"sequence {sequence} after {self._highest}, limit {self._limit}"
            )
        self._highest = sequence

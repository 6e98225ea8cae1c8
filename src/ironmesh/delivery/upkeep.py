"""What the store forgets with time, and what it must know when the wall clock is moved. Pure."""

from __future__ import annotations

from typing import Final

from ironmesh.delivery.records import ForgetEpochs, PruneHistory, ShiftClock, StoreOp
from ironmesh.types import Instant

LOOK_EVERY_S: Final = 60.0
FORGET_EVERY_S: Final = 3600.0
CLOCK_SLACK_S: Final = 30.0
"""Moves of the wall clock, against the monotonic one, that do not matter."""
EPOCH_LIFE_S: Final = 30 * 24 * 3600.0
"""For so long it is remembered what arrived from a source that nothing comes from."""
FOREIGN_LIFE_S: Final = 25 * 3600.0
"""For so long the ids of published nodes are remembered."""
HISTORY_LIFE_S: Final = 30 * 24 * 3600.0


class Upkeep:
    """Returns what to commit, call by call, at `next_timer`."""

    def __init__(self, now: Instant, history_life_s: float = HISTORY_LIFE_S) -> None:
        self._history_life_s = history_life_s
        self._offset = now.wall - now.mono
        self._forget_at = now.mono
        self.next_timer = now.mono
        """Monotonic seconds."""

    def timer(self, now: Instant) -> list[StoreOp]:
        """Return what is due, in one batch."""
        ops: list[StoreOp] = []
        self.next_timer = now.mono + LOOK_EVERY_S
        shift_s = now.wall - now.mono - self._offset
        if abs(shift_s) > CLOCK_SLACK_S:
            self._offset += shift_s
            ops.append(ShiftClock(shift_s))
        if now.mono >= self._forget_at:
            self._forget_at = now.mono + FORGET_EVERY_S
            ops.append(ForgetEpochs(now.wall - EPOCH_LIFE_S, now.wall - FOREIGN_LIFE_S))
            ops.append(PruneHistory(now.wall - self._history_life_s))
        return ops

    def commit_failed(self, ops: list[StoreOp]) -> None:
        """Nothing of it took effect: it comes again."""
        for op in ops:
            if isinstance(op, ShiftClock):
                self._offset -= op.shift_s
            else:
                self._forget_at = self.next_timer

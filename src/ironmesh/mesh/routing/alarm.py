"""Noticing that the mesh fell apart: most destinations were lost, and stay lost."""

from __future__ import annotations

from typing import Final

from ironmesh.mesh.routing.journal import NEVER
from ironmesh.mesh.routing.values import PartitionAlarm

_LEAST_LOST: Final = 3
_RECOVERED: Final = 0.75


class Alarm:
    """Watches the number of destinations that can be reached.

    Args:
        delay_s: how long half of them have to be lost.
    """

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._peak = 0
        self._is_raised = False
        self.due = NEVER

    def plan(self, reachable: int, now: float) -> None:
        """Look at a number of destinations."""
        self._peak = max(self._peak, reachable)
        if self._is_low(reachable):
            if not self._is_raised and self.due == NEVER:
                self.due = now + self._delay_s
            return
        self.due = NEVER
        if reachable >= self._peak * _RECOVERED:
            self._is_raised = False

    def timer(self, reachable: int, now: float) -> PartitionAlarm | None:
        """Return the alarm once it is time."""
        if now < self.due:
            return None
        self.due = NEVER
        self._is_raised = True
        return PartitionAlarm(self._peak - reachable, reachable)

    def settle(self, reachable: int) -> None:
        """Take what is left as the normal state, once it was said that it is little."""
        if self._is_raised:
            self._peak = reachable
            self._is_raised = False

    def _is_low(self, reachable: int) -> bool:
        return reachable * 2 < self._peak and self._peak - reachable >= _LEAST_LOST

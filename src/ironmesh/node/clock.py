"""Where the shell reads the time, so that tests can give it another one."""

from __future__ import annotations

import time
from typing import Protocol

from ironmesh.types import Instant


class Clock(Protocol):
    """A source of the current moment."""

    def now(self) -> Instant:
        """Return this moment on both clocks."""
        ...


class SystemClock:
    """The clocks of this machine."""

    def now(self) -> Instant:
        """Return this moment on both clocks."""
        return Instant(time.monotonic(), time.time())

"""Notices a peer that vanished without closing: pings it, and waits for any sign of life."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Heartbeat:
    """Two timers of one connection. Whatever arrives counts as a sign of life, not only a pong.

    Args:
        ping: send a ping.
        give_up: the peer is gone.
        is_deaf: we are not reading at the moment, so silence means nothing.
    """

    def __init__(
        self,
        ping: Callable[[], None],
        give_up: Callable[[], None],
        is_deaf: Callable[[], bool],
        *,
        interval_s: float,
        timeout_s: float,
    ) -> None:
        self._ping = ping
        self._give_up = give_up
        self._is_deaf = is_deaf
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._timer: asyncio.TimerHandle | None = None
        self._heard = False

    def start(self) -> None:
        """Ping from now on."""
        self._wait(self._interval_s, self._ask)

    def stop(self) -> None:
        """End; may be called twice, and before `start`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def heard(self) -> None:
        """Something arrived from the peer."""
        self._heard = True

    def _ask(self) -> None:
        self._heard = False
        self._wait(self._timeout_s, self._judge)
        self._ping()

    def _judge(self) -> None:
        if self._is_deaf():
            self._wait(self._timeout_s, self._judge)
        elif self._heard:
            self._wait(self._interval_s - self._timeout_s, self._ask)
        else:
            self._timer = None
            self._give_up()

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, then)

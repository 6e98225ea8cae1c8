"""Notices a peer that vanished without closing: pings it, and waits for any sign of life."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ironmesh.transport.websocket.limits import Timing


class Heartbeat:
    """The timer of one connection. Whatever arrives counts as a sign of life, not only a pong.

    So of two ends that are equally patient one pings, and the other one need not.

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
    ) -> None:
        self._ping = ping
        self._give_up = give_up
        self._is_deaf = is_deaf
        self._timing = Timing()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._heard_at = 0.0
        self._asked_at = 0.0

    def start(self, timing: Timing) -> None:
        """Watch the peer from now on."""
        self._timing = timing
        self.heard()
        self._wait(timing.ping_interval_s, self._look)

    def stop(self) -> None:
        """End; may be called twice, and before `start`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def heard(self) -> None:
        """Something arrived from the peer."""
        self._heard_at = self._loop.time()

    def _look(self) -> None:
        """Ask a peer that was silent for long enough."""
        now = self._loop.time()
        rest_s = self._heard_at + self._timing.ping_interval_s - now
        if rest_s > 0:
            self._wait(rest_s, self._look)
        else:
            self._asked_at = now
            self._wait(self._timing.ping_timeout_s, self._judge)
            self._ping()

    def _judge(self) -> None:
        if self._heard_at >= self._asked_at:
            self._look()
        elif self._is_deaf():
            self._wait(self._timing.ping_timeout_s, self._judge)
            self._ping()  # we cannot read its pings: it is to know that we live
        else:
            self._timer = None
            self._give_up()

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        self._timer = self._loop.call_later(seconds, then)

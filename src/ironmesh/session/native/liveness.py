"""Signs of life: pings that name themselves, answers that are rationed, and silence."""

from __future__ import annotations

from collections import deque
from typing import Final

from ironmesh.errors import RemoteProtocolError
from ironmesh.session.native.limits import (
    LIVENESS_TIMEOUT_S,
    PING_INTERVAL_S,
    PONG_BURST,
    PONGS_PER_SECOND,
    RADIO_LIVENESS_TIMEOUT_S,
    RADIO_PING_INTERVAL_S,
    UNANSWERED_PINGS,
)
from ironmesh.types import Refusal
from ironmesh.wire.native.messages import encode_control
from ironmesh.wire.native.registry import ControlType

_NUMBER_BYTES: Final = 4


class Liveness:
    """Pings of one session, both ways."""

    __slots__ = (
        "_filled",
        "_heard",
        "_interval_s",
        "_is_ping_wanted",
        "_number",
        "_ping_due",
        "_pongs",
        "_timeout_s",
        "_tokens",
        "_unanswered",
    )

    def __init__(self, mono: float, *, is_radio: bool) -> None:
        self._interval_s = RADIO_PING_INTERVAL_S if is_radio else PING_INTERVAL_S
        self._timeout_s = RADIO_LIVENESS_TIMEOUT_S if is_radio else LIVENESS_TIMEOUT_S
        self._heard = mono
        self._ping_due = mono + self._interval_s
        self._is_ping_wanted = False
        self._number = 0
        self._unanswered: dict[bytes, float] = {}
        self._pongs: deque[bytes] = deque()
        self._tokens = float(PONG_BURST)
        self._filled = mono

    @property
    def has_control(self) -> bool:
        """A ping or an answer waits to be written."""
        return self._is_ping_wanted or bool(self._pongs)

    @property
    def next_timer(self) -> float:
        """When `on_timer` wants to be called."""
        return min(self._ping_due, self._heard + self._timeout_s)

    def hear(self, mono: float) -> None:
        """Something arrived."""
        self._heard = mono
        self._ping_due = mono + self._interval_s

    def ping(self) -> None:
        """Want a ping; several that wait are one."""
        self._is_ping_wanted = True

    def on_timer(self, mono: float) -> None:
        """Want the ping that is due.

        Raises:
            RemoteProtocolError: TIMEOUT: nothing arrived for too long.
        """
        if mono >= self._heard + self._timeout_s:
            raise RemoteProtocolError(
                Refusal.TIMEOUT, f"nothing arrived from the peer for {self._timeout_s:.0f} s"
            )
        if mono >= self._ping_due:
            self._ping_due = mono + self._interval_s
            self.ping()

    def take_controls(self, mono: float) -> list[bytes]:
        """Return the pings and answers to write now."""
        controls = [encode_control(ControlType.PONG, number) for number in self._pongs]
        self._pongs.clear()
        if self._is_ping_wanted:
            self._is_ping_wanted = False
            number = self._number.to_bytes(_NUMBER_BYTES, "big")
            self._number = (self._number + 1) % 2 ** (8 * _NUMBER_BYTES)
            while len(self._unanswered) >= UNANSWERED_PINGS:
                del self._unanswered[next(iter(self._unanswered))]
            self._unanswered[number] = mono
            self._ping_due = mono + self._interval_s
            controls.append(encode_control(ControlType.PING, number))
        return controls

    def on_ping(self, body: bytes, mono: float) -> bool:
        """Queue the answer to a ping; False if the peer pings more often than is answered.

        Raises:
            RemoteProtocolError: BAD_BODY: it has no number.
        """
        _check_number(body)
        gained = (mono - self._filled) * PONGS_PER_SECOND
        self._tokens = min(float(PONG_BURST), self._tokens + gained)
        self._filled = mono
        if self._tokens < 1:
            return False
        self._tokens -= 1
        self._pongs.append(body)
        return True

    def on_pong(self, body: bytes, mono: float) -> float | None:
        """Return the round trip in seconds; None for an answer that nobody waits for any more.

        Raises:
            RemoteProtocolError: BAD_BODY: it has no number.
        """
        _check_number(body)
        sent = self._unanswered.pop(body, None)
        return None if sent is None else mono - sent


def _check_number(body: bytes) -> None:
    if len(body) != _NUMBER_BYTES:
        raise RemoteProtocolError(Refusal.BAD_BODY, "a ping or an answer without its number")

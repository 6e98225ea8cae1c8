"""Limits and clocks of WebSocket connections: known without the library that makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_UNIT_BYTES: Final = 1_048_576
SEND_TIMEOUT_S: Final = 5.0
TLS_CLOSE_TIMEOUT_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Timing:
    """The clocks of a connection, in seconds; tests shorten them."""

    ping_interval_s: float = 20.0
    ping_timeout_s: float = 10.0
    send_timeout_s: float = SEND_TIMEOUT_S

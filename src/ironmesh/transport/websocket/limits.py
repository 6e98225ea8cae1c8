"""Limits and clocks of WebSocket connections: known without the library that makes them."""

from __future__ import annotations

from typing import Final

import msgspec

MAX_UNIT_BYTES: Final = 1_048_576
SEND_TIMEOUT_S: Final = 5.0
TLS_CLOSE_TIMEOUT_S: Final = 0.5


class Timing(msgspec.Struct, frozen=True):
    """The clocks of a connection, in seconds; tests shorten them."""

    ping_interval_s: float = 20.0
    """A peer that was silent for so long is pinged."""
    ping_timeout_s: float = 10.0
    """What it then has to give any sign of life."""
    send_timeout_s: float = SEND_TIMEOUT_S


DIALLING: Final = Timing(ping_interval_s=7.0, ping_timeout_s=7.0)
ACCEPTING: Final = Timing(ping_interval_s=8.0, ping_timeout_s=7.0)
"""Where both ends agreed on a subprotocol: a mesh has to know soon that a host is gone. One end
asks first, so that one ping and its answer show both of them that the other one lives."""

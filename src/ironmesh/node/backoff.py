"""How long to wait before dialling again. Pure."""

from __future__ import annotations

from typing import Final

CONNECT_BASE_S: Final = 1.0
"""First pause after nobody answered."""
REFUSED_BASE_S: Final = 5.0
"""First pause after somebody answered and the handshake failed."""
MAX_PAUSE_S: Final = 300.0


def pause_s(attempt: int, base_s: float, jitter: float) -> float:
    """Return the pause after the `attempt`-th failure in a row (1, 2, ...).

    Args:
        jitter: a random number from 0 to 1; spreads the pause over its upper half.
    """
    full = min(base_s * 2.0 ** min(attempt - 1, 16), MAX_PAUSE_S)
    return full * (0.5 + 0.5 * jitter)

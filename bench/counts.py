"""How much is measured, and the shape of what a measurement gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

IN_FLIGHT: Final = 64
LIVE_TIMES: Final = 5
"""Live messages of ours for each durable one: they are over too soon for a clock otherwise."""

Figures = dict[str, float]
"""By row."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How much is measured."""

    rounds: int = 5
    limit_s: float = 600.0
    """No further round is begun that would end later than this."""
    messages: dict[int, int] = field(
        default_factory=lambda: {64: 4000, 1024: 3000, 16_384: 600, 262_144: 48}
    )
    round_trips: int = 500
    enqueued: int = 4000
    limited: int = 200
    """Messages of a burst to a node that drops what comes too fast."""
    connects: int = 10
    """Peers that a node meets, one after the other."""
    resumed: int = 15
    """Sessions that are resumed, one after the other."""
    handshakes: int = 60
    """Handshakes of the bare state machines."""
    relayed: int = 1000
    relay_wait_s: float = 15.0
    """How long a way over two hops may take to be found."""
    profiled: int = 8000
    """Messages of a burst whose stacks are sampled."""


QUICK: Final = Counts(
    rounds=1,
    messages={64: 300, 1024: 300, 16_384: 100, 262_144: 8},
    round_trips=50,
    enqueued=300,
    limited=100,
    connects=3,
    resumed=3,
    handshakes=10,
    relayed=200,
    relay_wait_s=6.0,
    profiled=2000,
)

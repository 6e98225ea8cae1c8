"""How long what is sent takes, over links that are slow, lossy, or both.

A session is reliable and in order: what a link loses is sent again by the transport, and what it
repeats or reorders is put straight there. So loss shows as delay of everything behind it, and
beyond a limit as a link that goes down; repetition shows not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

RETRANSMIT_S: Final = 0.2
"""Until the transport sends again what was lost; doubles each time."""
MAX_LOSSES: Final = 6
"""So often in a row, and the link goes down: after 12.8 seconds."""


@dataclass(frozen=True, slots=True)
class LinkQuality:
    """Properties of a link, the same both ways."""

    delay_s: float = 0.002
    jitter_s: float = 0.001
    """Added at random, at most."""
    loss: float = 0.0
    """Share of units that are lost, 0 to 1."""
    rate: float = 0.0
    """Bytes a second; 0 = no limit."""


class Pipe:
    """One direction of a session."""

    __slots__ = ("_free_at", "_last", "_quality", "_random")

    def __init__(self, quality: LinkQuality, random: Random) -> None:
        self._quality = quality
        self._random = random
        self._free_at = 0.0
        self._last = 0.0

    def arrival(self, size_bytes: int, now: float) -> float | None:
        """Return when what is sent now arrives; None: never, the link goes down."""
        quality, random = self._quality, self._random
        start = max(now, self._free_at)
        self._free_at = start + (size_bytes / quality.rate if quality.rate else 0.0)
        at = self._free_at + quality.delay_s + quality.jitter_s * random.random()
        losses = 0
        while quality.loss and random.random() < quality.loss:
            at += RETRANSMIT_S * 2**losses
            losses += 1
            if losses > MAX_LOSSES:
                return None
        self._last = max(self._last, at)
        return self._last

"""What time it is for node records: a node whose clock is far off goes by its neighbours. Pure."""

from __future__ import annotations

from typing import Final

from ironmesh.types import Instant, NodeId

MAX_ERROR_S: Final = 3600.0
ENOUGH_PEERS: Final = 3
"""Fewer could be one liar and one who is wrong."""
MAX_LEFT: Final = 256
"""Peers that left of which it is known what their clocks showed."""
OLDEST_S: Final = 1_764_028_800.0
"""2025-11-25: no clock that is right shows a time before this program was written."""


class RecordClock:
    """The own clock, unless it is older than the program or an hour off its direct peers.

    Nothing but node records goes by it: no session, no message and no receipt.
    """

    def __init__(self) -> None:
        self._offsets: dict[NodeId, float] = {}
        """What each direct peer's clock showed, less our monotonic clock."""
        self._left: dict[NodeId, float] = {}
        """The same, of peers that left."""

    def heard(self, peer: NodeId, clock_ms: int, now: Instant) -> None:
        """A peer is direct, and told its clock in the handshake.

        Args:
            clock_ms: milliseconds since 1970; 0 = it said nothing, as in a session that is resumed:
                what it said before counts.
        """
        if clock_ms:
            self._offsets[peer] = clock_ms / 1000 - now.mono
        elif peer in self._left:
            self._offsets[peer] = self._left[peer]

    def gone(self, peer: NodeId) -> None:
        """A peer is no longer direct."""
        offset = self._offsets.pop(peer, None)
        if offset is not None:
            self._left.pop(peer, None)
            self._left[peer] = offset
            while len(self._left) > MAX_LEFT:
                del self._left[next(iter(self._left))]

    def is_wrong(self, now: Instant) -> bool:
        """Tell whether the own clock is not gone by; that is worth a warning."""
        if now.wall < OLDEST_S:
            return bool(self._offsets)
        if len(self._offsets) < ENOUGH_PEERS:
            return False
        return abs(self._median(now) - now.wall) > MAX_ERROR_S

    def time(self, now: Instant) -> float:
        """Return the time that node records go by, in seconds since 1970."""
        return self._median(now) if self.is_wrong(now) else now.wall

    def _median(self, now: Instant) -> float:
        offsets = sorted(self._offsets.values())  # `statistics` would load a dozen modules
        count = len(offsets)
        return (offsets[(count - 1) // 2] + offsets[count // 2]) / 2 + now.mono

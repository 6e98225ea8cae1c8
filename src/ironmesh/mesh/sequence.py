"""The number of a node's own beacons, which grows in its whole life. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from ironmesh.wire.native.beacons import MAX_SEQUENCE

RESERVE: Final = 1024
"""Numbers that are marked as used on disk at once, so that few beacons wait for it."""
_COUNTER_BITS: Final = 32


class Issued(NamedTuple):
    """A number to announce."""

    sequence: int
    save: int | None
    """What must be on disk, and told to `saved`, before it is announced; None = it is there."""


class OwnSequence:
    """Seconds since 1970 and a counter: a node that lost its disk goes on above what it said.

    Args:
        saved: what was saved last; 0 = nothing.
    """

    def __init__(self, saved: int = 0) -> None:
        self._last = saved
        self._saved = saved

    @property
    def last(self) -> int:
        """No number up to this is issued again."""
        return self._last

    def next(self, time_s: float) -> Issued:
        """Return a number above all before.

        Args:
            time_s: record time, seconds since 1970.
        """
        by_clock = max(0, int(time_s)) << _COUNTER_BITS
        self._last = min(max(self._last + 1, by_clock), MAX_SEQUENCE)
        if self._last <= self._saved:
            return Issued(self._last, None)
        return Issued(self._last, min(self._last + RESERVE, MAX_SEQUENCE))

    def saved(self, number: int) -> None:
        """A number is on disk: none up to it is issued after another start."""
        self._saved = max(self._saved, number)

    def met(self, sequence: int) -> bool:
        """A beacon of our own key has this number; True if we did not issue it: a clone may live.

        The next number is above it.
        """
        if sequence <= self._last:
            return False
        self._last = sequence
        return True

"""A virtual clock: what is to happen, in the order of its time."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any


class Engine:
    """Runs events at their virtual time; those of the same time in the order of their planning.

    Args:
        seed: of all randomness of the run.
    """

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        """Virtual seconds since the start."""
        self.random = Random(seed)  # noqa: S311 (a simulation is to be repeatable)
        self.events = 0
        """How many have run."""
        self._heap: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._planned = 0

    def at(self, time: float, call: Callable[..., object], *args: Any) -> None:
        """Plan a call; a time that is past means now."""
        self._planned += 1
        heappush(self._heap, (max(time, self.now), self._planned, call, args))

    def after(self, delay_s: float, call: Callable[..., object], *args: Any) -> None:
        """Plan a call in a while."""
        self.at(self.now + delay_s, call, *args)

    def run_until(self, time: float) -> None:
        """Run all events up to a time, which is the present one then."""
        heap = self._heap
        while heap and heap[0][0] <= time:
            self.now, _, call, args = heappop(heap)
            self.events += 1
            call(*args)
        self.now = time

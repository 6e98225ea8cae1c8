"""Two queues that things may leave from the middle, without a search. Pure."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from typing import Final, Generic, TypeVar

_SLACK: Final = 64
"""Left-over places that are not worth a clean-up."""

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")


class Agenda(Generic[Key]):
    """Keys with a moment each, the earliest first; every call costs O(log n) at most, amortized."""

    def __init__(self) -> None:
        self._moments: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._moments)

    def __contains__(self, key: Key) -> bool:
        return key in self._moments

    def put(self, key: Key, at: float) -> None:
        """Note a key, or move it to another moment."""
        self._moments[key] = at
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, key))
        self._tidy()

    def drop(self, key: Key) -> None:
        """Forget a key, if it is there."""
        if self._moments.pop(key, None) is not None:
            self._tidy()

    @property
    def next(self) -> float | None:
        """The earliest moment; None = nothing is noted."""
        while self._heap:
            at, _, key = self._heap[0]
            if self._moments.get(key) == at:
                return at
            heapq.heappop(self._heap)
        return None

    def take_due(self, now: float) -> list[Key]:
        """Return and forget the keys whose moment has come, the earliest first."""
        due: list[Key] = []
        while self._heap and self._heap[0][0] <= now:
            at, _, key = heapq.heappop(self._heap)
            if self._moments.get(key) == at:
                del self._moments[key]
                due.append(key)
        return due

    def _tidy(self) -> None:
        if len(self._heap) > 2 * len(self._moments) + _SLACK:
            self._heap = [(at, rank, key) for rank, (key, at) in enumerate(self._moments.items())]
            self._count = len(self._heap)
            heapq.heapify(self._heap)


class Line(Generic[Item]):
    """A queue whose items may lose their place at any time.

    Args:
        is_waiting: tells whether an item still has its place; those that have not are skipped.
    """

    def __init__(self, is_waiting: Callable[[Item], bool]) -> None:
        self._is_waiting = is_waiting
        self._items: deque[Item] = deque()
        self._left = 0

    def __iter__(self) -> Iterator[Item]:
        return (item for item in self._items if self._is_waiting(item))

    def append(self, item: Item) -> None:
        """Put an item last."""
        self._items.append(item)

    def note_left(self) -> None:
        """An item lost its place."""
        self._left += 1
        if self._left > len(self._items) // 2 + _SLACK:
            self.replace(self)

    def replace(self, items: Iterator[Item] | Line[Item]) -> None:
        """Let these items wait, in this order, and no others."""
        self._items = deque(items)
        self._left = 0

    @property
    def first(self) -> Item | None:
        """The item that waits longest."""
        while self._items:
            if self._is_waiting(self._items[0]):
                return self._items[0]
            self._items.popleft()
        return None

    def pop_first(self) -> Item | None:
        """Take the item that waits longest."""
        item = self.first
        if item is not None:
            self._items.popleft()
        return item

    def pop_last(self) -> Item | None:
        """Take the item that came last."""
        while self._items:
            item = self._items.pop()
            if self._is_waiting(item):
                return item
        return None

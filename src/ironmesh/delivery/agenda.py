"""Two queues that things may leave from the middle, without a search. Pure."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Final, Generic, TypeVar

_SLACK: Final = 64
"""Left-over places that are not worth a clean-up."""

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")


class Agenda(Generic[Key]):
    """Keys with a moment each, the earliest first; every call costs O(log n) at most, amortized.

    Keys of one moment share a place in the heap: most of ours come in lists.
    """

    def __init__(self) -> None:
        self._moments: dict[Key, float] = {}
        self._keys: dict[float, list[Key]] = {}
        """By moment, in the order in which they were noted; with some that left since."""
        self._live: dict[float, int] = {}
        """By moment, how many of those did not leave."""
        self._heap: list[float] = []
        self._count = 0
        """Of all in `_keys`."""

    def __len__(self) -> int:
        return len(self._moments)

    def __contains__(self, key: Key) -> bool:
        return key in self._moments

    def put(self, key: Key, at: float) -> None:
        """Note a key, or move it to another moment."""
        self.put_all((key,), at)

    def put_all(self, keys: Sequence[Key], at: float) -> None:
        """Note keys, or move them to another moment, the same for all."""
        if not self._moments.keys().isdisjoint(keys):
            self.drop_all(keys)
        self._moments.update(dict.fromkeys(keys, at))
        noted = self._keys.get(at)
        if noted is None:
            self._keys[at] = [*keys]
            self._live[at] = len(keys)
            heapq.heappush(self._heap, at)
        else:
            noted += keys
            self._live[at] += len(keys)
        self._count += len(keys)
        self._tidy()

    def drop(self, key: Key) -> None:
        """Forget a key, if it is there."""
        self.drop_all((key,))

    def drop_all(self, keys: Iterable[Key]) -> None:
        """Forget keys, those that are there."""
        live, leave = self._live, self._moments.pop
        for key in keys:
            at = leave(key, None)
            if at is not None:
                live[at] -= 1
        self._tidy()

    @property
    def next(self) -> float | None:
        """The earliest moment; None = nothing is noted."""
        while self._heap and not self._live[self._heap[0]]:
            self._forget(heapq.heappop(self._heap))
        return self._heap[0] if self._heap else None

    def take_due(self, now: float) -> list[Key]:
        """Return and forget the keys whose moment has come, the earliest first."""
        due: list[Key] = []
        while self._heap and self._heap[0] <= now:
            at = heapq.heappop(self._heap)
            for key in self._forget(at):
                if self._moments.get(key) == at:
                    del self._moments[key]
                    due.append(key)
        return due

    def _forget(self, at: float) -> list[Key]:
        del self._live[at]
        keys = self._keys.pop(at)
        self._count -= len(keys)
        return keys

    def _tidy(self) -> None:
        """Clean up where more than half of what is kept left."""
        if self._count <= 2 * len(self._moments) + _SLACK:
            return
        self._keys = {}
        for key, at in self._moments.items():
            self._keys.setdefault(at, []).append(key)
        self._live = {at: len(keys) for at, keys in self._keys.items()}
        self._heap = sorted(self._keys)
        self._count = len(self._moments)


class Line(Generic[Item]):
    """A queue whose items may lose their place at any time.

    Args:
        is_waiting: tells whether an item still has its place; those that have not are skipped.
    """

    def __init__(self, is_waiting: Callable[[Item], bool]) -> None:
        self._is_waiting = is_waiting
        self._items: deque[Item] = deque()
        self._left = 0
        """Items in it that lost their place."""

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
            self._left -= 1
        return None

    def pop_first(self) -> Item | None:
        """Take the item that waits longest."""
        while self._items:
            item = self._items.popleft()
            if self._is_waiting(item):
                return item
            self._left -= 1
        return None

    def pop_last(self) -> Item | None:
        """Take the item that came last."""
        while self._items:
            item = self._items.pop()
            if self._is_waiting(item):
                return item
            self._left -= 1
        return None

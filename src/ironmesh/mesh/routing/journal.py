"""What changed and is still to be told: one list for all neighbours, a place in it for each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ironmesh.mesh.routing.destination import Destination

NEVER: Final = float("inf")
_TRIM: Final = 256


class Journal:
    """Destinations in the order of their changes; places count on for ever."""

    __slots__ = ("_base", "_items")

    def __init__(self) -> None:
        self._base = 0
        self._items: list[Destination] = []

    def __len__(self) -> int:
        return len(self._items)

    @property
    def end(self) -> int:
        """The place after the last change."""
        return self._base + len(self._items)

    def append(self, destination: Destination) -> None:
        """Note a change."""
        self._items.append(destination)

    def since(self, place: int) -> list[Destination]:
        """Return the changes from a place on, with repetitions."""
        return self._items[place - self._base :]

    def trim(self, places: Iterable[int]) -> None:
        """Forget what stands before all these places."""
        past = min(places, default=self.end) - self._base
        if past >= _TRIM or past == len(self._items):
            del self._items[:past]
            self._base += past


class Queue:
    """What one neighbour is to be told with one urgency.

    Args:
        journal: of what all neighbours are told; this one from now on.
    """

    __slots__ = ("_journal", "_place", "alone", "due")

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._place = journal.end
        self.alone: dict[Destination, None] = {}
        """What this neighbour alone is to be told."""
        self.due = NEVER

    @property
    def place(self) -> int:
        """How far in the journal it has been told."""
        return self._place

    def __bool__(self) -> bool:
        return bool(self.alone) or self._place < self._journal.end

    def take(self) -> dict[Destination, None]:
        """Return everything, once, and begin anew."""
        taken = self.alone
        taken.update(dict.fromkeys(self._journal.since(self._place)))
        self.alone = {}
        self._place = self._journal.end
        self.due = NEVER
        return taken

    def shorten(self) -> None:
        """Keep what is to be told without the journal, and each destination once."""
        due = self.due
        self.alone = self.take()
        self.due = due

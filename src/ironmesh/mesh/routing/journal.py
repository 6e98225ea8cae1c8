"""What changed and is still to be told: one list for all neighbours, a place in it for each."""

from __future__ import annotations

from collections.abc import Iterable

from ironmesh.mesh.routing.destination import Destination

_TRIM: int = 256


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

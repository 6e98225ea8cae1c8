"""Named numbers that only grow."""

from __future__ import annotations

from collections import Counter
from typing import Final

from ironmesh.types import Refusal

REFUSED: Final = "refused."
"""Prefix of the counter of each refusal: `refused.replay`."""


class Counters:
    """The counters of one node; a name begins to count when it is first used."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: Counter[str] = Counter()

    def add(self, name: str, amount: int = 1) -> None:
        """Let `name` grow by `amount`.

        Raises:
            ValueError: `amount` is negative.
        """
        if amount < 0:
            raise ValueError(f"the counter {name} only grows")
        self._values[name] += amount

    def refused(self, reason: Refusal, amount: int = 1) -> None:
        """Count a peer or message that was turned away."""
        self.add(REFUSED + reason, amount)

    def __getitem__(self, name: str) -> int:
        return self._values[name]

    def snapshot(self) -> dict[str, int]:
        """Return all counters, by name."""
        return dict(sorted(self._values.items()))

"""Newer sequences that are waited for: by this node, and by neighbours that asked it."""

from __future__ import annotations

from collections.abc import Sequence

from ironmesh.mesh.routing.destination import NOBODY, Destination
from ironmesh.types import NodeId

MAX_RETRY_S = 60.0
ASKED_AGAIN_S = 0.8
"""A request that comes again before this is not handed on again."""
KEPT_FOR_OTHERS_S = 10.0
WAYS_ASKED = 2
QUICK_TRIES = 20
"""So long ways may lead over a host that vanished, and whose silence was not noticed yet."""


class Quest:
    """A beacon of at least `sequence` is needed, so that ways to a destination are safe again."""

    __slots__ = (
        "asked",
        "asked_at",
        "askers",
        "destination",
        "due",
        "is_ours",
        "rounds",
        "sequence",
        "tries",
    )

    def __init__(self, destination: Destination, sequence: int) -> None:
        self.destination = destination
        self.sequence = sequence
        self.askers = 0
        """Neighbours that wait for the answer, as bits."""
        self.asked = 0
        """Neighbours that were asked."""
        self.asked_at = float("-inf")
        self.is_ours = False
        self.tries = 0
        """How often neighbours were asked, also for others: says whose turn it is."""
        self.rounds = 0
        """How often we asked anew, for ourselves."""
        self.due = float("inf")

    def targets(self, costs: Sequence[int]) -> list[int]:
        """Return the slots to ask: the chosen way, else two of the unsafe ones, in turn."""
        destination = self.destination
        ways = sorted(
            (slot != destination.best, entry.metric + costs[slot], slot)
            for slot, entry in enumerate(destination.entries)
            if entry is not None and (self.is_ours or not self.askers >> slot & 1)
        )
        if not ways:
            return []
        if ways[0][2] == destination.best and destination.best != NOBODY and not self.tries:
            return [destination.best]
        count = len(ways)
        turns = range(self.tries, self.tries + min(WAYS_ASKED, count))
        return [ways[turn % count][2] for turn in turns]

    def was_asked(self, slots: Sequence[int], now: float, retry_s: float) -> None:
        """Note that neighbours were asked at `now`."""
        for slot in slots:
            self.asked |= 1 << slot
        self.asked_at = now
        wait_s = (
            min(MAX_RETRY_S, retry_s * 2 ** max(0, self.rounds - QUICK_TRIES))
            if self.is_ours
            else KEPT_FOR_OTHERS_S
        )
        self.due = now + wait_s
        self.tries += 1


class Quests:
    """All that is waited for, one for each destination at most."""

    def __init__(self) -> None:
        self._by_origin: dict[NodeId, Quest] = {}
        self.next_due = float("inf")

    def __len__(self) -> int:
        return len(self._by_origin)

    def get(self, origin: NodeId) -> Quest | None:
        """Return what is waited for from a node."""
        return self._by_origin.get(origin)

    def open(self, destination: Destination, sequence: int) -> Quest:
        """Return the quest for a destination, which wants at least `sequence` from now on."""
        quest = self._by_origin.get(destination.origin)
        if quest is None:
            quest = self._by_origin[destination.origin] = Quest(destination, sequence)
        elif sequence > quest.sequence:
            quest.sequence = sequence
            quest.tries = quest.rounds = 0
        return quest

    def close(self, origin: NodeId) -> None:
        """End a quest: it was met, or is hopeless."""
        self._by_origin.pop(origin, None)

    def hurry(self, quest: Quest, at: float) -> None:
        """Have a quest looked at by a time."""
        quest.due = min(quest.due, at)
        self.next_due = min(self.next_due, quest.due)

    def take_due(self, now: float) -> list[Quest]:
        """Return the quests whose time has come: each is asked again, or closed, by the caller."""
        taken = [each for each in self._by_origin.values() if each.due <= now]
        for quest in taken:
            quest.due = float("inf")
        self.next_due = min((each.due for each in self._by_origin.values()), default=float("inf"))
        return taken

    def forget_neighbour(self, slot: int) -> None:
        """A session ended: nobody there waits, or will answer."""
        keep = ~(1 << slot)
        for quest in self._by_origin.values():
            quest.askers &= keep
            quest.asked &= keep

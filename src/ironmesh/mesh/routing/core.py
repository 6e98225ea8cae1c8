"""What the parts of a router share: its table, its neighbours, and what is to be done."""

from __future__ import annotations

from typing import Final

from ironmesh.mesh.routing.destination import Destination
from ironmesh.mesh.routing.journal import Journal
from ironmesh.mesh.routing.neighbour import Neighbour
from ironmesh.mesh.routing.values import (
    LinkCost,
    RouterAction,
    RouterCounters,
    RouterLimits,
    Suspicion,
    Suspicious,
)
from ironmesh.types import NodeId, Random

LAZY: Final = 1
"""May wait for something else to be told."""
NORMAL: Final = 2
FAST: Final = 3
"""Somebody loses messages until it is told."""


class Core:
    """State of one router; its parts act on it.

    Args:
        tells_others: whether neighbours are told of other destinations than this node.
    """

    def __init__(
        self, own_id: NodeId, limits: RouterLimits, random: Random, *, tells_others: bool
    ) -> None:
        self.own_id = own_id
        self.limits = limits
        self.tells_others = tells_others
        self._random = random
        self.own: Destination | None = None
        """Ourselves, once there is a beacon; not in the table."""
        self.table: dict[NodeId, Destination] = {}
        self.neighbours: dict[NodeId, Neighbour] = {}
        self.by_slot: list[Neighbour | None] = []
        self.costs: list[int] = []
        """Of the links, by slot."""
        self.radios: list[bool] = []
        self.fast, self.normal, self.lazy = Journal(), Journal(), Journal()
        self.is_fast = self.is_normal = self.is_lazy = False
        """Something so urgent was noted since the last planning."""
        self.counters = RouterCounters()
        self.out: list[RouterAction] = []

    def find(self, origin: NodeId) -> Destination | None:
        """Return a destination of the table, or ourselves."""
        return self.own if origin == self.own_id else self.table.get(origin)

    def free_slot(self) -> int:
        """Return the number of the next neighbour: the smallest that nobody has."""
        for slot, neighbour in enumerate(self.by_slot):
            if neighbour is None:
                return slot
        self.by_slot.append(None)
        self.costs.append(0)
        self.radios.append(False)
        return len(self.by_slot) - 1

    def add(self, neighbour: Neighbour) -> None:
        """A link is up."""
        self.neighbours[neighbour.peer] = neighbour
        self.by_slot[neighbour.slot] = neighbour
        self.costs[neighbour.slot] = neighbour.cost
        self.radios[neighbour.slot] = neighbour.is_radio

    def set_cost(self, neighbour: Neighbour, link: LinkCost) -> None:
        """A link costs another amount."""
        neighbour.cost, neighbour.is_radio = link
        self.add(neighbour)

    def remove(self, neighbour: Neighbour) -> None:
        """A link is down."""
        del self.neighbours[neighbour.peer]
        self.by_slot[neighbour.slot] = None

    def sponsor_of(self, destination: Destination) -> Neighbour | None:
        """Return the neighbour in whose share of the table a destination is."""
        return self.by_slot[destination.sponsor] if destination.sponsor >= 0 else None

    def note(self, destination: Destination, level: int) -> None:
        """Have neighbours told about a destination that changed."""
        if not self.neighbours or not (self.tells_others or destination is self.own):
            return
        if len(self.neighbours) == 1 and destination.origin in self.neighbours:
            return  # nobody is there but the one that it leads to
        if level == FAST:
            self.fast.append(destination)
            self.is_fast = True
        elif level == NORMAL:
            self.normal.append(destination)
            self.is_normal = True
        else:
            self.lazy.append(destination)
            self.is_lazy = True

    def suspect(self, neighbour: Neighbour, what: Suspicion, origin: NodeId) -> None:
        """Say that a neighbour is not believed."""
        self.counters.suspicious += 1
        self.out.append(Suspicious(neighbour.peer, what, origin))

    def between(self, least: float, most: float) -> float:
        """Return a number between two, at random."""
        return least + (most - least) * (int.from_bytes(self._random(2), "big") / 65536)

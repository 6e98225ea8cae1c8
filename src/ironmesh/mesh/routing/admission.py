"""A table of bounded size, filled fairly: no neighbour can push out what others brought."""

from __future__ import annotations

from ironmesh.mesh.routing.core import Core
from ironmesh.mesh.routing.destination import Destination
from ironmesh.mesh.routing.neighbour import Neighbour
from ironmesh.mesh.routing.selection import Selection
from ironmesh.types import NodeId
from ironmesh.wire.native.beacons import Beacon


class Admission:
    """Which destinations are in the table."""

    def __init__(self, core: Core, selection: Selection) -> None:
        self._core = core
        self._selection = selection
        self._graves: dict[NodeId, tuple[int, int]] = {}
        """Feasibility distances of what had to make room: neighbours may still be on the way."""

    def admit(self, neighbour: Neighbour, beacon: Beacon, origin: NodeId) -> Destination | None:
        """Return a new destination; None if the neighbour has its share of a full table."""
        core = self._core
        if len(core.table) >= core.limits.max_destinations:
            core.counters.table_full += 1
            if not self._make_room(neighbour, origin):
                neighbour.has_refused = True
                return None
        destination = core.table[origin] = Destination(origin, beacon, neighbour.slot)
        neighbour.share += 1
        destination.fd_sequence, destination.fd_metric = self._graves.pop(origin, (0, 0))
        return destination

    def _make_room(self, neighbour: Neighbour, origin: NodeId) -> bool:
        """Drop what nobody brought, else something of whoever brought most."""
        core = self._core
        shares = {each.slot: each.share for each in core.neighbours.values()}
        unsponsored = len(core.table) - sum(shares.values())
        if unsponsored > 0:
            return self._drop_one_of(None)
        largest = max(core.neighbours.values(), key=lambda each: each.share)
        is_peer = origin == neighbour.peer
        if largest.share <= neighbour.share + 1 and not is_peer:
            return False
        return self._drop_one_of(largest)

    def _drop_one_of(self, sponsor: Neighbour | None) -> bool:
        core = self._core
        slot = sponsor.slot if sponsor is not None else None
        for origin in reversed(core.table):
            destination = core.table[origin]
            is_unsponsored = core.sponsor_of(destination) is None
            is_its = is_unsponsored if slot is None else destination.sponsor == slot
            if is_its and origin not in core.neighbours:
                while len(self._graves) >= core.limits.max_destinations:
                    del self._graves[next(iter(self._graves))]
                self._graves[origin] = (destination.fd_sequence, destination.fd_metric)
                self.forget(destination)
                return True
        return False

    def forget(self, destination: Destination) -> None:
        """Take a destination out of the table; whoever was told of it hears that it is gone."""
        sponsor = self._core.sponsor_of(destination)
        if sponsor is not None:
            sponsor.share -= 1
        self._selection.forget(destination.origin)
        for neighbour in self._core.neighbours.values():
            if destination.drop(neighbour.slot):
                neighbour.has_refused = True
                neighbour.held_hash = None

    def link_lost(self, neighbour: Neighbour) -> None:
        """What a neighbour brought is nobody's from now on."""
        for destination in self._core.table.values():
            if destination.sponsor == neighbour.slot:
                destination.sponsor = -1
        neighbour.share = 0

    def sweep(self, now: float) -> None:
        """Forget destinations that have been lost for long, and that nobody was told of."""
        hold_s = self._core.limits.hold_s
        old: list[Destination] = []
        for destination in self._core.table.values():
            if destination.lost_at is None or destination.exported is not None:
                continue
            destination.lost_at = min(destination.lost_at, now)
            if now - destination.lost_at > hold_s and not destination.told:
                old.append(destination)
        for destination in old:
            self.forget(destination)

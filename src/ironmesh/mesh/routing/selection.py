"""Choosing the way to each destination."""

from __future__ import annotations

from typing import Final

from ironmesh.mesh.routing.core import FAST, LAZY, NORMAL, Core
from ironmesh.mesh.routing.destination import NOBODY, Destination, export
from ironmesh.mesh.routing.journal import NEVER
from ironmesh.mesh.routing.neighbour import Neighbour
from ironmesh.mesh.routing.seeking import Seeking
from ironmesh.mesh.routing.values import NewBeacon, RouteFound, RouteLost
from ironmesh.types import NodeId
from ironmesh.wire.native.routes import MAX_HOPS, RouteEntry

_SMALL: Final = 8
"""A change by at most this part of a metric is small: it waits for others."""


class Selection:
    """Keeps the chosen way of each destination the best safe one, small gains a little later."""

    def __init__(self, core: Core, seeking: Seeking) -> None:
        self._core = core
        self._seeking = seeking
        self._better: dict[Destination, None] = {}
        """Where small differences wait to be taken in: while they do, what is told stays."""
        self.better_at = NEVER
        self._unsafe: dict[Destination, None] = {}
        """Where a way that is not safe may be much better than the chosen one."""
        self.unsafe_at = NEVER
        self.reachable = 0

    def take(self, neighbour: Neighbour, destination: Destination, entry: RouteEntry) -> None:
        """Take what a neighbour tells about a destination of the table."""
        slot = neighbour.slot
        if entry.hops >= MAX_HOPS:
            self.retract(neighbour, destination)
            return
        if entry.sequence == destination.sequence:
            destination.knows |= neighbour.bit
        destination.put(slot, entry)
        exported = destination.exported
        metric = entry.metric + neighbour.cost
        if exported is None:
            self.choose(destination)
        elif entry.sequence > exported.sequence and self._is_awaited(destination, slot, entry):
            self._adopt(destination, slot, entry, metric)
        elif destination.best == slot:
            self._chosen_changed(destination, exported, entry, metric)
        elif metric < exported.metric:
            self._other_is_better(destination, exported, slot, entry)

    def _chosen_changed(
        self, destination: Destination, exported: RouteEntry, entry: RouteEntry, metric: int
    ) -> None:
        change = metric - exported.metric
        if entry.sequence == exported.sequence and abs(change) * _SMALL <= exported.metric:
            self._better[destination] = None
        elif change <= 0:
            self._adopt(destination, destination.best, entry, metric)
        else:
            self.choose(destination)

    def _other_is_better(
        self, destination: Destination, exported: RouteEntry, slot: int, entry: RouteEntry
    ) -> None:
        metric = entry.metric + self._core.costs[slot]
        if not destination.is_feasible(slot, entry):
            self._core.counters.loops_prevented += 1
            self._unsafe[destination] = None
        elif (exported.metric - metric) * _SMALL > exported.metric:
            self._adopt(destination, slot, entry, metric)
        else:
            self._better[destination] = None

    def _is_awaited(self, destination: Destination, slot: int, entry: RouteEntry) -> bool:
        """Tell whether neighbours wait for a sequence that came by a safe way, the best or not."""
        is_waited_for = self._seeking.is_waited_for(destination, entry.sequence)
        return is_waited_for and destination.is_feasible(slot, entry)

    def requested(self, origin: NodeId, sequence: int) -> None:
        """A neighbour needs a sequence: take a way that has it, the best or not."""
        destination = self._core.table.get(origin)
        if destination is None or destination.sequence < sequence:
            return
        exported = destination.exported
        if exported is not None and exported.sequence < sequence:
            slot, metric = destination.cheapest(self._core.costs, sequence)
            if slot != NOBODY:
                told = destination.entries[slot]
                assert told is not None
                self._adopt(destination, slot, told, metric)

    def retract(self, neighbour: Neighbour, destination: Destination) -> None:
        """A neighbour has no route any more, or only one over us."""
        if destination.drop(neighbour.slot):
            if destination.best == neighbour.slot:
                self.choose(destination)
            elif destination.best == NOBODY:
                self._seeking.was_retracted(destination, neighbour)
            if destination.exported is not None and not destination.told & neighbour.bit:
                self._offer(neighbour, destination)

    def _offer(self, neighbour: Neighbour, destination: Destination) -> None:
        """Our way led over a neighbour that lost its own: it may need the one that we have now."""
        if self._core.tells_others:
            neighbour.fast.alone[destination] = None
            self._core.is_fast = True

    def link_lost(self, neighbour: Neighbour) -> None:
        """A session ended, and with it all that was told in it, both ways."""
        slot = neighbour.slot
        self._seeking.forget_neighbour(slot)
        for destination in self._core.table.values():
            if destination.forget_neighbour(slot) and destination.best == slot:
                self.choose(destination)

    def cost_changed(self, neighbour: Neighbour) -> None:
        """A link became cheaper or dearer."""
        slot = neighbour.slot
        for destination in self._core.table.values():
            if slot < len(destination.entries) and destination.entries[slot] is not None:
                destination.hops = None
                self.choose(destination)

    def choose(self, destination: Destination) -> None:
        """Choose the best safe way anew, and note what that changes for others."""
        core = self._core
        slot, metric = destination.cheapest(core.costs)
        if slot == NOBODY:
            self._lose(destination)
            return
        told = destination.entries[slot]
        assert told is not None
        self._adopt(destination, slot, told, metric)

    def _adopt(self, destination: Destination, slot: int, told: RouteEntry, metric: int) -> None:
        """Take the way over a neighbour, which is safe and the best."""
        old, before = destination.exported, destination.best
        entry = export(destination.origin, told, metric, is_radio=self._core.radios[slot])
        if slot != before:
            destination.best = slot
            destination.hops = None
            self._split_horizon(destination, before, slot)
        if entry != old:
            destination.route_by(entry)
            self._note_change(destination, old, entry)

    def _split_horizon(self, destination: Destination, before: int, after: int) -> None:
        """Only these two have to be told of another next hop: one what it was not, one nothing."""
        if self._core.tells_others:
            for slot in (before, after):
                neighbour = self._core.by_slot[slot] if slot != NOBODY else None
                if neighbour is not None:
                    neighbour.lazy.alone[destination] = None
            self._core.is_lazy = True

    def _note_change(
        self, destination: Destination, old: RouteEntry | None, entry: RouteEntry
    ) -> None:
        core = self._core
        if old is None:
            self.reachable += 1
            core.note(destination, NORMAL if destination.lost_at is None else FAST)
            destination.lost_at = None
            self._met_again(destination)
            core.out.append(RouteFound(destination.origin, entry.hops, entry.is_radio))
        elif destination.has_news or (entry.metric - old.metric) * _SMALL > old.metric:
            core.note(destination, NORMAL)
        else:
            core.note(destination, LAZY)
        destination.has_news = False
        if old is not None and entry.metric > old.metric:
            self._unsafe[destination] = None
        self._seeking.was_met(destination, entry.sequence)

    def _met_again(self, destination: Destination) -> None:
        """Of a node that is remembered from an earlier run, the shell hears as of a new one."""
        neighbour = self._core.by_slot[destination.best]
        if destination.is_remembered and neighbour is not None:
            destination.is_remembered = False
            self._core.out.append(NewBeacon(destination.beacon, neighbour.peer))

    def _lose(self, destination: Destination) -> None:
        core = self._core
        if destination.exported is not None:
            destination.best = NOBODY
            destination.route_by(None)
            destination.hops = None
            self.reachable -= 1
            core.counters.routes_lost += 1
            core.note(destination, FAST)
            core.out.append(RouteLost(destination.origin))
            destination.lost_at = NEVER
        self._seeking.is_starved(destination)

    @property
    def next_due(self) -> float:
        """When ways that are better are looked at."""
        return min(self.better_at, self.unsafe_at)

    def plan(self, now: float) -> None:
        """See to it that slightly better ways are taken in a while, and unsafe ones made safe."""
        limits = self._core.limits
        if self._better and self.better_at == NEVER:
            self.better_at = now + self._core.between(*limits.small_delay_s)
        if self._unsafe and self.unsafe_at == NEVER:
            self.unsafe_at = now + self._core.between(*limits.unsafe_delay_s)

    def timer(self, now: float) -> None:
        """Take the slightly better ways; ask for what makes much better ones safe."""
        if now >= self.unsafe_at:
            self.unsafe_at = NEVER
            unsafe, self._unsafe = self._unsafe, {}
            for destination in unsafe:
                exported = destination.exported
                if exported is not None:
                    gain = exported.metric - destination.least(self._core.costs)
                    if gain * _SMALL > exported.metric:
                        self._seeking.wish(destination)
        if now >= self.better_at:
            self.better_at = NEVER
            waiting, self._better = self._better, {}
            for destination in waiting:
                self.choose(destination)

    def forget(self, origin: NodeId) -> None:
        """Take a destination out of the table."""
        destination = self._core.table.pop(origin)
        self._better.pop(destination, None)
        self._unsafe.pop(destination, None)
        self._seeking.forget(origin)
        if destination.exported is not None:
            destination.best = NOBODY
            destination.route_by(None)
            self.reachable -= 1
            self._core.note(destination, FAST)
            self._core.out.append(RouteLost(origin))

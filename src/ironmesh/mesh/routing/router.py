"""The router of a node: from what neighbours tell to the next hops, and to what they are told.

The node's shell calls an input, carries the actions out, and calls `timer` at `next_timer`.
Source: RFC 8966 (Babel), over links that are reliable and in order; docs/protocol-mesh.md,
"Routes".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from ironmesh.mesh.routing.admission import Admission
from ironmesh.mesh.routing.agreement import Agreement
from ironmesh.mesh.routing.alarm import Alarm
from ironmesh.mesh.routing.core import LAZY, Core
from ironmesh.mesh.routing.destination import Destination
from ironmesh.mesh.routing.neighbour import Neighbour
from ironmesh.mesh.routing.seeking import Seeking
from ironmesh.mesh.routing.selection import Selection
from ironmesh.mesh.routing.snapshot import Remembered
from ironmesh.mesh.routing.telling import Telling
from ironmesh.mesh.routing.values import (
    LinkCost,
    NewBeacon,
    NextHop,
    RouterAction,
    RouterCounters,
    RouterLimits,
    RouteView,
    Suspicion,
)
from ironmesh.types import MeshMode, NodeId, Random
from ironmesh.wire.native.beacons import Beacon
from ironmesh.wire.native.routes import ALL, RouteDigest, RouteEntry, RouteRequest, Routes

_SWEEP_S: Final = 60.0


class Router:
    """Routes of one node to all others.

    Args:
        own_id: this node.
        mode: RELAY tells neighbours of the ways over this node, PASSIVE of the node alone.
        check: tells whether a beacon was signed by its node.
        random: a source of random bytes, for jitter.
        limits: how much, how often and how long.
    """

    def __init__(
        self,
        own_id: NodeId,
        mode: MeshMode,
        *,
        check: Callable[[Beacon], bool],
        random: Random,
        limits: RouterLimits = RouterLimits(),  # noqa: B008 (frozen)
    ) -> None:
        self._check = check
        self._core = core = Core(own_id, limits, random, tells_others=mode is MeshMode.RELAY)
        self._seeking = Seeking(core)
        self._selection = Selection(core, self._seeking)
        self._telling = Telling(core)
        self._agreement = Agreement(core, self._telling, self._selection)
        self._admission = Admission(core, self._selection)
        self._alarm = Alarm(limits.alarm_delay_s)
        self._sweep_at = float("inf")

    # --- Inputs: each returns what is to be done --------------------------------------------------

    def announce(self, beacon: Beacon, now: float) -> list[RouterAction]:
        """Tell neighbours of a new beacon of this node; its sequence is larger than before.

        The first one they are told at once: nobody knows anything of this node yet.
        """
        core = self._core
        is_first = core.own is None
        self._seeking.announce(beacon)
        if is_first:
            for neighbour in core.neighbours.values():
                core.out += neighbour.tell(neighbour.normal.take())
        return self._done(now)

    def link_up(self, peer: NodeId, link: LinkCost, now: float) -> list[RouterAction]:
        """A session with a neighbour began; of an older one nothing counts any more."""
        is_again = peer in self._core.neighbours
        if is_again:
            self._link_lost(self._core.neighbours[peer])
        core = self._core
        interval_s = core.limits.radio_interval_s if link.is_radio else core.limits.interval_s
        journals = (core.fast, core.normal, core.lazy)
        neighbour = Neighbour(peer, core.free_slot(), link, journals, interval_s)
        core.add(neighbour)
        if core.tells_others:
            neighbour.normal.alone = dict.fromkeys(core.table.values())
        if core.own is not None:
            neighbour.normal.alone[core.own] = None
        if is_again:  # what the older session led to is not settled yet
            core.is_normal = True
        else:  # then it goes with the first record of the session, and needs none of its own
            core.out += neighbour.tell(neighbour.normal.take())
        self._agreement.begin(neighbour, now)
        self._sweep_at = min(self._sweep_at, now + _SWEEP_S)
        return self._done(now)

    def link_changed(self, peer: NodeId, link: LinkCost, now: float) -> list[RouterAction]:
        """A hop to a neighbour costs another amount from now on; nothing if it is no neighbour."""
        neighbour = self._core.neighbours.get(peer)
        if neighbour is None:
            return []
        self._core.set_cost(neighbour, link)
        self._selection.cost_changed(neighbour)
        return self._done(now)

    def link_down(self, peer: NodeId, now: float) -> list[RouterAction]:
        """The session with a neighbour ended; nothing if it is no neighbour."""
        neighbour = self._core.neighbours.get(peer)
        if neighbour is not None:
            self._link_lost(neighbour)
        return self._done(now)

    def received(
        self, peer: NodeId, value: Routes | RouteDigest | RouteRequest, now: float
    ) -> list[RouterAction]:
        """Take what a neighbour told or asks; nothing if it is no neighbour."""
        neighbour = self._core.neighbours.get(peer)
        if neighbour is None:
            return []
        if isinstance(value, Routes):
            self._take_routes(neighbour, value)
        elif isinstance(value, RouteDigest):
            self._agreement.received(neighbour, value, now)
        else:
            for request in value.sequences:
                self._selection.requested(request.origin, request.sequence)
                self._seeking.requested(neighbour, request, now)
            self._show_beacons(neighbour, value.beacons)
        return self._done(now)

    def timer(self, now: float) -> list[RouterAction]:
        """Do what is due; call it at `next_timer`, earlier does no harm."""
        self._selection.timer(now)
        self._seeking.timer(now)
        alarm = self._alarm.timer(self._selection.reachable, now)
        if alarm is not None:
            self._core.out.append(alarm)
        if now >= self._sweep_at:
            self._sweep_at = now + _SWEEP_S
            self._admission.sweep(now)
            self._alarm.settle(self._selection.reachable)
        self._telling.timer(now)
        self._agreement.timer(now)
        return self._done(now)

    @property
    def next_timer(self) -> float | None:
        """When `timer` wants to be called, in monotonic seconds; None = not at all."""
        if not self._core.neighbours:
            return None
        return min(
            self._selection.next_due,
            self._seeking.next_due,
            self._alarm.due,
            self._sweep_at,
            *[each.due for each in self._core.neighbours.values()],
        )

    # --- Views ------------------------------------------------------------------------------------

    @property
    def counters(self) -> RouterCounters:
        """What happened since the start."""
        return self._core.counters

    def destinations(self) -> Iterable[NodeId]:
        """Return all nodes that can be reached now."""
        return [each.origin for each in self._core.table.values() if each.exported is not None]

    def beacon(self, origin: NodeId) -> Beacon | None:
        """Return the newest beacon of a node, also of one that was lost a short while ago."""
        destination = self._core.find(origin)
        return destination.beacon if destination is not None else None

    def next_hops(self, destination: NodeId) -> tuple[NodeId, ...]:
        """Return the neighbours over which a node may be reached, the best first; () = none."""
        found = self._core.table.get(destination)
        return () if found is None else self._hops(found)

    def ways(self) -> dict[NodeId, tuple[NodeId, ...]]:
        """Return the next hops to every node that was heard of; the same tuple if none changed."""
        table = self._core.table.values()
        return {each.origin: self._hops(each) if each.hops is None else each.hops for each in table}

    def route(self, destination: NodeId) -> RouteView | None:
        """Return how a node is reached, with all next hops."""
        found = self._core.table.get(destination)
        if found is None or found.exported is None:
            return None
        hops = []
        for neighbour in self._ways(found):
            told = found.entries[neighbour.slot]
            assert told is not None
            is_radio = told.is_radio or neighbour.is_radio
            metric = told.metric + neighbour.cost
            hops.append(NextHop(neighbour.peer, metric, told.hops + 1, is_radio))
        chosen = hops[0]
        return RouteView(chosen.metric, chosen.hops, chosen.is_radio, tuple(hops))

    # --- Persistence ------------------------------------------------------------------------------

    def snapshot(self) -> list[Remembered]:
        """Return what `restore` takes after a restart."""
        return [
            Remembered(each.beacon, each.exported.hops if each.exported is not None else 0)
            for each in self._core.table.values()
        ]

    def restore(self, items: Iterable[Remembered]) -> None:
        """Take the beacons of a snapshot that nobody else can have written: they are not checked.

        They give no route before a neighbour tells of one.
        """
        table = self._core.table
        for item in items:
            origin = item.beacon.origin
            if len(table) < self._core.limits.max_destinations and origin != self._core.own_id:
                destination = table[origin] = Destination(origin, item.beacon, -1)
                destination.lost_at = float("inf")
                destination.is_remembered = True

    # --- Inside -----------------------------------------------------------------------------------

    def _take_routes(self, neighbour: Neighbour, value: Routes) -> None:
        table, selection = self._core.table, self._selection
        neighbour.held_hash = None
        for origin in value.retracted:
            lost = table.get(origin)
            if lost is not None:
                selection.retract(neighbour, lost)
        for beacon, entry in zip(value.beacons, value.routes, strict=False):
            self._take_beacon(neighbour, beacon, entry)
        for entry in value.routes:
            destination = table.get(entry.origin)
            if destination is None or entry.sequence > destination.sequence:
                self._unproved(neighbour, entry)
            elif not entry.metric and entry.origin != neighbour.peer:
                self._core.suspect(neighbour, Suspicion.CLAIMED_ORIGIN, entry.origin)
                neighbour.has_refused = True
            else:
                selection.take(neighbour, destination, entry)
        if value.bucket != ALL:
            self._agreement.replaced(neighbour, value)

    def _take_beacon(self, neighbour: Neighbour, beacon: Beacon, entry: RouteEntry) -> None:
        origin = entry.origin
        known = self._core.table.get(origin)
        if known is not None and beacon.sequence <= known.sequence:
            if beacon.sequence == known.sequence and beacon != known.beacon:
                self._take_twin(neighbour, beacon, origin)
            return
        if beacon.origin != origin or not self._check(beacon):
            self._core.suspect(neighbour, Suspicion.FORGED_BEACON, origin)
            return
        if origin == self._core.own_id:
            self._take_own(neighbour, beacon)
            return
        if known is not None:
            self._renew(known, beacon)
        elif self._admission.admit(neighbour, beacon, origin) is None:
            return
        self._core.out.append(NewBeacon(beacon, neighbour.peer))

    def _renew(self, known: Destination, beacon: Beacon) -> None:
        """Hand a newer beacon on: with the sequence of the chosen way, or without it in a while."""
        known.has_news = known.has_news or known.beacon.record_hash != beacon.record_hash
        known.renew(beacon)
        if known.exported is not None:
            self._core.note(known, LAZY)

    def _take_twin(self, neighbour: Neighbour, beacon: Beacon, origin: NodeId) -> None:
        """Of two beacons with one sequence the first one stays."""
        is_signed = beacon.origin == origin and self._check(beacon)
        what = Suspicion.CLONED if is_signed else Suspicion.FORGED_BEACON
        self._core.suspect(neighbour, what, origin)

    def _take_own(self, neighbour: Neighbour, beacon: Beacon) -> None:
        own = self._core.own
        if own is None or beacon.sequence > own.sequence:
            self._seeking.heard_of_us(beacon)
            if own is not None:
                self._core.suspect(neighbour, Suspicion.CLONED, self._core.own_id)
        elif beacon.sequence == own.sequence and beacon != own.beacon:
            self._core.suspect(neighbour, Suspicion.CLONED, self._core.own_id)

    def _unproved(self, neighbour: Neighbour, entry: RouteEntry) -> None:
        """A route without a beacon to prove it: ask for the beacon, unless the table is full."""
        core = self._core
        if entry.origin == core.own_id:
            return
        is_full = len(core.table) >= core.limits.max_destinations
        if is_full and entry.origin not in core.table:
            neighbour.has_refused = True
        else:
            core.suspect(neighbour, Suspicion.UNPROVED_SEQUENCE, entry.origin)
            neighbour.lacks[entry.origin] = None
            core.is_fast = True

    def _show_beacons(self, neighbour: Neighbour, origins: Iterable[NodeId]) -> None:
        for origin in origins:
            destination = self._core.find(origin)
            if destination is not None and destination.told & neighbour.bit:
                destination.knows &= ~neighbour.bit
                neighbour.fast.alone[destination] = None
                self._core.is_fast = True

    def _link_lost(self, neighbour: Neighbour) -> None:
        core = self._core
        core.remove(neighbour)
        self._admission.link_lost(neighbour)
        self._selection.link_lost(neighbour)
        if core.own is not None:
            core.own.forget_neighbour(neighbour.slot)

    def _hops(self, found: Destination) -> tuple[NodeId, ...]:
        if found.exported is None:
            return ()
        if found.hops is None:
            found.hops = tuple([each.peer for each in self._ways(found)])
        return found.hops

    def _ways(self, destination: Destination) -> list[Neighbour]:
        by_slot = self._core.by_slot
        found = [by_slot[slot] for slot in destination.safe_slots(self._core.costs)]
        return [each for each in found if each is not None]

    def _done(self, now: float) -> list[RouterAction]:
        self._selection.plan(now)
        self._seeking.plan(now)
        self._alarm.plan(self._selection.reachable, now)
        self._telling.plan(now)
        out, self._core.out = self._core.out, []
        return out

"""Asking for newer sequences, where only ways are left that could lead in a circle."""

from __future__ import annotations

from ironmesh.mesh.routing.core import LAZY, NORMAL, Core
from ironmesh.mesh.routing.destination import NOBODY, Destination
from ironmesh.mesh.routing.journal import NEVER
from ironmesh.mesh.routing.neighbour import Neighbour
from ironmesh.mesh.routing.quests import ASKED_AGAIN_S, Quest, Quests
from ironmesh.mesh.routing.values import Bump
from ironmesh.types import NodeId
from ironmesh.wire.native.beacons import Beacon
from ironmesh.wire.native.routes import MAX_HOPS, RouteEntry, SequenceRequest

_RETRACTED_DELAY_S = 0.1


class Seeking:
    """Sequence requests: own ones, others', and those that mean us."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._quests = Quests()
        self._now = 0.0
        self._starved: dict[Destination, None] = {}
        self._own_askers = 0
        self._is_bump_asked = False
        self._is_bump_wanted = False
        self._tokens = float(core.limits.bump_burst)
        self._tokens_at = 0.0
        self.bump_at = NEVER

    @property
    def next_due(self) -> float:
        """When a request is made again, or given up."""
        return min(self._quests.next_due, self.bump_at)

    # --- Our own destinations ---------------------------------------------------------------------

    def is_starved(self, destination: Destination) -> None:
        """No way to it is safe; whether there is any other is looked at when all was taken in."""
        self._starved[destination] = None

    def was_met(self, destination: Destination, sequence: int) -> None:
        """We have a route with a sequence: whoever asked for it is told at once."""
        self._starved.pop(destination, None)
        quest = self._quests.get(destination.origin)
        if quest is None:
            return
        if quest.sequence <= sequence:
            self._quests.close(destination.origin)
            self._answer(destination, quest.askers)
        else:
            quest.is_ours = False

    def is_waited_for(self, destination: Destination, sequence: int) -> bool:
        """Tell whether a sequence is what neighbours asked us for."""
        quest = self._quests.get(destination.origin)
        return quest is not None and bool(quest.askers) and quest.sequence <= sequence

    def was_retracted(self, destination: Destination, neighbour: Neighbour) -> None:
        """Whom we asked has no route itself: ask another one soon."""
        quest = self._quests.get(destination.origin)
        if quest is not None and quest.asked & neighbour.bit:
            self._quests.hurry(quest, self._now + _RETRACTED_DELAY_S)

    def plan(self, now: float) -> None:
        """Ask for what was found to be starved."""
        self._now = now
        if not self._starved:
            return
        starved, self._starved = self._starved, {}
        for destination in starved:
            if destination.best == NOBODY and destination.has_ways():
                quest = self._quests.open(destination, destination.fd_sequence + 1)
                if not quest.is_ours:
                    quest.is_ours = True
                    quest.tries = quest.rounds = 0
                    self._core.counters.black_holes += 1
                    self._pursue(quest, MAX_HOPS)
                elif quest.due == NEVER:
                    self._pursue(quest, MAX_HOPS)

    def wish(self, destination: Destination) -> None:
        """A way that is not safe is much better than the chosen one: a newer sequence mends it."""
        if self._quests.get(destination.origin) is None:
            quest = self._quests.open(destination, destination.fd_sequence + 1)
            self._pursue(quest, MAX_HOPS)

    def _pursue(self, quest: Quest, hops_left: int) -> None:
        core, destination = self._core, quest.destination
        slots = quest.targets(core.costs)
        for slot in slots:
            neighbour = core.by_slot[slot]
            if neighbour is not None:
                request = SequenceRequest(destination.origin, quest.sequence, hops_left)
                neighbour.asks[destination.origin] = request
                core.is_fast = True
        if slots:
            quest.was_asked(slots, self._now, core.limits.retry_s)
            self._quests.hurry(quest, quest.due)
        else:
            self._quests.close(destination.origin)

    def forget_neighbour(self, slot: int) -> None:
        """A session ended."""
        self._quests.forget_neighbour(slot)
        self._own_askers &= ~(1 << slot)

    def forget(self, origin: NodeId) -> None:
        """A destination left the table."""
        self._quests.close(origin)

    # --- What neighbours ask ----------------------------------------------------------------------

    def requested(self, neighbour: Neighbour, request: SequenceRequest, now: float) -> None:
        """A neighbour needs a newer sequence: tell it ours, or ask on towards the origin."""
        self._now = now
        if request.origin == self._core.own_id:
            self._requested_of_us(neighbour, request.sequence)
            return
        destination = self._core.table.get(request.origin)
        if destination is None or not self._core.tells_others:
            return
        # Nobody can need more than one above the newest: it would never be met, for nobody.
        sequence = min(request.sequence, destination.sequence + 1)
        exported = destination.exported
        if exported is not None and exported.sequence >= sequence:
            self._answer(destination, neighbour.bit)
            return
        quest = self._quests.open(destination, sequence)
        quest.askers |= neighbour.bit
        if request.hops_left > 1 and quest.asked_at + ASKED_AGAIN_S <= now:
            self._pursue(quest, request.hops_left - 1)

    def _requested_of_us(self, neighbour: Neighbour, sequence: int) -> None:
        own = self._core.own
        if own is not None and sequence <= own.sequence:
            self._answer(own, neighbour.bit)
        else:
            self._own_askers |= neighbour.bit
            self._is_bump_wanted = True
            self._bump()

    def _answer(self, destination: Destination, neighbours: int) -> None:
        """Tell neighbours what we have, even if they were told before."""
        destination.current &= ~neighbours
        for neighbour in self._core.neighbours.values():
            if neighbours & neighbour.bit:
                neighbour.fast.alone[destination] = None
                self._core.is_fast = True

    # --- Ourselves --------------------------------------------------------------------------------

    def announce(self, beacon: Beacon) -> None:
        """Tell everybody of a beacon of this node; at once those that asked for it."""
        core = self._core
        own = core.own
        is_same = own is not None and own.beacon.record_hash == beacon.record_hash
        if own is None:
            own = core.own = Destination(core.own_id, beacon, -1)
        own.renew(beacon)
        own.route_by(RouteEntry(core.own_id, beacon.sequence, 0, 0))
        core.note(own, LAZY if is_same else NORMAL)
        self._answer(own, self._own_askers)
        self._own_askers = 0
        self._is_bump_asked = self._is_bump_wanted = False

    def heard_of_us(self, beacon: Beacon) -> None:
        """A later beacon of ours than we know of: go on above it."""
        if not self._is_bump_asked:
            self._is_bump_asked = True
            self._core.out.append(Bump(beacon.sequence))

    def _bump(self) -> None:
        """Ask for a newer beacon of ours, not too often."""
        core, limits = self._core, self._core.limits
        gained = (self._now - self._tokens_at) / limits.bump_interval_s
        self._tokens = min(float(limits.bump_burst), self._tokens + gained)
        self._tokens_at = self._now
        self.bump_at = NEVER
        if self._is_bump_asked:
            return
        if self._tokens < 1:
            self.bump_at = self._now + (1 - self._tokens) * limits.bump_interval_s
            return
        self._tokens -= 1
        self._is_bump_asked = True
        core.counters.bumps += 1
        core.out.append(Bump(core.own.sequence if core.own is not None else 0))

    def timer(self, now: float) -> None:
        """Ask again, give up, or ask for the beacon that had to wait."""
        self._now = now
        if now >= self._quests.next_due:
            for quest in self._quests.take_due(now):
                self._retry(quest)
        if now >= self.bump_at and self._is_bump_wanted:
            self._bump()

    def _retry(self, quest: Quest) -> None:
        is_needed = quest.is_ours and quest.destination.best == NOBODY
        if is_needed:
            quest.rounds += 1
            self._pursue(quest, MAX_HOPS)
        else:
            self._quests.close(quest.destination.origin)

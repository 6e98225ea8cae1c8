"""From the queues onto the links: windows, payloads, retries, and starting over. Pure.

A link keeps the order of what it is given and loses only its tail, when it goes down. So order
needs two rules: after a new link, and after a destination was busy, we start over with the oldest;
and a destination that was busy takes nothing new until it hears that we do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ironmesh.delivery.actions import Load, OutboxAction, SendFloor, Transmit
from ironmesh.delivery.agenda import Agenda
from ironmesh.delivery.entry import Entry, Stage
from ironmesh.delivery.lane import Lane, LaneLink, pause_s
from ironmesh.delivery.records import OutboxState
from ironmesh.delivery.shelf import STORE_PAUSE_S, Shelf
from ironmesh.types import Instant, Message, MessageId, NodeId, Random

FLOOR_EVERY: Final = 256
"""Settled numbers after which a floor is told at once."""
FLOOR_IDLE_S: Final = 30.0
"""When fewer are told."""
BUSY_MAX_S: Final = 30.0
"""The longest pause before a destination that was busy is tried again."""
DRAIN_S: Final = 1.0
"""How often we look whether all that is on the wire was answered, before we start over."""


class Sender:
    """Gives the links what they may carry."""

    def __init__(self, own_id: NodeId, random: Random, shelf: Shelf) -> None:
        self._own_id = own_id
        self._random = random
        self._shelf = shelf
        self.resumes: Agenda[Lane] = Agenda()
        """Halted lanes, by when to start over."""
        self.floors: Agenda[Lane] = Agenda()
        """Lanes with a floor that is not told, by when to tell it."""

    # --- Links -------------------------------------------------------------------------------

    def link_up(
        self, lane: Lane, link: LaneLink, now: Instant, actions: list[OutboxAction]
    ) -> None:
        """Start over on a new link."""
        self.link_down(lane)
        lane.link = link
        lane.jitter = self._jitter()
        lane.progress_at = now.mono
        lane.halts = 0
        lane.release_held()
        self._start_over(lane, actions)
        self.pump(lane, now, actions)

    def link_down(self, lane: Lane) -> None:
        """What was not confirmed waits."""
        for entry in lane.unlink():
            self._shelf.retries.drop(entry)
            entry.tries = 0
        self.resumes.drop(lane)
        self.floors.drop(lane)

    def _start_over(self, lane: Lane, actions: list[OutboxAction]) -> None:
        lane.is_halted = False
        if lane.link is not None and lane.link.can_confirm and lane.epoch:
            self.floors.drop(lane)
            actions.append(SendFloor(lane.peer, lane.tell_floor(is_restart=True)))

    def halt(self, lane: Lane, pause: float, now: Instant) -> None:
        """Transmit nothing for some seconds, then start over."""
        lane.is_halted = True
        self.resumes.put(lane, now.mono + pause)

    def busy(self, lane: Lane, entries: Iterable[Entry], now: Instant) -> None:
        """The destination did not take these."""
        has_any = False
        for entry in entries:
            has_any = True
            if entry.stage is Stage.ON_WIRE:
                self._shelf.retries.drop(entry)
                lane.wait(entry)
        if has_any and not lane.is_halted:
            lane.halts += 1
            self.halt(lane, min(pause_s(lane.halts, lane.jitter), BUSY_MAX_S), now)

    # --- Transmitting ------------------------------------------------------------------------

    def pump(self, lane: Lane, now: Instant, actions: list[OutboxAction]) -> None:
        """Transmit what may go now."""
        if lane.link is None or lane.loading or lane.is_halted:
            return
        taken, oversized = lane.take()
        if oversized:
            limit = lane.link.max_payload_bytes
            reason = f"too large: the wire of this peer carries {limit} bytes"
            self._shelf.end(oversized, OutboxState.REFUSED, reason, now, actions)
        missing = tuple(entry.row.id for entry in taken if entry.payload is None)
        if missing:
            lane.loading = taken
            actions.append(Load(lane.peer, missing))
        elif taken:
            self._transmit(lane, taken, {}, actions)

    def _transmit(
        self,
        lane: Lane,
        entries: Iterable[Entry],
        loaded: dict[MessageId, bytes | None],
        actions: list[OutboxAction],
    ) -> None:
        messages: list[Message] = []
        on_wire = Stage.ON_WIRE
        for entry in entries:
            row = entry.row
            payload = entry.payload if entry.payload is not None else loaded.get(row.id)
            if payload is None:
                continue
            entry.stage = on_wire
            messages.append(
                Message(
                    row.id,
                    row.type,
                    payload,
                    self._own_id,
                    row.destination,
                    row.priority,
                    int(row.accepted_wall * 1000),
                )
            )
        if messages:
            actions.append(Transmit(lane.peer, tuple(messages)))

    def loaded(
        self,
        lane: Lane,
        payloads: dict[MessageId, bytes | None],
        now: Instant,
        actions: list[OutboxAction],
    ) -> None:
        """Transmit what waited for payloads; None where the store has none."""
        if not _is_awaited(lane, payloads):
            return
        entries, lane.loading = lane.loading, []
        waiting = [entry for entry in entries if entry.stage is Stage.LOADING]
        lost = [
            entry
            for entry in waiting
            if entry.payload is None and payloads.get(entry.row.id) is None
        ]
        reason = "its payload is gone from the store"
        self._shelf.end(lost, OutboxState.REFUSED, reason, now, actions)
        self._transmit(lane, waiting, payloads, actions)
        self.pump(lane, now, actions)

    def load_failed(self, lane: Lane, ids: Sequence[MessageId], now: Instant) -> None:
        """Try again a little later."""
        if not _is_awaited(lane, dict.fromkeys(ids)):
            return
        for entry in lane.loading:
            if entry.stage is Stage.LOADING:
                lane.wait(entry)
        lane.loading = []
        self.halt(lane, STORE_PAUSE_S, now)

    def written(self, entries: Iterable[Entry], now: Instant, actions: list[OutboxAction]) -> None:
        """Wait for receipts of these; to a peer that sends none there is nothing to wait for."""
        sent: list[Entry] = []
        on_wire, at = Stage.ON_WIRE, now.mono
        due: dict[float, list[Entry]] = {}
        for entry in entries:
            if entry.stage is not on_wire:
                continue
            lane = self._shelf.lane(entry.row.destination)
            if lane.link is None or not lane.link.can_confirm:
                sent.append(entry)
                continue
            lane.written_no += 1
            entry.written_no = lane.written_no
            entry.written_at = at
            due.setdefault(at + pause_s(entry.tries, lane.jitter), []).append(entry)
        for moment, some in due.items():
            self._shelf.retries.put_all(some, moment)
        self._shelf.end(sent, OutboxState.SENT, "", now, actions)
        for lane in self._shelf.lanes_of(sent):
            self.pump(lane, now, actions)

    # --- Time --------------------------------------------------------------------------------

    def retry_due(self, now: Instant, actions: list[OutboxAction]) -> None:
        """Let go again what was not confirmed in time."""
        again: list[Entry] = []
        for entry in self._shelf.retries.take_due(now.mono):
            due = self._shelf.lane(entry.row.destination).due_at(entry)
            if due > now.mono:
                self._shelf.retries.put(entry, due)
            else:
                again.append(entry)
        for entry in again:
            self._shelf.lane(entry.row.destination).wait(entry)
        for lane in self._shelf.lanes_of(again):
            lane.jitter = self._jitter()
            self.pump(lane, now, actions)

    def resume_due(self, now: Instant, actions: list[OutboxAction]) -> None:
        """Start over where a pause is over; all that is on the wire must be answered first."""
        for lane in self.resumes.take_due(now.mono):
            if lane.window:
                self.resumes.put(lane, now.mono + DRAIN_S)
            else:
                self._start_over(lane, actions)
                self.pump(lane, now, actions)

    def floors_due(self, now: Instant, actions: list[OutboxAction]) -> None:
        """Tell floors that were not told for a while."""
        actions.extend(
            SendFloor(lane.peer, lane.tell_floor(is_restart=False))
            for lane in self.floors.take_due(now.mono)
        )

    def offer_floor(self, lane: Lane, now: Instant, actions: list[OutboxAction]) -> None:
        """Tell the floor if that is worth a message now."""
        if lane.link is None or not lane.link.can_confirm:
            return
        untold = lane.floor - lane.told_floor
        if untold >= FLOOR_EVERY:
            self.floors.drop(lane)
            actions.append(SendFloor(lane.peer, lane.tell_floor(is_restart=False)))
        elif untold > 0 and lane not in self.floors:
            self.floors.put(lane, now.mono + FLOOR_IDLE_S)

    def _jitter(self) -> float:
        return 1.0 + self._random(1)[0] / 1024


def _is_awaited(lane: Lane, payloads: dict[MessageId, bytes | None]) -> bool:
    """Tell whether this answers the last `Load` of a lane, not one of a link before."""
    return bool(lane.loading) and all(
        entry.row.id in payloads
        for entry in lane.loading
        if entry.payload is None and entry.stage is Stage.LOADING
    )

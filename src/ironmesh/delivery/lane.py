"""All that the outbox knows of one destination: queues, the window of its link, its floor. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

import msgspec

from ironmesh.delivery.agenda import Line
from ironmesh.delivery.entry import Entry, Stage
from ironmesh.errors import QueueFullError
from ironmesh.types import PRIORITIES, MessageId, NodeId
from ironmesh.wire.receipts import Floor, join_id

_ACCEPTED: Final = Stage.ACCEPTED
_READY: Final = Stage.READY
_LOADING: Final = Stage.LOADING
_ON_WIRE: Final = Stage.ON_WIRE
_HELD: Final = Stage.HELD
"""A name of the module is found sooner than a member of an enumeration."""

RETRY_BASE_S: Final = 2.0
RETRY_MAX_S: Final = 300.0


class OutboxLimits(msgspec.Struct, frozen=True):
    """How much the outbox takes, for each destination."""

    messages: int = 100_000
    payload_bytes: int = 256 * 1024 * 1024
    window_messages: int = 1024
    """Transmitted and not confirmed, of one priority and all more urgent ones."""
    window_bytes: int = 4 * 1024 * 1024
    cache_bytes: int = 8 * 1024 * 1024
    """Payloads kept in memory while the link is up."""
    unknown_wire_bytes: int = 16 * 1024 * 1024
    """The largest payload while there is no link."""


class LaneLink(msgspec.Struct, frozen=True):
    """What the link to a destination can do."""

    can_confirm: bool
    max_payload_bytes: int


class Lane:
    """Messages of ours for one destination.

    Entries of one priority leave in the order of their numbers. Those that must go again are
    always older than those that never went, so they go first.
    """

    def __init__(self, peer: NodeId, limits: OutboxLimits) -> None:
        self.peer = peer
        self._limits = limits
        self.epoch = b""
        self.next_number = 1
        self.saved_next = 1
        """All smaller numbers are used up on disk too: a start does not give them again."""
        self.count = 0
        self.size_bytes = 0
        self.cached_bytes = 0
        self.link: LaneLink | None = None
        self.jitter = 1.0
        self.is_halted = False
        """The destination is busy: nothing goes until we start over."""
        self.halts = 0
        """How often it was busy since it last took something."""
        self.progress_at = 0.0
        """When the destination last confirmed something; monotonic seconds."""
        self.answered_no = 0
        self.written_no = 0
        self.told_floor = 0
        self.loading: list[Entry] = []
        self.window: dict[MessageId, Entry] = {}
        self._window_counts = [0] * len(PRIORITIES)
        self._window_bytes = [0] * len(PRIORITIES)
        self._fresh = tuple(
            Line[Entry](lambda entry: entry.stage is _READY and entry.is_fresh) for _ in PRIORITIES
        )
        self._again: tuple[list[tuple[int, Entry]], ...] = tuple([] for _ in PRIORITIES)
        self._held: dict[MessageId, Entry] = {}
        self._ledger = Line[Entry](lambda entry: not entry.is_gone)

    # --- Coming and going --------------------------------------------------------------------

    def next_id(self) -> tuple[MessageId, int]:
        """Return the id of the next message, and the number in it."""
        number = self.next_number
        self.next_number += 1
        return join_id(self.epoch, number), number

    def add(self, entry: Entry) -> None:
        """Count an entry and its number."""
        row = entry.row
        self.count += 1
        self.size_bytes += row.size_bytes
        if row.id.startswith(self.epoch):
            self._ledger.append(entry)

    def saved(self, entry: Entry) -> None:
        """An entry is on disk, and waits for its turn if it did not end meanwhile."""
        if entry.number >= self.saved_next:
            self.saved_next = entry.number + 1
        size_bytes = entry.row.size_bytes
        if self.link is None or self.cached_bytes + size_bytes > self._limits.cache_bytes:
            entry.payload = None
        if entry.payload is not None:
            self.cached_bytes += size_bytes
        entry.is_saved = True
        if entry.stage is _ACCEPTED:
            entry.stage = _READY
            self._fresh[entry.rank].append(entry)

    def leave(self, entry: Entry, stage: Stage = Stage.ENDED) -> None:
        """Take an entry out of queue and count."""
        self._move(entry, stage)
        self.count -= 1
        self.size_bytes -= entry.row.size_bytes
        if entry.payload is not None:
            self.uncache(entry)

    def gone(self, entry: Entry) -> None:
        """The end of an entry is on disk, or the entry will never be."""
        entry.is_gone = True
        self._ledger.note_left()

    def uncache(self, entry: Entry) -> None:
        """Forget a payload; the store has it."""
        if entry.payload is not None and entry.is_saved:
            self.cached_bytes -= entry.row.size_bytes
        entry.payload = None

    # --- Room --------------------------------------------------------------------------------

    def has_room(self, size_bytes: int) -> bool:
        """Tell whether a new entry fits without another one leaving for it."""
        limits = self._limits
        return self.count < limits.messages and self.size_bytes + size_bytes <= limits.payload_bytes

    def make_room(self, rank: int, size_bytes: int) -> tuple[Entry, ...]:
        """Return entries that leave for a new one: less urgent, the youngest first.

        Raises:
            QueueFullError: there is no such room; nothing was changed.
        """
        victims: list[Entry] = []
        while not self.has_room(size_bytes):
            fits_alone = size_bytes <= self._limits.payload_bytes
            victim = self._least_urgent(rank) if fits_alone else None
            if victim is None:
                self.take_back(victims)
                raise QueueFullError(
                    f"{self.count} messages ({self.size_bytes} bytes) wait for this peer already",
                    "wait until it has taken some, or cancel some",
                )
            self.leave(victim, Stage.YIELDING)
            victims.append(victim)
        return tuple(victims)

    def _least_urgent(self, rank: int) -> Entry | None:
        for line in reversed(self._fresh[rank + 1 :]):
            victim = line.pop_last()
            if victim is not None:
                return victim
        return None

    def take_back(self, victims: Sequence[Entry]) -> None:
        """Let entries that left for nothing wait where they waited."""
        for victim in victims:
            victim.stage = Stage.READY
            self.count += 1
            self.size_bytes += victim.row.size_bytes
        for rank in {victim.rank for victim in victims}:
            mine = (victim for victim in victims if victim.rank == rank)
            line = self._fresh[rank]
            line.replace(iter(sorted(chain(line, mine), key=lambda entry: entry.order)))

    # --- Stages ------------------------------------------------------------------------------

    def wait(self, entry: Entry) -> None:
        """An entry waits for its turn: first in line if it was transmitted before."""
        if entry.stage is _HELD:
            entry.is_fresh = False
        self._move(entry, _READY)
        if entry.is_fresh:
            self._fresh[entry.rank].append(entry)
        else:
            entry.written_at = None
            heapq.heappush(self._again[entry.rank], (entry.order, entry))

    def hold(self, entry: Entry) -> None:
        """An entry is at its destination, undecided."""
        self._move(entry, _HELD)
        self._held[entry.row.id] = entry

    def _move(self, entry: Entry, stage: Stage) -> None:
        before, entry.stage = entry.stage, stage
        if before is _ON_WIRE or before is _LOADING:
            del self.window[entry.row.id]
            self._window_counts[entry.rank] -= 1
            self._window_bytes[entry.rank] -= entry.row.size_bytes
        elif before is _READY:
            if entry.is_fresh and stage is not Stage.YIELDING:
                self._fresh[entry.rank].note_left()
        elif before is _HELD:
            del self._held[entry.row.id]

    def take(self) -> tuple[list[Entry], list[Entry]]:
        """Return those that go now, by priority and number, and those too large for the link."""
        taken: list[Entry] = []
        oversized: list[Entry] = []
        if self.link is None:
            return taken, oversized
        limit = self.link.max_payload_bytes
        count = size_bytes = 0
        for rank in range(len(PRIORITIES)):
            count += self._window_counts[rank]
            size_bytes += self._window_bytes[rank]
            again, fresh = self._again[rank], self._fresh[rank]
            while count < self._limits.window_messages and size_bytes < self._limits.window_bytes:
                entry = (self._pop(again) if again else None) or fresh.pop_first()
                if entry is None:
                    break
                if entry.row.size_bytes > limit:
                    oversized.append(entry)
                    continue
                count += 1
                size_bytes += entry.row.size_bytes
                taken.append(entry)
        self._put_into_window(taken)
        return taken, oversized

    def _pop(self, again: list[tuple[int, Entry]]) -> Entry | None:
        while again:
            entry = heapq.heappop(again)[1]
            if entry.stage is _READY:
                return entry
        return None

    def _put_into_window(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            entry.stage = _LOADING
            entry.is_fresh = False
            entry.tries += 1
            entry.attempts += 1
            self.window[entry.row.id] = entry
            self._window_counts[entry.rank] += 1
            self._window_bytes[entry.rank] += entry.row.size_bytes

    # --- Link --------------------------------------------------------------------------------

    def unlink(self) -> list[Entry]:
        """The link is gone: what was in its window waits; returns that."""
        self.link = None
        self.loading = []
        returned = list(self.window.values())
        for entry in returned:
            self.wait(entry)
        if self.cached_bytes:
            self._uncache_all(returned)
        return returned

    def _uncache_all(self, returned: list[Entry]) -> None:
        again = (entry for heap in self._again for _, entry in heap)
        for entry in chain(returned, again, *self._fresh):
            if entry.is_saved:
                self.uncache(entry)

    def release_held(self) -> None:
        """Let the undecided go again: the destination then says what it decided meanwhile."""
        for entry in list(self._held.values()):
            self.wait(entry)

    def due_at(self, entry: Entry) -> float:
        """Return when a written entry goes again, unless it is confirmed before.

        While the destination confirms others that were written before, it is just slow.
        """
        since = entry.written_at or 0.0
        if entry.written_no > self.answered_no:
            since = max(since, self.progress_at)
        return since + pause_s(entry.tries, self.jitter)

    def answered(self, entries: Iterable[Entry], now: float) -> None:
        """The destination said something about entries."""
        written = [entry.written_no for entry in entries if entry.written_at is not None]
        if written:
            self.progress_at = now
            self.answered_no = max(self.answered_no, *written)

    # --- Floor -------------------------------------------------------------------------------

    @property
    def floor(self) -> int:
        """All numbers below it are settled, on disk too."""
        first = self._ledger.first
        return self.saved_next if first is None else min(first.number, self.saved_next)

    def tell_floor(self, *, is_restart: bool) -> Floor:
        """Return what to tell the destination."""
        self.told_floor = self.floor
        return Floor(self.epoch, self.told_floor, is_restart)


def pause_s(tries: int, jitter: float) -> float:
    """Return how long to wait after the `tries`-th attempt (1, 2, ...)."""
    if tries == 1:
        return RETRY_BASE_S * jitter
    return min(RETRY_BASE_S * 2.0 ** min(tries - 1, 16), RETRY_MAX_S) * jitter

"""The receiving half of the promise: what was receipted is on disk, and handlers see it once.

The shell hands over what arrives, and runs one writer:

    arrival = inbox.arrived(via, messages, is_foreign, now)     # send arrival.receipts
    while (batch := inbox.next_batch(now)) is not None:         # commit batch.ops, then:
        ready = inbox.committed(batch)                          # send, and give rows to handlers
        inbox.commit_failed(batch, now)                         # or this; it comes again later

It reads from its links only while `is_ready`; `next_timer` says when `next_batch` has something,
or `is_ready` may have changed, without an input.

There is one batch at a time. So messages become lasting in the order in which they arrived, even
when a commit fails: the next batch holds them again, and nothing newer was committed meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from ironmesh.delivery.actions import Arrival, Batch, Ready, SendReceipt
from ironmesh.delivery.records import (
    InboxRow,
    MarkHandled,
    PutInbox,
    SetFloor,
    Snapshot,
    StoreOp,
)
from ironmesh.delivery.remembered import ForeignIds, OwnIds, Standing
from ironmesh.errors import LocalProtocolError
from ironmesh.types import Instant, Message, MessageId, MessagePriority, NodeId
from ironmesh.wire.receipts import MAX_IDS, MAX_NUMBER, Floor, Receipt, Verdict, split_id

MANY_MARKS: Final = 256
"""Handled messages that are noted on disk with the next batch."""
MAX_MARKS: Final = 1024
"""Those that are noted without one."""
MARKS_DELAY_S: Final = 1.0
"""When fewer are."""
MANY_MESSAGES: Final = 32
"""After a batch of so many, more are on their way."""
FULL_BATCH: Final = 256
"""So many wait for nothing."""
GATHER_S: Final = 0.008
"""How long after a batch of many the next one begins, so that it holds many as well."""
STORE_PAUSE_S: Final = 5.0
"""After a commit failed."""
_URGENT: Final = frozenset({MessagePriority.CRITICAL, MessagePriority.HIGH})
"""These wait for nothing."""
FORGET_EVERY_S: Final = 3600.0

_REASONS: Final = {
    Standing.SETTLED: "its source settled it before",
    Standing.IMPOSSIBLE: "too many epochs of one source, or a number out of range",
    Standing.FULL: "too many unsettled messages of one source",
    Standing.HALTED: "an older message was not taken",
}


class InboxLimits(msgspec.Struct, frozen=True):
    """How much may wait for the disk and for handlers before links are no longer read."""

    messages: int = 8192
    payload_bytes: int = 32 * 1024 * 1024


class Inbox:
    """Messages for us, from arrival to the end of their handlers."""

    def __init__(self, limits: InboxLimits | None = None) -> None:
        self._limits = limits or InboxLimits()
        self._own = OwnIds()
        self._foreign = ForeignIds()
        self._next_sequence = 1
        self._arrived: deque[InboxRow] = deque()
        self._uncommitted: set[tuple[NodeId, MessageId]] = set()
        self._floors: dict[tuple[NodeId, bytes], SetFloor] = {}
        self._unhandled: dict[int, int] = {}
        """By sequence, the sizes of those whose handlers have not ended."""
        self._started: set[int] = set()
        """Those of them whose handlers began."""
        self._handled: list[int] = []
        self._marks_due: float | None = None
        self._batch: Batch | None = None
        self._paused_until: float | None = None
        self._gathers_until: float | None = None
        self._bytes = 0
        self._is_backed_up = False
        self._forget_at: float | None = None

    # --- What others ask ---------------------------------------------------------------------

    def is_ready(self, now: Instant) -> bool:
        """Tell whether links may be read: the disk takes messages, and handlers keep up."""
        is_paused = self._paused_until is not None and now.mono < self._paused_until
        return not is_paused and not self._is_backed_up

    @property
    def next_timer(self) -> float | None:
        """When to ask `next_batch` and `is_ready` again, in monotonic seconds; None = no need."""
        if self._batch is not None:
            return None
        if self._paused_until is not None:
            return self._paused_until
        due = [self._marks_due, self._gathers_until if self._arrived else None]
        return min((at for at in due if at is not None), default=None)

    @property
    def backlog(self) -> int:
        """Messages that wait for the disk or for handlers."""
        return len(self._arrived) + len(self._unhandled) + self._in_batch

    @property
    def _in_batch(self) -> int:
        return len(self._batch.rows) if self._batch is not None else 0

    # --- Arriving ----------------------------------------------------------------------------

    def restore(self, snapshot: Snapshot, now: Instant) -> tuple[InboxRow, ...]:
        """Go on where the last run ended; returns what handlers are to get, first."""
        self._own.restore(snapshot.sources, now)
        self._foreign.restore(snapshot.foreign, now)
        self._next_sequence = snapshot.next_sequence
        for row in snapshot.unhandled:
            self._unhandled[row.sequence] = len(row.message.payload)
            self._bytes += len(row.message.payload)
        self._judge_backlog()
        return snapshot.unhandled

    def arrived(
        self, via: NodeId, messages: Sequence[Message], is_foreign: bool, now: Instant
    ) -> Arrival:
        """Take messages that a link's session has checked.

        Args:
            via: the peer that handed them over.
            is_foreign: published nodes made their ids: they are not receipted.
        """
        self._forget_old(now)
        answers = _Answers()
        new = duplicates = refused = 0
        is_new, is_known = Standing.NEW, Standing.KNOWN
        room = 2 * self._limits.messages - self.backlog
        most_bytes = 2 * self._limits.payload_bytes
        for message in messages:
            has_room = new < room and self._bytes < most_bytes
            standing = self._look(message, is_foreign, now, has_room=has_room)
            if standing is is_new:
                new += 1
                self._take(via, message, is_foreign, now)
            elif standing is is_known:
                duplicates += 1
                # While its commit is under way, the receipt comes with that.
                if not is_foreign and (message.source, message.id) not in self._uncommitted:
                    answers.add(message, Verdict.ACCEPTED)
            else:
                refused += 1
                self._turn_down(message, standing, answers, is_foreign=is_foreign)
        self._judge_backlog()
        return Arrival(answers.receipts(), new, duplicates, refused)

    def _look(
        self, message: Message, is_foreign: bool, now: Instant, *, has_room: bool
    ) -> Standing:
        """Tell what is known of a message, which is known from now on if there is room for it."""
        if not is_foreign:
            standing = self._own.look(message.source, message.id, now, remembers=has_room)
        elif self._foreign.is_known(message.source, message.id):
            standing = Standing.KNOWN
        else:
            standing = Standing.NEW
            if has_room:
                self._foreign.add(message.source, message.id, now)
        return standing if has_room or standing is not Standing.NEW else Standing.FULL

    def _take(self, via: NodeId, message: Message, is_foreign: bool, now: Instant) -> None:
        if is_foreign or message.priority in _URGENT:  # nobody would send a foreign one again
            self._gathers_until = None
        self._uncommitted.add((message.source, message.id))
        self._arrived.append(
            InboxRow(
                sequence=self._next_sequence,
                message=message,
                via=via,
                arrived_wall=now.wall,
                is_foreign=is_foreign,
            )
        )
        self._next_sequence += 1
        self._bytes += len(message.payload)

    def _turn_down(
        self, message: Message, standing: Standing, answers: _Answers, *, is_foreign: bool
    ) -> None:
        if is_foreign or split_id(message.id)[1] > MAX_NUMBER:
            return  # nobody listens, or no receipt can speak of it
        reason = _REASONS[standing]
        if standing in (Standing.FULL, Standing.HALTED):
            self._own.halt(message.source, message.id)
            answers.add(message, Verdict.BUSY, reason)
        else:
            answers.add(message, Verdict.REFUSED, reason)

    def floor(self, source: NodeId, floor: Floor, now: Instant) -> None:
        """A source says which of its ids are settled, and whether it starts over."""
        if self._own.raise_floor(source, floor, now):
            key = (source, floor.epoch)
            self._floors[key] = SetFloor(source, floor.epoch, floor.number, now.wall)
            self._note_marks(now)

    # --- Committing --------------------------------------------------------------------------

    def next_batch(self, now: Instant) -> Batch | None:
        """Return what to commit now; None = nothing, or a batch is under way."""
        if self._batch is not None:
            return None
        if self._paused_until is not None:
            if now.mono < self._paused_until:
                return None
            self._paused_until = None
        are_late = self._marks_due is not None and self._marks_due <= now.mono
        if not (are_late or len(self._handled) >= MAX_MARKS or self._is_batch_due(now)):
            return None
        rows = tuple(self._arrived)
        self._arrived.clear()
        ops: list[StoreOp] = [PutInbox(rows)] if rows else []
        if are_late or len(self._handled) >= MANY_MARKS:
            ops += self._take_marks()
        self._gathers_until = now.mono + GATHER_S if len(rows) >= MANY_MESSAGES else None
        self._batch = Batch(tuple(ops), rows)
        return self._batch

    def _is_batch_due(self, now: Instant) -> bool:
        """Tell whether what arrived waits for nothing: a stream of many goes in large batches."""
        is_over = self._gathers_until is None or self._gathers_until <= now.mono
        return bool(self._arrived) and (is_over or len(self._arrived) >= FULL_BATCH)

    def _take_marks(self) -> list[StoreOp]:
        marks: list[StoreOp] = [MarkHandled(tuple(self._handled))] if self._handled else []
        marks += self._floors.values()
        self._handled = []
        self._floors = {}
        self._marks_due = None
        return marks

    def _note_marks(self, now: Instant) -> None:
        if self._marks_due is None:
            self._marks_due = now.mono + MARKS_DELAY_S

    def committed(self, batch: Batch) -> Ready:
        """A batch is on disk: its sources may know, and handlers may have it."""
        self._finish(batch)
        answers = _Answers()
        uncommitted, unhandled = self._uncommitted, self._unhandled
        for row in batch.rows:
            message = row.message
            uncommitted.discard((message.source, message.id))
            unhandled[row.sequence] = len(message.payload)
            if not row.is_foreign:
                answers.add(message, Verdict.ACCEPTED)
        return Ready(answers.receipts(), batch.rows)

    def commit_failed(self, batch: Batch, now: Instant) -> None:
        """A batch is not on disk, nor any of it: the next one holds it again, after a pause."""
        self._finish(batch)
        self._paused_until = now.mono + STORE_PAUSE_S
        self._arrived.extendleft(reversed(batch.rows))
        for op in batch.ops:
            if isinstance(op, MarkHandled):
                self._handled[:0] = op.sequences
            elif isinstance(op, SetFloor):
                self._floors.setdefault((op.source, op.epoch), op)
        self._note_marks(now)

    def _finish(self, batch: Batch) -> None:
        if batch is not self._batch:
            raise LocalProtocolError("this batch is not the one under way")
        self._batch = None

    # --- Handlers ----------------------------------------------------------------------------

    def started(self, sequences: Iterable[int]) -> None:
        """The handlers of messages begin.

        Raises:
            LocalProtocolError: one began before, or its message is not on disk.
        """
        for sequence in sequences:
            if sequence in self._started or sequence not in self._unhandled:
                raise LocalProtocolError(
                    "a message is given to its handler once, and once it is saved"
                )
            self._started.add(sequence)

    def handled(self, sequences: Iterable[int], now: Instant) -> None:
        """The handlers of messages are done.

        Raises:
            LocalProtocolError: one never began.
        """
        for sequence in sequences:
            if sequence not in self._started:
                raise LocalProtocolError("a handler ended that never began")
            self._started.discard(sequence)
            self._bytes -= self._unhandled.pop(sequence)
            self._handled.append(sequence)
        if self._handled:
            self._note_marks(now)
        self._judge_backlog()

    def _judge_backlog(self) -> None:
        share = 2 if self._is_backed_up else 1
        has_many = self.backlog * share >= self._limits.messages
        self._is_backed_up = has_many or self._bytes * share >= self._limits.payload_bytes

    def _forget_old(self, now: Instant) -> None:
        if self._forget_at is None or now.mono >= self._forget_at:
            self._forget_at = now.mono + FORGET_EVERY_S
            self._own.forget_old(now)
            self._foreign.forget_old(now)


class _Answers:
    """Collects verdicts into as few receipts as can be."""

    def __init__(self) -> None:
        self._ids: dict[tuple[NodeId, Verdict, str], list[MessageId]] = {}

    def add(self, message: Message, verdict: Verdict, reason: str = "") -> None:
        self._ids.setdefault((message.source, verdict, reason), []).append(message.id)

    def receipts(self) -> tuple[SendReceipt, ...]:
        return tuple(
            SendReceipt(source, Receipt(verdict, tuple(ids[start : start + MAX_IDS]), reason))
            for (source, verdict, reason), ids in self._ids.items()
            for start in range(0, len(ids), MAX_IDS)
        )

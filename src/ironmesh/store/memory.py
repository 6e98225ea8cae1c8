"""The delivery store's twin in memory: every commit is a point at which the node may die.

For tests and simulations. What a commit wrote survives a crash; notes about handlers, which the
real store writes without flushing, survive the death of the process but not that of the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum

import msgspec

from ironmesh.delivery.records import (
    EndOutbox,
    EpochRecord,
    ForeignId,
    ForgetEpochs,
    InboxRow,
    MarkHandled,
    OutboxRow,
    PruneHistory,
    PutInbox,
    PutOutbox,
    SetFloor,
    ShiftClock,
    Snapshot,
    SourceRecord,
    StoreOp,
    UpdateOutbox,
)
from ironmesh.errors import StoreError
from ironmesh.types import MessageId, NodeId
from ironmesh.wire.receipts import split_id


class CommitPoint(Enum):
    """A moment of a commit at which a hook is called."""

    BEFORE = "before"
    """Nothing of the batch is on disk."""
    AFTER = "after"
    """All of it is; nobody knows yet."""


CommitHook = Callable[[CommitPoint, Sequence[StoreOp]], None]
"""Called at each commit; a StoreError that it raises BEFORE makes the commit fail."""


class _Source:
    def __init__(self) -> None:
        self.floor = 0
        self.numbers: set[int] = set()
        self.used_wall = 0.0


class _Disk:
    """What is there after a crash."""

    def __init__(self) -> None:
        self.outbox: dict[tuple[NodeId, MessageId], OutboxRow] = {}
        self.payloads: dict[tuple[NodeId, MessageId], bytes] = {}
        self.epochs: dict[NodeId, EpochRecord] = {}
        self.inbox: dict[int, InboxRow] = {}
        self.handled: set[int] = set()
        self.next_sequence = 1
        self.sources: dict[tuple[NodeId, bytes], _Source] = {}
        self.foreign: dict[tuple[NodeId, MessageId], float] = {}

    def apply(self, op: StoreOp) -> None:
        match op:
            case PutOutbox():
                self._put_outbox(op)
            case UpdateOutbox():
                self._update_outbox(op)
            case EndOutbox():
                self._end_outbox(op)
            case PutInbox():
                self._put_inbox(op)
            case MarkHandled():
                self.handled.update(op.sequences)
            case SetFloor():
                self._set_floor(op)
            case ForgetEpochs():
                self._forget(op)
            case PruneHistory():
                self._prune(op)
            case ShiftClock():
                self._shift(op.shift_s)

    def _put_outbox(self, op: PutOutbox) -> None:
        for row, payload in op.rows:
            key = (row.destination, row.id)
            epoch, number = split_id(row.id)
            self.outbox[key] = row
            self.payloads[key] = payload
            self.epochs[row.destination] = EpochRecord(row.destination, epoch, number + 1)

    def _update_outbox(self, op: UpdateOutbox) -> None:
        row = self.outbox.get((op.destination, op.id))
        if row is not None:
            self.outbox[op.destination, op.id] = msgspec.structs.replace(
                row,
                state=op.state,
                ended_wall=op.ended_wall,
                reason=op.reason,
                attempts=row.attempts if op.attempts is None else op.attempts,
            )

    def _end_outbox(self, op: EndOutbox) -> None:
        how = (op.destination, op.state, op.ended_wall, op.reason, op.attempts)
        for message_id in op.ids:
            self._update_outbox(UpdateOutbox(message_id, *how))

    def _put_inbox(self, op: PutInbox) -> None:
        for row in op.rows:
            self._put_arrived(row)

    def _put_arrived(self, row: InboxRow) -> None:
        message = row.message
        self.inbox[row.sequence] = row
        self.next_sequence = max(self.next_sequence, row.sequence + 1)
        if row.is_foreign:
            self.foreign[message.source, message.id] = row.arrived_wall
            return
        epoch, number = split_id(message.id)
        source = self.sources.setdefault((message.source, epoch), _Source())
        source.used_wall = row.arrived_wall
        if number >= source.floor:
            source.numbers.add(number)

    def _set_floor(self, op: SetFloor) -> None:
        source = self.sources.setdefault((op.source, op.epoch), _Source())
        source.used_wall = op.used_wall
        source.floor = max(source.floor, op.number)
        source.numbers = {number for number in source.numbers if number >= source.floor}

    def _forget(self, op: ForgetEpochs) -> None:
        self.sources = {
            key: one
            for key, one in self.sources.items()
            if one.used_wall >= op.epochs_unused_since_wall
        }
        self.foreign = {key: at for key, at in self.foreign.items() if at >= op.foreign_before_wall}

    def _prune(self, op: PruneHistory) -> None:
        for key, row in list(self.outbox.items()):
            if row.ended_wall is not None and row.ended_wall < op.before_wall:
                del self.outbox[key], self.payloads[key]
        for sequence in list(self.handled):
            if self.inbox[sequence].arrived_wall < op.before_wall:
                self.handled.discard(sequence)
                del self.inbox[sequence]

    def _shift(self, shift_s: float) -> None:
        for key, row in self.outbox.items():
            if not row.state.is_end:
                self.outbox[key] = msgspec.structs.replace(row, as_of_wall=row.as_of_wall + shift_s)
        for source in self.sources.values():
            source.used_wall += shift_s
        self.foreign = {key: at + shift_s for key, at in self.foreign.items()}


class MemoryStore:
    """Implements `DeliveryStore`; `apply`, `snapshot` and `read` are the same without waiting.

    Args:
        hook: called around every commit; what it raises stops the commit there.
    """

    def __init__(self, hook: CommitHook | None = None) -> None:
        self._disk = _Disk()
        self._hook = hook
        self._started: set[int] = set()
        self._completed: set[int] = set()
        self._is_dead = False

    # --- DeliveryStore -----------------------------------------------------------------------

    async def load(self) -> Snapshot:
        """Return what a start finds."""
        return self.snapshot()

    async def commit(self, batch: Sequence[StoreOp]) -> None:
        """Make a batch last.

        Raises:
            StoreError: the hook says so; nothing of the batch took effect.
        """
        self.apply(batch)

    async def payloads(self, ids: Sequence[tuple[NodeId, MessageId]]) -> list[bytes | None]:
        """Return the payloads of messages of ours; None where gone."""
        return self.read(ids)

    def note_started(self, sequence: int, *, after: int | None = None) -> None:
        """The handler of this message begins, and that of `after` is done."""
        self._check()
        if after is not None:
            self._completed.add(after)
        self._started.add(sequence)

    def note_completed(self, sequence: int) -> None:
        """The handler of this message is done."""
        self._check()
        self._completed.add(sequence)

    async def close(self) -> None:
        """Nothing is open."""

    # --- The same at once --------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Return what a start finds; what notes say becomes lasting."""
        self._check()
        disk = self._disk
        disk.handled |= self._completed & disk.inbox.keys()
        for sequence in self._started & disk.inbox.keys():
            row = disk.inbox[sequence]
            disk.inbox[sequence] = msgspec.structs.replace(row, is_redelivered=True)
        unhandled = sorted(disk.inbox.keys() - disk.handled)
        return Snapshot(
            outbox=tuple(row for row in disk.outbox.values() if not row.state.is_end),
            epochs=tuple(disk.epochs.values()),
            unhandled=tuple(disk.inbox[sequence] for sequence in unhandled),
            sources=tuple(
                SourceRecord(source, epoch, one.floor, tuple(sorted(one.numbers)), one.used_wall)
                for (source, epoch), one in disk.sources.items()
            ),
            foreign=tuple(
                ForeignId(source, message_id, at)
                for (source, message_id), at in disk.foreign.items()
            ),
            next_sequence=disk.next_sequence,
        )

    def apply(self, batch: Sequence[StoreOp]) -> None:
        """Make a batch last."""
        self._check()
        if self._hook is not None:
            self._hook(CommitPoint.BEFORE, batch)
        for op in batch:
            self._disk.apply(op)
            if isinstance(op, MarkHandled):
                self._started.difference_update(op.sequences)
                self._completed.difference_update(op.sequences)
        if self._hook is not None:
            self._hook(CommitPoint.AFTER, batch)

    def read(self, ids: Sequence[tuple[NodeId, MessageId]]) -> list[bytes | None]:
        """Return payloads; None where gone."""
        self._check()
        return [self._disk.payloads.get(key) for key in ids]

    # --- For tests ---------------------------------------------------------------------------

    def crash(self, *, is_power_loss: bool = False) -> MemoryStore:
        """Return what a start finds after the process, or the machine, died; this one is dead."""
        self._is_dead = True
        after = MemoryStore(self._hook)
        after._disk = self._disk
        if is_power_loss:
            # The notes are lost, so every handler may have begun.
            after._started = set(self._disk.inbox) - self._disk.handled
        else:
            after._started, after._completed = self._started, self._completed
        return after

    def history(self) -> list[OutboxRow]:
        """Return all messages of ours, ended ones too, the oldest first."""
        return list(self._disk.outbox.values())

    def remembered(self) -> int:
        """Return how many single ids are kept."""
        numbers = sum(len(one.numbers) for one in self._disk.sources.values())
        return numbers + len(self._disk.foreign)

    def _check(self) -> None:
        if self._is_dead:
            raise StoreError("the store is closed", "open it anew")

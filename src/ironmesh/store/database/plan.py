"""From the operations of many batches to few rows and statements.

Operations are gathered by table, and carried out when the transaction ends or when one comes that
must not overtake what was gathered.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from ironmesh.delivery.records import (
    EndOutbox,
    ForgetEpochs,
    MarkHandled,
    PruneHistory,
    PutInbox,
    PutOutbox,
    SetFloor,
    ShiftClock,
    StoreOp,
    UpdateOutbox,
)
from ironmesh.store.database.inbox_rows import InboxRows
from ironmesh.store.database.outbox_rows import Ends, OutboxRows
from ironmesh.store.database.pruning import Pruning
from ironmesh.store.database.rows import EPOCH_BYTES, node_bytes, split_id
from ironmesh.store.database.sealing import Sealer
from ironmesh.store.database.statements import execute_rows, runs
from ironmesh.store.database.streams import Epochs, Sources

_PUT_ARRIVED: Final = (
    "INSERT INTO arrived (source, number, last) VALUES {rows} ON CONFLICT (source, number)"
    " DO UPDATE SET last = max(coalesce(last, number), excluded.last)"
)
_PUT_FOREIGN: Final = "INSERT INTO foreign_id (arrived, sealed) VALUES {rows}"

_SHIFT: Final = (
    "UPDATE outbox SET as_of = as_of + ? WHERE ended IS NULL",
    "UPDATE source SET used = used + ?",
    "UPDATE foreign_id SET arrived = arrived + ?",
)


class Plan:
    """The operations of one transaction.

    Args:
        connection: with a transaction begun.
        sealer: seals.
        epochs: our numberings.
        sources: those of others.
        outbox: the rows of our messages.
        inbox: those of others' messages.
        pruning: removes what is old.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        sealer: Sealer,
        epochs: Epochs,
        sources: Sources,
        outbox: OutboxRows,
        inbox: InboxRows,
        pruning: Pruning,
    ) -> None:
        self._connection = connection
        self._sealer = sealer
        self._epochs = epochs
        self._sources = sources
        self._outbox = outbox
        self._inbox = inbox
        self._pruning = pruning
        self._updates: dict[tuple[int, bytes], UpdateOutbox] = {}
        self._ends: list[Ends] = []
        self._ended: dict[int, int] = {}
        """By numbering, the largest number among those."""
        self._arrived: dict[int, set[int]] = {}
        self._foreign: list[Any] = []
        self._handled: dict[int, None] = {}
        self._take: dict[type, Callable[[Any], None]] = {
            PutOutbox: self._put_outbox,
            UpdateOutbox: self._update_outbox,
            EndOutbox: self._end_outbox,
            PutInbox: self._put_inbox,
            MarkHandled: self._mark_handled,
            SetFloor: self._set_floor,
            ForgetEpochs: self._forget,
            PruneHistory: self._prune,
            ShiftClock: self._shift,
        }

    def run(self, batches: Iterable[Sequence[StoreOp]]) -> None:
        """Carry out batches in their order.

        Raises:
            sqlite3.Error: the database did not take it.
            ValueError, struct.error, OverflowError: a value that no row can hold.
        """
        take = self._take
        for batch in batches:
            for operation in batch:
                take[type(operation)](operation)
        self._flush()

    # --- Gathering ---------------------------------------------------------------------------

    def _put_outbox(self, operation: PutOutbox) -> None:
        put, numbering, epoch = self._outbox.put, None, 0
        used: dict[int, bytes] = {}
        for row, payload in operation.rows:
            epoch_bytes, number = split_id(row.id)
            if numbering != (row.destination, epoch_bytes):
                numbering = row.destination, epoch_bytes
                epoch = self._epochs.use(*numbering)
            is_behind = self._ended and int.from_bytes(number) <= self._ended.get(epoch, -1)
            if is_behind or (self._updates and (epoch, number) in self._updates):
                self._flush()
            put(epoch, number, row, payload)
            used[epoch] = max(number, used.get(epoch, number))
        for epoch, number in used.items():
            self._epochs.note(epoch, number)

    def _update_outbox(self, operation: UpdateOutbox) -> None:
        epoch_bytes, number = split_id(operation.id)
        epoch = self._epochs.find(operation.destination, epoch_bytes)
        if epoch is None:
            return
        earlier = self._updates.get((epoch, number))
        is_less = earlier is not None and operation.attempts is None
        if self._ends or (is_less and earlier is not None and earlier.attempts is not None):
            self._flush()
        self._updates[epoch, number] = operation

    def _end_outbox(self, operation: EndOutbox) -> None:
        ids, destination, state = operation.ids, operation.destination, operation.state
        wall, reason, attempts = operation.ended_wall, operation.reason, operation.attempts
        if reason:  # sealed for each
            for one in ids:
                self._update_outbox(UpdateOutbox(one, destination, state, wall, reason, attempts))
            return
        if self._updates:
            self._flush()
        by_epoch: dict[bytes, list[int]] = {}
        for one in ids:
            epoch_bytes, number = split_id(one)
            by_epoch.setdefault(epoch_bytes, []).append(int.from_bytes(number))
        for epoch_bytes, numbers in by_epoch.items():
            epoch = self._epochs.find(destination, epoch_bytes)
            if epoch is not None:
                numbers.sort()
                self._ends.append(Ends(epoch, numbers, state, wall, attempts))
                self._ended[epoch] = max(numbers[-1], self._ended.get(epoch, -1))

    def _put_inbox(self, operation: PutInbox) -> None:
        put, numbering, numbers = self._inbox.put, None, set[int]()
        for row in operation.rows:
            if self._handled and row.sequence in self._handled:
                self._flush()
                numbering = None
            put(row)
            message = row.message
            epoch_bytes, number = split_id(message.id)
            if row.is_foreign:
                name = message.id + node_bytes(message.source)
                self._foreign += (row.arrived_wall, self._sealer.seal(b"f", name))
                continue
            if numbering != (message.source, epoch_bytes, row.arrived_wall):
                numbering = message.source, epoch_bytes, row.arrived_wall
                numbers = self._arrived.setdefault(self._sources.use(*numbering), set())
            numbers.add(int.from_bytes(number))

    def _mark_handled(self, operation: MarkHandled) -> None:
        self._handled.update(dict.fromkeys(operation.sequences))

    def _set_floor(self, operation: SetFloor) -> None:
        source = self._sources.use(operation.source, operation.epoch, operation.used_wall)
        self._sources.raise_floor(source, operation.number)

    def _forget(self, operation: ForgetEpochs) -> None:
        self._flush()
        self._sources.forget(operation.epochs_unused_since_wall)
        self._pruning.start_foreign(operation.foreign_before_wall)

    def _prune(self, operation: PruneHistory) -> None:
        self._flush()
        self._pruning.start_history(operation.before_wall)

    def _shift(self, operation: ShiftClock) -> None:
        self._flush()
        for statement in _SHIFT:
            self._connection.execute(statement, (operation.shift_s,))
        self._pruning.shift(operation.shift_s)

    # --- Carrying out ------------------------------------------------------------------------

    def _flush(self) -> None:
        """New rows first: what changes a row was said after it was put."""
        self._outbox.insert()
        self._outbox.end(self._ends)
        self._outbox.update(self._updates)
        self._inbox.flush(self._handled)
        execute_rows(self._connection, _PUT_ARRIVED, 3, self._arrived_values())
        execute_rows(self._connection, _PUT_FOREIGN, 2, self._foreign)
        self._epochs.flush()
        self._sources.flush()
        self._ends.clear()
        self._foreign.clear()
        for gathered in (self._updates, self._ended, self._arrived, self._handled):
            gathered.clear()

    def _arrived_values(self) -> list[Any]:
        values: list[Any] = []
        for source, numbers in self._arrived.items():
            for first, last in runs(sorted(numbers)):
                values += (source, first.to_bytes(EPOCH_BYTES), last.to_bytes(EPOCH_BYTES))
        return values

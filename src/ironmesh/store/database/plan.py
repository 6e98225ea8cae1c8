"""From the operations of many batches to few statements.

A statement with many rows costs one step of SQLite, and one release of the interpreter's lock, for
all of them. Operations are gathered by table, and carried out when the transaction ends or when
one comes that must not overtake what was gathered.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any, Final

from ironmesh.delivery.records import (
    ForgetEpochs,
    MarkHandled,
    OutboxRow,
    OutboxState,
    PruneHistory,
    PutInbox,
    PutOutbox,
    SetFloor,
    ShiftClock,
    StoreOp,
    UpdateOutbox,
)
from ironmesh.store.database.pruning import Pruning
from ironmesh.store.database.rows import (
    EPOCH_BYTES,
    STATE_NUMBERS,
    identity,
    inbox_parts,
    outbox_parts,
    split_id,
)
from ironmesh.store.database.sealing import Sealer
from ironmesh.store.database.streams import Epochs, Sources

MAX_ROWS: Final = 64
"""Rows in one statement."""

_PUT_OUTBOX: Final = (
    "INSERT INTO outbox (epoch, number, state, attempts, accepted, lifetime, as_of, ended, size,"
    " reason, head, payload) VALUES {rows}"
)
_UPDATE_OUTBOX: Final = (
    "UPDATE outbox SET state = new.column3, ended = iif(new.column4, coalesce(new.column5,"
    " accepted), NULL), reason = new.column6, attempts = coalesce(new.column7, attempts)"
    " FROM (VALUES {rows}) AS new"
    " WHERE epoch = new.column1 AND number = new.column2"
)
_PUT_INBOX: Final = (
    "INSERT INTO inbox (sequence, peer, arrived, redelivered, size, head, payload) VALUES {rows}"
)
_PUT_ARRIVED: Final = "INSERT OR IGNORE INTO arrived (source, number) VALUES {rows}"
_PUT_FOREIGN: Final = "INSERT INTO foreign_id (arrived, sealed) VALUES {rows}"
_UPDATE_RUN: Final = (
    "UPDATE outbox SET state = ?, ended = iif(?, coalesce(?, accepted), NULL), reason = ?,"
    " attempts = coalesce(?, attempts) WHERE epoch = ? AND number BETWEEN ? AND ?"
)
"""The same for messages that follow one another and change alike, as most do."""
_MARK_HANDLED: Final = "UPDATE inbox SET handled = arrived WHERE sequence BETWEEN ? AND ?"

_ENDS: Final = frozenset(state for state in OutboxState if state.is_end)

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
        pruning: removes what is old.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        sealer: Sealer,
        epochs: Epochs,
        sources: Sources,
        pruning: Pruning,
    ) -> None:
        self._connection = connection
        self._seal = sealer.seal
        self._pseudonym = sealer.pseudonym
        self._epochs = epochs
        self._sources = sources
        self._pruning = pruning
        self._new_outbox: list[Any] = []
        self._updates: dict[tuple[int, bytes], UpdateOutbox] = {}
        self._new_inbox: list[Any] = []
        self._arrived: list[Any] = []
        self._foreign: list[Any] = []
        self._handled: dict[int, None] = {}
        self._take: dict[type, Callable[[Any], None]] = {
            PutOutbox: self._put_outbox,
            UpdateOutbox: self._update_outbox,
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
        for row, payload in operation.rows:
            epoch_bytes, number = split_id(row.id)
            epoch = self._epochs.use(row.destination, epoch_bytes, number)
            if (epoch, number) in self._updates:
                self._flush()
            self._new_outbox += self._outbox_values(epoch, number, row, payload)

    def _outbox_values(
        self, epoch: int, number: bytes, row: OutboxRow, payload: bytes
    ) -> tuple[Any, ...]:
        row_identity = identity(epoch, number)
        head, rest = outbox_parts(row.type, row.priority, payload)
        return (
            epoch,
            number,
            STATE_NUMBERS[row.state],
            row.attempts,
            row.accepted_wall,
            row.lifetime_s,
            row.as_of_wall,
            _ended(row.state, row.ended_wall, row.accepted_wall),
            row.size_bytes,
            self._sealed_reason(epoch, number, row.reason) if row.reason else None,
            self._seal(b"o" + row_identity, head),
            b"" if rest is None else self._seal(b"p" + row_identity, rest),
        )

    def _update_outbox(self, operation: UpdateOutbox) -> None:
        epoch_bytes, number = split_id(operation.id)
        epoch = self._epochs.find(operation.destination, epoch_bytes)
        if epoch is None:
            return
        earlier = self._updates.get((epoch, number))
        if earlier is not None and operation.attempts is None and earlier.attempts is not None:
            self._flush()
        self._updates[epoch, number] = operation

    def _put_inbox(self, operation: PutInbox) -> None:
        for row in operation.rows:
            message, sequence = row.message, row.sequence
            if sequence in self._handled:
                self._flush()
            (head, rest), row_identity = inbox_parts(row), identity(sequence)
            self._new_inbox += (
                sequence,
                self._pseudonym(b"peer", message.source.encode()),
                row.arrived_wall,
                row.is_redelivered,
                len(message.payload),
                self._seal(b"i" + row_identity, head),
                b"" if rest is None else self._seal(b"b" + row_identity, rest),
            )
            if row.is_foreign:
                sealed = self._seal(b"f", head[:32])
                self._foreign += (row.arrived_wall, sealed)
            else:
                epoch_bytes, number = split_id(message.id)
                source = self._sources.use(message.source, epoch_bytes, row.arrived_wall)
                self._arrived += (source, number)

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
        self._insert(_PUT_OUTBOX, 12, self._new_outbox)
        self._change_outbox()
        self._insert(_PUT_INBOX, 7, self._new_inbox)
        self._insert(_PUT_ARRIVED, 2, self._arrived)
        self._insert(_PUT_FOREIGN, 2, self._foreign)
        self._connection.executemany(_MARK_HANDLED, _runs(sorted(self._handled)))
        self._epochs.flush()
        self._sources.flush()
        for gathered in (self._new_outbox, self._new_inbox, self._arrived, self._foreign):
            gathered.clear()
        self._updates.clear()
        self._handled.clear()

    def _change_outbox(self) -> None:
        """Change rows one by one only where they have a reason, which is sealed for each."""
        alike: dict[tuple[Any, ...], list[int]] = {}
        values: list[Any] = []
        for (epoch, number), update in self._updates.items():
            state, reason = update.state, update.reason
            change = (STATE_NUMBERS[state], state in _ENDS, update.ended_wall)
            if reason:
                sealed = self._sealed_reason(epoch, number, reason)
                values += (epoch, number, *change, sealed, update.attempts)
            else:
                key = (*change, None, update.attempts, epoch)
                alike.setdefault(key, []).append(int.from_bytes(number))
        self._insert(_UPDATE_OUTBOX, 7, values)
        self._connection.executemany(
            _UPDATE_RUN,
            [
                (*change, first.to_bytes(EPOCH_BYTES), last.to_bytes(EPOCH_BYTES))
                for change, numbers in alike.items()
                for first, last in _runs(sorted(numbers))
            ],
        )

    def _sealed_reason(self, epoch: int, number: bytes, reason: str) -> bytes:
        return self._seal(b"r" + identity(epoch, number), reason.encode())

    def _insert(self, statement: str, width: int, values: list[Any]) -> None:
        step = width * MAX_ROWS
        for start in range(0, len(values), step):
            part = values[start : start + step]
            self._connection.execute(_statement(statement, width, len(part) // width), part)


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Return the first and the last of those that follow one another; they are in order."""
    begin = 0
    for place in range(1, len(numbers) + 1):
        if place == len(numbers) or numbers[place] != numbers[place - 1] + 1:
            yield numbers[begin], numbers[place - 1]
            begin = place


@cache
def _statement(template: str, width: int, count: int) -> str:
    row = f"({', '.join('?' * width)})"
    return template.format(rows=", ".join([row] * count))


def _ended(state: OutboxState, ended_wall: float | None, accepted_wall: float) -> float | None:
    if state not in _ENDS:
        return None
    return accepted_wall if ended_wall is None else ended_wall

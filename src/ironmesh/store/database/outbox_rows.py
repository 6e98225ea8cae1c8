"""The table of our messages: a row holds one, or a run of small ones that fared alike.

Messages that were accepted together differ in their numbers, types and payloads only. One row and
one seal for all of them cost little more than for one; a row whose messages no longer fare alike is
divided.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from ironmesh.delivery.records import OutboxRow, OutboxState, UpdateOutbox
from ironmesh.errors import StoreDamagedError
from ironmesh.store.database.rows import (
    EPOCH_BYTES,
    PRIORITY_NUMBERS,
    STATE_NUMBERS,
    identity,
    outbox_head,
)
from ironmesh.store.database.sealing import Opener, Sealer
from ironmesh.store.database.statements import execute_rows, runs

SMALL_BYTES: Final = 1024
"""A larger payload is a row of its own, where it is read only when it is wanted."""
MAX_RUN_MESSAGES: Final = 256
MAX_RUN_BYTES: Final = 64 * 1024
MAX_BORDERS: Final = 10_000
"""Between rows, that are remembered: most messages end in the company that they came in."""

_WIDTH: Final = 14
_PUT: Final = (
    "INSERT INTO outbox (seq, epoch, number, count, state, attempts, accepted, lifetime, as_of,"
    " ended, size, reason, head, payload) VALUES {rows}"
)
_CHANGE: Final = (
    "UPDATE outbox SET state = ?, ended = iif(?, coalesce(?, accepted), NULL), reason = ?,"
    " attempts = coalesce(?, attempts) WHERE epoch = ? AND number BETWEEN ? AND ?"
)
_BEFORE: Final = (
    "SELECT seq, number, count FROM outbox WHERE epoch = ? AND number < ?"
    " ORDER BY number DESC LIMIT 1"
)
_ROW_OF: Final = (
    "SELECT number, count, head, payload FROM outbox WHERE epoch = ? AND number <= ?"
    " ORDER BY number DESC LIMIT 1"
)
_SHORTEN: Final = "UPDATE outbox SET count = ?, size = ?, head = ? WHERE seq = ?"
_PUT_REST: Final = (
    "INSERT INTO outbox (seq, epoch, number, count, state, attempts, accepted, lifetime, as_of,"
    " ended, size, reason, head, payload) SELECT seq + ?, epoch, ?, ?, state, attempts, accepted,"
    " lifetime, as_of, ended, ?, reason, ?, payload FROM outbox WHERE seq = ?"
)
_LAST: Final = "SELECT seq + max(count, 1) FROM outbox ORDER BY seq DESC LIMIT 1"

_END_NUMBERS: Final = frozenset(STATE_NUMBERS[state] for state in OutboxState if state.is_end)


class Content(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one message of a run has for itself."""

    type: str
    priority: int
    size_bytes: int
    payload: bytes


_DECODER: Final = msgspec.msgpack.Decoder(list[Content])
_ENCODE: Final = msgspec.msgpack.Encoder().encode


def open_run(opener: Opener, epoch: int, number: int, count: int, sealed: bytes) -> list[Content]:
    """Return the contents of a row of `count` messages, from number `number` on.

    Raises:
        StoreDamagedError: it was changed or moved.
    """
    contents = _DECODER.decode(opener.open(_run_identity(epoch, number), sealed))
    if len(contents) != count:
        raise StoreDamagedError(
            "the message store is damaged: a row counts other messages than it holds",
            "put back a copy of the folder, or move the folder away to start with an empty one",
        )
    return contents


class Ends(NamedTuple):
    """Messages of one numbering that ended alike."""

    epoch: int
    numbers: list[int]
    """In order."""
    state: OutboxState
    ended_wall: float
    attempts: int


class Payloads:
    """Finds payloads of our messages; a row is opened once for those that follow one another."""

    def __init__(self, connection: sqlite3.Connection, opener: Opener) -> None:
        self._connection = connection
        self._opener = opener
        self._epoch = self._first = 0
        self._run: list[Content] = []

    def find(self, epoch: int, number: bytes) -> bytes | None:
        """Return the payload of a message; None if there is none.

        Raises:
            StoreDamagedError: it was changed or moved.
        """
        place = int.from_bytes(number) - self._first
        if epoch == self._epoch and 0 <= place < len(self._run):
            return self._run[place].payload
        found = self._connection.execute(_ROW_OF, (epoch, number)).fetchone()
        if found is None:
            return None
        first, count, head, payload = found
        if not count:
            is_it = first == number
            return self._opener.open(b"p" + identity(epoch, number), payload) if is_it else None
        self._epoch, self._first = epoch, int.from_bytes(first)
        place = int.from_bytes(number) - self._first
        self._run = open_run(self._opener, epoch, self._first, count, head)
        return self._run[place].payload if place < count else None


class OutboxRows:
    """Puts messages of ours into rows, and changes them. What is gathered is lost by `drop`."""

    def __init__(self, connection: sqlite3.Connection, sealer: Sealer) -> None:
        self._connection = connection
        self._sealer = sealer
        self._next: int | None = None
        """The place of the next message in their order."""
        self._values: list[Any] = []
        self._epoch = self._first = 0
        """Numbering and first number of the run that grows."""
        self._like: OutboxRow | None = None
        """A row of it; the others are like it in all but number, type, priority and payload."""
        self._run: list[Content] = []
        self._run_bytes = 0
        self._borders: set[tuple[int, int]] = set()
        """Numberings and numbers before which a row is known to end, or at which one begins."""

    def put(self, epoch: int, number: bytes, row: OutboxRow, payload: bytes) -> None:
        """Gather a new message."""
        kind = row.type
        size = len(kind) + len(payload)
        if size > SMALL_BYTES or row.reason:
            self._end_run()
            self._put_single(epoch, number, row, payload)
            return
        run, place = self._run, int.from_bytes(number)
        if not (
            run
            and place == self._first + len(run)
            and epoch == self._epoch
            and self._is_like(row)
            and len(run) < MAX_RUN_MESSAGES
            and self._run_bytes < MAX_RUN_BYTES
        ):
            self._end_run()
            self._epoch, self._first, self._like, self._run_bytes = epoch, place, row, 0
            run = self._run
        self._run_bytes += size
        run.append(Content(kind, PRIORITY_NUMBERS[row.priority], row.size_bytes, payload))

    def _is_like(self, row: OutboxRow) -> bool:
        like = self._like
        return (
            like is not None
            and row.accepted_wall == like.accepted_wall
            and row.lifetime_s == like.lifetime_s
            and row.as_of_wall == like.as_of_wall
            and row.state is like.state
            and row.attempts == like.attempts
            and row.ended_wall == like.ended_wall
        )

    def insert(self) -> None:
        """Insert what was gathered."""
        self._end_run()
        execute_rows(self._connection, _PUT, _WIDTH, self._values)
        self._values.clear()

    def end(self, ends: Iterable[Ends]) -> None:
        """Note how messages ended."""
        for one in ends:
            state = STATE_NUMBERS[one.state]
            key = (state, state in _END_NUMBERS, one.ended_wall, None, one.attempts, one.epoch)
            for first, last in runs(one.numbers):
                self._change(key, first, last)

    def update(self, updates: Mapping[tuple[int, bytes], UpdateOutbox]) -> None:
        """Change messages, by row of their numbering and number."""
        alike: dict[tuple[Any, ...], list[int]] = {}
        for (epoch, number), update in updates.items():
            state = STATE_NUMBERS[update.state]
            reason = update.reason and self._sealed_reason(epoch, number, update.reason)
            change = (state, state in _END_NUMBERS, update.ended_wall, reason or None)
            alike.setdefault((*change, update.attempts, epoch), []).append(int.from_bytes(number))
        for key, numbers in alike.items():
            for first, last in runs(sorted(numbers)):
                self._change(key, first, last)

    def drop(self) -> None:
        """Forget what is in memory only."""
        self._next = None
        self._values.clear()
        self._run = []
        self._borders.clear()

    def _put_single(self, epoch: int, number: bytes, row: OutboxRow, payload: bytes) -> None:
        row_identity = identity(epoch, number)
        self._note_row(epoch, int.from_bytes(number), 1)
        self._values += (
            self._places(1),
            epoch,
            number,
            0,
            *_facts(row),
            row.size_bytes,
            self._sealed_reason(epoch, number, row.reason) if row.reason else None,
            self._sealer.seal(b"o" + row_identity, outbox_head(row.type, row.priority)),
            self._sealer.seal(b"p" + row_identity, payload),
        )

    def _end_run(self) -> None:
        run, like = self._run, self._like
        if not run or like is None:
            return
        self._note_row(self._epoch, self._first, len(run))
        self._values += (
            self._places(len(run)),
            self._epoch,
            self._first.to_bytes(EPOCH_BYTES),
            len(run),
            *_facts(like),
            sum([content.size_bytes for content in run]),
            None,
            self._seal_run(self._epoch, self._first, run),
            b"",
        )
        self._run, self._like = [], None

    def _note_row(self, epoch: int, first: int, count: int) -> None:
        if len(self._borders) >= MAX_BORDERS:
            self._borders.clear()
        self._borders.update(((epoch, first), (epoch, first + count)))

    def _places(self, count: int) -> int:
        if self._next is None:
            found = self._connection.execute(_LAST).fetchone()
            self._next = int(found[0]) if found else 1
        place = self._next
        self._next += count
        return place

    # --- Changing ----------------------------------------------------------------------------

    def _change(self, key: tuple[Any, ...], first: int, last: int) -> None:
        epoch = key[-1]
        self._divide(epoch, first)
        self._divide(epoch, last + 1)
        borders = (first.to_bytes(EPOCH_BYTES), last.to_bytes(EPOCH_BYTES))
        self._connection.execute(_CHANGE, (*key, *borders))

    def _divide(self, epoch: int, at: int) -> None:
        """Let a row begin with the number `at`, if one holds it."""
        if at >> (8 * EPOCH_BYTES) or (epoch, at) in self._borders:
            return
        before = self._connection.execute(_BEFORE, (epoch, at.to_bytes(EPOCH_BYTES))).fetchone()
        if before is None:
            return
        seq, number, count = before[0], int.from_bytes(before[1]), before[2]
        if number + count <= at:
            return
        sealed = self._connection.execute("SELECT head FROM outbox WHERE seq = ?", (seq,))
        run = open_run(self._sealer, epoch, number, count, sealed.fetchone()[0])
        left, right = run[: at - number], run[at - number :]
        self._connection.execute(
            _PUT_REST,
            (
                len(left),
                at.to_bytes(EPOCH_BYTES),
                len(right),
                sum([content.size_bytes for content in right]),
                self._seal_run(epoch, at, right),
                seq,
            ),
        )
        size = sum([content.size_bytes for content in left])
        head = self._seal_run(epoch, number, left)
        self._connection.execute(_SHORTEN, (len(left), size, head, seq))

    def _seal_run(self, epoch: int, number: int, run: Sequence[Content]) -> bytes:
        return self._sealer.seal(_run_identity(epoch, number), _ENCODE(run))

    def _sealed_reason(self, epoch: int, number: bytes, reason: str) -> bytes:
        return self._sealer.seal(b"r" + identity(epoch, number), reason.encode())


def _run_identity(epoch: int, number: int) -> bytes:
    return b"O" + identity(epoch, number.to_bytes(EPOCH_BYTES))


def _facts(row: OutboxRow) -> tuple[Any, ...]:
    """Return what a row says in clear from `state` to `ended`."""
    state, ended = STATE_NUMBERS[row.state], None
    if state in _END_NUMBERS:
        ended = row.accepted_wall if row.ended_wall is None else row.ended_wall
    return state, row.attempts, row.accepted_wall, row.lifetime_s, row.as_of_wall, ended

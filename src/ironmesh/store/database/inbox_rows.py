"""The table of arrived messages: a row holds one, or a run of small ones that fared alike.

Messages of one source that arrived together share a row and a seal, as in `outbox_rows`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from ironmesh.delivery.records import InboxRow
from ironmesh.errors import StoreDamagedError
from ironmesh.store.database.outbox_rows import (
    MAX_BORDERS,
    MAX_RUN_BYTES,
    MAX_RUN_MESSAGES,
    SMALL_BYTES,
)
from ironmesh.store.database.rows import (
    PRIORITIES,
    PRIORITY_NUMBERS,
    identity,
    inbox_head,
    node_bytes,
    node_id,
    read_inbox_head,
)
from ironmesh.store.database.sealing import Opener, Sealer
from ironmesh.store.database.statements import execute_rows, runs
from ironmesh.types import Message, MessageId, NodeId

_WIDTH: Final = 8
_PUT: Final = (
    "INSERT INTO inbox (sequence, count, peer, arrived, redelivered, size, head, payload)"
    " VALUES {rows}"
)
_BEFORE: Final = (
    "SELECT sequence, count FROM inbox WHERE sequence < ? ORDER BY sequence DESC LIMIT 1"
)
_SHORTEN: Final = "UPDATE inbox SET count = ?, size = ?, head = ? WHERE sequence = ?"
_PUT_REST: Final = (
    "INSERT INTO inbox (sequence, count, peer, arrived, handled, redelivered, size, head, payload)"
    " SELECT ?, ?, peer, arrived, handled, redelivered, ?, ?, payload FROM inbox"
    " WHERE sequence = ?"
)
_HANDLED: Final = (
    "UPDATE inbox SET handled = arrived WHERE sequence BETWEEN ? AND ? AND handled IS NULL"
)
_REDELIVERED: Final = (
    "UPDATE inbox SET redelivered = 1 WHERE sequence BETWEEN ? AND ? AND handled IS NULL"
)


class _Content(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one message of a run has for itself."""

    id: bytes
    type: str
    priority: int
    timestamp_ms: int
    payload: bytes


class _Run(msgspec.Struct, frozen=True, array_like=True):
    source: bytes
    destination: bytes
    via: bytes
    is_foreign: bool
    contents: list[_Content]


class Arrived(msgspec.Struct, frozen=True, gc=False):
    """One message of a row."""

    sequence: int
    message: Message
    via: NodeId
    is_foreign: bool


_DECODER: Final = msgspec.msgpack.Decoder(_Run)
_ENCODE: Final = msgspec.msgpack.Encoder().encode


def read_arrived(
    opener: Opener, sequence: int, count: int, head: bytes, payload: bytes | None
) -> list[Arrived]:
    """Return the messages of a row.

    Args:
        count: 0 = a message whose payload lies by itself.
        payload: that one; None = it is not wanted, and comes back empty.

    Raises:
        StoreDamagedError: a value was changed or moved.
    """
    if not count:
        one = read_inbox_head(opener.open(b"i" + identity(sequence), head))
        opened = b"" if payload is None else opener.open(b"b" + identity(sequence), payload)
        return [Arrived(sequence, one.with_payload(opened), one.via, one.is_foreign)]
    run = _open_run(opener, sequence, count, head)
    source, destination, via = node_id(run.source), node_id(run.destination), node_id(run.via)
    return [
        Arrived(place, _message(content, source, destination), via, run.is_foreign)
        for place, content in enumerate(run.contents, sequence)
    ]


def _message(content: _Content, source: NodeId, destination: NodeId) -> Message:
    return Message(
        MessageId(content.id),
        content.type,
        content.payload,
        source,
        destination,
        PRIORITIES[content.priority],
        content.timestamp_ms,
    )


def _open_run(opener: Opener, sequence: int, count: int, sealed: bytes) -> _Run:
    run = _DECODER.decode(opener.open(b"I" + identity(sequence), sealed))
    if len(run.contents) != count:
        raise StoreDamagedError(
            "the message store is damaged: a row counts other messages than it holds",
            "put back a copy of the folder, or move the folder away to start with an empty one",
        )
    return run


class InboxRows:
    """Puts arrived messages into rows, and changes them. What is gathered is lost by `drop`."""

    def __init__(self, connection: sqlite3.Connection, sealer: Sealer) -> None:
        self._connection = connection
        self._sealer = sealer
        self._values: list[Any] = []
        self._like: InboxRow | None = None
        """A row of the run that grows; the others fared like it."""
        self._first = 0
        self._run: list[_Content] = []
        self._run_bytes = 0
        self._borders: set[int] = set()
        """Sequences before which a row is known to end, or at which one begins."""

    def put(self, row: InboxRow) -> None:
        """Gather an arrived message, to be inserted by `flush`.

        Raises:
            ValueError: an id is malformed.
        """
        message = row.message
        size = len(message.type) + len(message.payload)
        if size > SMALL_BYTES:
            self._end_run()
            self._put_single(row)
            return
        run = self._run
        if not (
            run
            and row.sequence == self._first + len(run)
            and self._is_like(row)
            and len(run) < MAX_RUN_MESSAGES
            and self._run_bytes < MAX_RUN_BYTES
        ):
            self._end_run()
            self._like, self._first, self._run_bytes = row, row.sequence, 0
            run = self._run
        self._run_bytes += size
        run.append(
            _Content(
                message.id,
                message.type,
                PRIORITY_NUMBERS[message.priority],
                message.timestamp_ms,
                message.payload,
            )
        )

    def _is_like(self, row: InboxRow) -> bool:
        like = self._like
        return (
            like is not None
            and row.message.source == like.message.source
            and row.message.destination == like.message.destination
            and row.via == like.via
            and row.is_foreign == like.is_foreign
            and row.arrived_wall == like.arrived_wall
            and row.is_redelivered == like.is_redelivered
        )

    def flush(self, handled: Iterable[int]) -> None:
        """Insert what was gathered, then note what is handled."""
        self._end_run()
        execute_rows(self._connection, _PUT, _WIDTH, self._values)
        self._values.clear()
        self.change(_HANDLED, handled)

    def note(self, completed: Iterable[int], running: Iterable[int]) -> None:
        """Note what an earlier run of the node noted in its journal."""
        self.change(_HANDLED, completed)
        self.change(_REDELIVERED, running)

    def change(self, statement: str, sequences: Iterable[int]) -> None:
        """Change the rows of these messages, and no others."""
        for first, last in runs(sorted(sequences)):
            self._divide(first)
            self._divide(last + 1)
            self._connection.execute(statement, (first, last))

    def drop(self) -> None:
        """Forget what is in memory only."""
        self._values.clear()
        self._run = []
        self._borders.clear()

    def _put_single(self, row: InboxRow) -> None:
        message, row_identity = row.message, identity(row.sequence)
        self._note_row(row.sequence, 1)
        self._values += (
            row.sequence,
            0,
            self._pseudonym(message.source),
            row.arrived_wall,
            row.is_redelivered,
            len(message.payload),
            self._sealer.seal(b"i" + row_identity, inbox_head(row)),
            self._sealer.seal(b"b" + row_identity, message.payload),
        )

    def _end_run(self) -> None:
        contents, like = self._run, self._like
        if not contents or like is None:
            return
        self._note_row(self._first, len(contents))
        message = like.message
        run = _Run(
            node_bytes(message.source),
            node_bytes(message.destination),
            node_bytes(like.via),
            like.is_foreign,
            contents,
        )
        self._values += (
            self._first,
            len(contents),
            self._pseudonym(message.source),
            like.arrived_wall,
            like.is_redelivered,
            _size(contents),
            self._seal_run(self._first, run),
            b"",
        )
        self._run, self._like = [], None

    def _note_row(self, first: int, count: int) -> None:
        if len(self._borders) >= MAX_BORDERS:
            self._borders.clear()
        self._borders.update((first, first + count))

    def _divide(self, at: int) -> None:
        """Let a row begin with the message `at`, if one holds it."""
        if at >> 63 or at in self._borders:
            return
        before = self._connection.execute(_BEFORE, (at,)).fetchone()
        if before is None or before[0] + before[1] <= at:
            return
        sequence, count = before
        sealed = self._connection.execute("SELECT head FROM inbox WHERE sequence = ?", (sequence,))
        run = _open_run(self._sealer, sequence, count, sealed.fetchone()[0])
        left, right = run.contents[: at - sequence], run.contents[at - sequence :]
        rest = self._seal_run(at, msgspec.structs.replace(run, contents=right))
        self._connection.execute(_PUT_REST, (at, len(right), _size(right), rest, sequence))
        head = self._seal_run(sequence, msgspec.structs.replace(run, contents=left))
        self._connection.execute(_SHORTEN, (len(left), _size(left), head, sequence))

    def _seal_run(self, sequence: int, run: _Run) -> bytes:
        return self._sealer.seal(b"I" + identity(sequence), _ENCODE(run))

    def _pseudonym(self, source: NodeId) -> bytes:
        return self._sealer.pseudonym(b"peer", source.encode())


def _size(contents: Sequence[_Content]) -> int:
    return sum([len(content.payload) for content in contents])

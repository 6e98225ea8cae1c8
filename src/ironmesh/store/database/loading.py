"""What a start finds in the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, Final

from ironmesh.delivery.records import (
    EpochRecord,
    ForeignId,
    InboxRow,
    OutboxRow,
    Snapshot,
    SourceRecord,
)
from ironmesh.store.database.inbox_rows import read_arrived
from ironmesh.store.database.outbox_rows import Content, open_run
from ironmesh.store.database.rows import (
    EPOCH_BYTES,
    PRIORITIES,
    PRIORITY_NUMBERS,
    STATES,
    identity,
    node_id,
    read_outbox_head,
)
from ironmesh.store.database.sealing import Opener
from ironmesh.types import MessageId, NodeId

OUTBOX_COLUMNS: Final = (
    "epoch, number, count, state, attempts, accepted, lifetime, as_of, ended, size, reason, head"
)
INBOX_COLUMNS: Final = "sequence, count, arrived, redelivered, head, payload"

_NODE_BYTES: Final = 16


def load_snapshot(connection: sqlite3.Connection, opener: Opener) -> Snapshot:
    """Read everything that the machines need at a start.

    Raises:
        StoreDamagedError: a record does not open.
        sqlite3.Error: the database cannot be read.
    """
    epochs = read_epochs(connection, opener)
    live = connection.execute(
        f"SELECT {OUTBOX_COLUMNS} FROM outbox WHERE ended IS NULL ORDER BY seq"  # noqa: S608
    )
    unhandled = connection.execute(
        f"SELECT {INBOX_COLUMNS} FROM inbox WHERE handled IS NULL ORDER BY sequence"  # noqa: S608
    )
    return Snapshot(
        outbox=tuple(row for values in live for row in outbox_rows(values, epochs, opener)),
        epochs=tuple(_epoch_records(connection, epochs)),
        unhandled=tuple(row for values in unhandled for row in _inbox_rows(values, opener)),
        sources=tuple(_sources(connection, opener)),
        foreign=tuple(_foreign(connection, opener).values()),
        next_sequence=next_sequence(connection),
    )


def read_epochs(connection: sqlite3.Connection, opener: Opener) -> dict[int, tuple[NodeId, bytes]]:
    """Return destination and epoch (8 bytes) of all our numberings, by row."""
    rows = connection.execute("SELECT no, sealed FROM epoch ORDER BY no")
    return {row: _name(opener.open(b"e" + identity(row), sealed)) for row, sealed in rows}


def read_salts(connection: sqlite3.Connection) -> dict[int, bytes]:
    """Return the salts of all openings, by number."""
    return dict(connection.execute("SELECT no, salt FROM opening"))


def next_sequence(connection: sqlite3.Connection) -> int:
    """Return the first sequence that no arrived message ever had."""
    query = (
        "SELECT max(next_sequence, coalesce((SELECT sequence + max(count, 1) FROM inbox"
        " ORDER BY sequence DESC LIMIT 1), 1)) FROM mark"
    )
    return int(connection.execute(query).fetchone()[0])


def outbox_rows(
    values: tuple[Any, ...], epochs: dict[int, tuple[NodeId, bytes]], opener: Opener
) -> list[OutboxRow]:
    """Return the messages of a row of `OUTBOX_COLUMNS`, in their order."""
    row, number, count, state, attempts, accepted, lifetime, as_of, ended, size, reason, head = (
        values
    )
    destination, epoch = epochs[row]
    first = int.from_bytes(number)
    if count:
        contents = open_run(opener, row, first, count, head)
    else:
        kind, priority = read_outbox_head(opener.open(b"o" + identity(row, number), head))
        contents = [Content(kind, PRIORITY_NUMBERS[priority], size, b"")]
    why = opener.open(b"r" + identity(row, number), reason).decode() if reason else ""
    return [
        OutboxRow(
            id=MessageId(epoch + place.to_bytes(EPOCH_BYTES)),
            destination=destination,
            type=content.type,
            priority=PRIORITIES[content.priority],
            size_bytes=content.size_bytes,
            accepted_wall=accepted,
            lifetime_s=lifetime,
            as_of_wall=as_of,
            state=STATES[state],
            attempts=attempts,
            ended_wall=ended,
            reason=why,
        )
        for place, content in enumerate(contents, first)
    ]


def _inbox_rows(values: tuple[Any, ...], opener: Opener) -> list[InboxRow]:
    sequence, count, arrived_wall, redelivered, head, payload = values
    return [
        InboxRow(
            sequence=one.sequence,
            message=one.message,
            via=one.via,
            arrived_wall=arrived_wall,
            is_foreign=one.is_foreign,
            is_redelivered=bool(redelivered),
        )
        for one in read_arrived(opener, sequence, count, head, payload)
    ]


def _epoch_records(
    connection: sqlite3.Connection, epochs: dict[int, tuple[NodeId, bytes]]
) -> Iterator[EpochRecord]:
    """Of each destination the numbering that is in use: the one made last."""
    rows = connection.execute("SELECT max(no), last FROM epoch GROUP BY peer ORDER BY max(no)")
    for row, last in rows:
        yield EpochRecord(*epochs[row], int.from_bytes(last) + 1)


def _sources(connection: sqlite3.Connection, opener: Opener) -> Iterator[SourceRecord]:
    sources = connection.execute("SELECT no, floor, used, sealed FROM source ORDER BY no")
    for row, floor, used, sealed in sources:
        above = connection.execute(
            "SELECT max(number, ?), coalesce(last, number) FROM arrived"
            " WHERE source = ? AND coalesce(last, number) >= ?",
            (floor, row, floor),
        )
        borders = [(int.from_bytes(first), int.from_bytes(last)) for first, last in above]
        numbers = {number for first, last in borders for number in range(first, last + 1)}
        yield SourceRecord(
            *_name(opener.open(b"s" + identity(row), sealed)),
            floor=int.from_bytes(floor),
            numbers=tuple(sorted(numbers)),
            used_wall=used,
        )


def _foreign(connection: sqlite3.Connection, opener: Opener) -> dict[bytes, ForeignId]:
    """Return the ids of published nodes; of one that came twice, when it came last."""
    rows = connection.execute("SELECT arrived, sealed FROM foreign_id ORDER BY no")
    opened = ((opener.open(b"f", sealed), arrived) for arrived, sealed in rows)
    return {
        data: ForeignId(node_id(data[_NODE_BYTES:]), MessageId(data[:_NODE_BYTES]), arrived)
        for data, arrived in opened
    }


def _name(data: bytes) -> tuple[NodeId, bytes]:
    return node_id(data[:-EPOCH_BYTES]), data[-EPOCH_BYTES:]

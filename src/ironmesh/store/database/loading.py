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
from ironmesh.store.database.rows import (
    EPOCH_BYTES,
    STATES,
    identity,
    node_id,
    read_inbox_head,
    read_outbox_head,
)
from ironmesh.store.database.sealing import Opener
from ironmesh.types import MessageId, NodeId

OUTBOX_COLUMNS: Final = (
    "epoch, number, state, attempts, accepted, lifetime, as_of, ended, size, reason, head"
)
INBOX_COLUMNS: Final = "sequence, arrived, redelivered, head, payload"

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
        outbox=tuple(outbox_row(values, epochs, opener) for values in live),
        epochs=tuple(_epoch_records(connection, epochs)),
        unhandled=tuple(_inbox_row(values, opener) for values in unhandled),
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
        "SELECT max(next_sequence, (SELECT coalesce(max(sequence), 0) + 1 FROM inbox)) FROM mark"
    )
    return int(connection.execute(query).fetchone()[0])


def outbox_row(
    values: tuple[Any, ...], epochs: dict[int, tuple[NodeId, bytes]], opener: Opener
) -> OutboxRow:
    """Return the row of `OUTBOX_COLUMNS`."""
    row, number, state, attempts, accepted, lifetime, as_of, ended, size, reason, head = values
    destination, epoch = epochs[row]
    opened = read_outbox_head(opener.open(b"o" + identity(row, number), head))
    return OutboxRow(
        id=MessageId(epoch + number),
        destination=destination,
        type=opened.type,
        priority=opened.priority,
        size_bytes=size,
        accepted_wall=accepted,
        lifetime_s=lifetime,
        as_of_wall=as_of,
        state=STATES[state],
        attempts=attempts,
        ended_wall=ended,
        reason=opener.open(b"r" + identity(row, number), reason).decode() if reason else "",
    )


def outbox_payload(row: int, number: bytes, head: bytes, payload: bytes, opener: Opener) -> bytes:
    """Return the payload of a message of ours, from the two sealed columns of its row."""
    small = read_outbox_head(opener.open(b"o" + identity(row, number), head)).payload
    return opener.open(b"p" + identity(row, number), payload) if small is None else small


def _inbox_row(values: tuple[Any, ...], opener: Opener) -> InboxRow:
    sequence, arrived, redelivered, sealed_head, payload = values
    head = read_inbox_head(opener.open(b"i" + identity(sequence), sealed_head))
    return InboxRow(
        sequence=sequence,
        message=head.with_payload(
            opener.open(b"b" + identity(sequence), payload)
            if head.payload is None
            else head.payload
        ),
        via=head.via,
        arrived_wall=arrived,
        is_foreign=head.is_foreign,
        is_redelivered=bool(redelivered),
    )


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
        numbers = connection.execute(
            "SELECT number FROM arrived WHERE source = ? AND number >= ? ORDER BY number",
            (row, floor),
        )
        yield SourceRecord(
            *_name(opener.open(b"s" + identity(row), sealed)),
            floor=int.from_bytes(floor),
            numbers=tuple(int.from_bytes(number) for (number,) in numbers),
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

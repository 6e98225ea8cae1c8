"""What people ask of the store: the outbox, and the history of both directions.

A reader has a connection of its own, so that no commit waits for a question. It also serves
programs that look at a node that is not running.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ironmesh.delivery.records import OutboxRow
from ironmesh.errors import StoreError
from ironmesh.store.database.entries import Direction, HistoryEntry, SentMessage
from ironmesh.store.database.faults import translated
from ironmesh.store.database.loading import (
    OUTBOX_COLUMNS,
    outbox_payload,
    outbox_row,
    read_epochs,
    read_salts,
)
from ironmesh.store.database.opening import open_for_reading
from ironmesh.store.database.rows import identity, read_inbox_head, split_id
from ironmesh.store.database.sealing import Opener
from ironmesh.types import MessageId, NodeId, Secret

MAX_ROWS: Final = 10_000
"""The most that one question returns."""


class Reader:
    """One look at the store, as it is at this moment; `open_reader` gives one."""

    def __init__(self, connection: sqlite3.Connection, data_key: Secret) -> None:
        self._connection = connection
        self._opener = Opener(data_key, read_salts(connection))
        self._epochs = read_epochs(connection, self._opener)

    def history(
        self,
        *,
        peer: NodeId | None = None,
        direction: Direction | None = None,
        since_wall: float = 0.0,
        limit: int = 100,
    ) -> list[HistoryEntry]:
        """Return messages of both directions, the newest first.

        Args:
            peer: only those to or from this node.
            direction: only those that went this way.
            since_wall: only those accepted or arrived since, seconds since 1970.
            limit: at most so many, and at most 10,000.
        """
        limit = min(limit, MAX_ROWS)
        entries: list[HistoryEntry] = []
        if direction is not Direction.RECEIVED:
            entries += self._sent(peer, since_wall, limit)
        if direction is not Direction.SENT:
            entries += self._received(peer, since_wall, limit)
        entries.sort(key=lambda entry: entry.wall, reverse=True)
        return entries[:limit]

    def outbox(
        self, *, destination: NodeId | None = None, limit: int = MAX_ROWS
    ) -> list[OutboxRow]:
        """Return messages of ours that have not ended, the oldest first.

        Args:
            destination: only those to this node.
            limit: at most so many, and at most 10,000.
        """
        where, values = self._to(destination)
        rows = self._connection.execute(
            f"SELECT {OUTBOX_COLUMNS} FROM outbox WHERE ended IS NULL{where}"  # noqa: S608
            " ORDER BY seq LIMIT ?",
            (*values, min(limit, MAX_ROWS)),
        )
        return [outbox_row(row, self._epochs, self._opener) for row in rows]

    def sent(self, message_id: MessageId) -> SentMessage | None:
        """Return a message of ours, ended or not; None if there is none of this id.

        Raises:
            ValueError: the id is not 16 bytes long.
        """
        wanted, number = split_id(message_id)
        for row, (_destination, epoch) in self._epochs.items():
            if epoch != wanted:
                continue
            found = self._connection.execute(
                f"SELECT {OUTBOX_COLUMNS}, payload FROM outbox"  # noqa: S608
                " WHERE epoch = ? AND number = ?",
                (row, number),
            ).fetchone()
            if found is not None:
                payload = outbox_payload(row, number, found[-2], found[-1], self._opener)
                return SentMessage(outbox_row(found[:-1], self._epochs, self._opener), payload)
        return None

    def sent_like(self, beginning: str, limit: int) -> list[MessageId]:
        """Return ids of messages of ours, ended or not, that begin like this.

        Args:
            beginning: of the id in hexadecimal, at most 32 digits.
            limit: at most so many.

        Raises:
            ValueError: it is not hexadecimal.
        """
        first, low = split_id(MessageId(bytes.fromhex(beginning.ljust(32, "0"))))
        last, high = split_id(MessageId(bytes.fromhex(beginning.ljust(32, "f"))))
        found: list[MessageId] = []
        for row, (_destination, epoch) in self._epochs.items():
            if first <= epoch <= last:
                numbers = self._connection.execute(
                    "SELECT number FROM outbox WHERE epoch = ? AND number BETWEEN ? AND ? LIMIT ?",
                    (row, low, high, limit - len(found)),
                )
                found += [MessageId(epoch + number) for (number,) in numbers]
        return found

    def _sent(self, peer: NodeId | None, since_wall: float, limit: int) -> Iterator[HistoryEntry]:
        where, values = self._to(peer)
        rows = self._connection.execute(
            f"SELECT {OUTBOX_COLUMNS} FROM outbox WHERE accepted >= ?{where}"  # noqa: S608
            " ORDER BY seq DESC LIMIT ?",
            (since_wall, *values, limit),
        )
        for values in rows:
            row = outbox_row(values, self._epochs, self._opener)
            yield HistoryEntry(
                direction=Direction.SENT,
                id=row.id,
                peer=row.destination,
                type=row.type,
                priority=row.priority,
                size_bytes=row.size_bytes,
                wall=row.accepted_wall,
                state=row.state,
                ended_wall=row.ended_wall,
                reason=row.reason,
            )

    def _received(
        self, peer: NodeId | None, since_wall: float, limit: int
    ) -> Iterator[HistoryEntry]:
        where, values = (" AND peer = ?", (self._pseudonym(peer),)) if peer else ("", ())
        rows = self._connection.execute(
            "SELECT sequence, arrived, handled, size, head FROM inbox"  # noqa: S608
            f" WHERE arrived >= ?{where} ORDER BY sequence DESC LIMIT ?",
            (since_wall, *values, limit),
        )
        for sequence, arrived, handled, size, sealed in rows:
            head = read_inbox_head(self._opener.open(b"i" + identity(sequence), sealed))
            yield HistoryEntry(
                direction=Direction.RECEIVED,
                id=head.id,
                peer=head.source,
                type=head.type,
                priority=head.priority,
                size_bytes=size,
                wall=arrived,
                is_handled=handled is not None,
            )

    def _to(self, destination: NodeId | None) -> tuple[str, tuple[Any, ...]]:
        if destination is None:
            return "", ()
        where = " AND epoch IN (SELECT no FROM epoch WHERE peer = ?)"
        return where, (self._pseudonym(destination),)

    def _pseudonym(self, peer: NodeId) -> bytes:
        return self._opener.pseudonym(b"peer", peer.encode())


@contextlib.contextmanager
def open_reader(path: Path, data_key: Secret) -> Iterator[Reader]:
    """Look at the database of a store, whether its node runs or not.

    Args:
        path: the database file.
        data_key: the node's data key, 32 bytes.

    Raises:
        StoreDamagedError: it is damaged, or sealed under another key.
        StoreError: there is none, or it cannot be read.
    """
    if not path.exists():
        raise StoreError(f"there is no message store {path}", "start the node once")
    try:
        with contextlib.closing(open_for_reading(path)) as connection:
            connection.execute("BEGIN")
            yield Reader(connection, data_key)
    except sqlite3.Error as error:
        raise translated(error, path) from error

"""What people ask of the store: the outbox, and the history of both directions.

A reader has a connection of its own, so that no commit waits for a question. It also serves
programs that look at a node that is not running.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

from ironmesh.delivery.records import OutboxRow
from ironmesh.errors import StoreError
from ironmesh.store.database.entries import Direction, HistoryEntry, SentMessage
from ironmesh.store.database.faults import translated
from ironmesh.store.database.inbox_rows import read_arrived
from ironmesh.store.database.loading import OUTBOX_COLUMNS, outbox_rows, read_epochs, read_salts
from ironmesh.store.database.opening import open_for_reading
from ironmesh.store.database.outbox_rows import Payloads
from ironmesh.store.database.rows import EPOCH_BYTES, split_id
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
        found = chain.from_iterable(outbox_rows(row, self._epochs, self._opener) for row in rows)
        return [*islice(found, min(limit, MAX_ROWS))]

    def sent(self, message_id: MessageId) -> SentMessage | None:
        """Return a message of ours, ended or not; None if there is none of this id.

        Raises:
            ValueError: the id is not 16 bytes long.
        """
        wanted, number = split_id(message_id)
        for row, (_destination, epoch) in self._epochs.items():
            if epoch != wanted:
                continue
            payload = Payloads(self._connection, self._opener).find(row, number)
            if payload is not None:
                return SentMessage(self._sent_row(row, number), payload)
        return None

    def _sent_row(self, epoch: int, number: bytes) -> OutboxRow:
        values = self._connection.execute(
            f"SELECT {OUTBOX_COLUMNS} FROM outbox"  # noqa: S608
            " WHERE epoch = ? AND number <= ? ORDER BY number DESC LIMIT 1",
            (epoch, number),
        ).fetchone()
        place = int.from_bytes(number) - int.from_bytes(values[1])
        return outbox_rows(values, self._epochs, self._opener)[place]

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
                numbers = self._numbers(row, low, high)
                ids = (MessageId(epoch + number.to_bytes(EPOCH_BYTES)) for number in numbers)
                found += islice(ids, limit - len(found))
        return found

    def _numbers(self, epoch: int, low: bytes, high: bytes) -> Iterator[int]:
        """Yield the numbers of our messages from `low` to `high`."""
        rows = self._connection.execute(
            "SELECT number, max(count, 1) FROM outbox WHERE epoch = :epoch AND number BETWEEN"
            " coalesce((SELECT max(number) FROM outbox WHERE epoch = :epoch AND number <= :low),"
            " :low) AND :high ORDER BY number",
            {"epoch": epoch, "low": low, "high": high},
        )
        for first, count in rows:
            begin = int.from_bytes(first)
            least, most = max(begin, int.from_bytes(low)), int.from_bytes(high)
            yield from range(least, min(begin + count - 1, most) + 1)

    def _sent(self, peer: NodeId | None, since_wall: float, limit: int) -> Iterator[HistoryEntry]:
        where, values = self._to(peer)
        rows = self._connection.execute(
            f"SELECT {OUTBOX_COLUMNS} FROM outbox WHERE accepted >= ?{where}"  # noqa: S608
            " ORDER BY seq DESC LIMIT ?",
            (since_wall, *values, limit),
        )
        messages = (
            row for values in rows for row in outbox_rows(values, self._epochs, self._opener)[::-1]
        )
        for row in islice(messages, limit):
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
            "SELECT sequence, count, arrived, handled, size, head FROM inbox"  # noqa: S608
            f" WHERE arrived >= ?{where} ORDER BY sequence DESC LIMIT ?",
            (since_wall, *values, limit),
        )
        messages = (
            (one.message, arrived, handled, len(one.message.payload) if count else size)
            for sequence, count, arrived, handled, size, head in rows
            for one in read_arrived(self._opener, sequence, count, head, None)[::-1]
        )
        for message, arrived, handled, size in islice(messages, limit):
            yield HistoryEntry(
                direction=Direction.RECEIVED,
                id=message.id,
                peer=message.source,
                type=message.type,
                priority=message.priority,
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

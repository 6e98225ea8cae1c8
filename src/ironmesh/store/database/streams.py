"""Numberings: ours toward each destination, and those of others toward us.

Both keep in memory which row a numbering has, and gather what changes until `flush`. What they
keep is only a copy: `drop` it when a transaction was rolled back.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from ironmesh.store.database.rows import EPOCH_BYTES, identity, node_bytes
from ironmesh.store.database.sealing import Sealer
from ironmesh.types import NodeId

MAX_KEPT: Final = 10_000


class Epochs:
    """Our numberings; each is kept for good, so that no number is ever used twice."""

    def __init__(self, connection: sqlite3.Connection, sealer: Sealer) -> None:
        self._connection = connection
        self._sealer = sealer
        self._rows: dict[tuple[NodeId, bytes], int] = {}
        self._last: dict[int, bytes] = {}

    def find(self, destination: NodeId, epoch: bytes) -> int | None:
        """Return the row of a numbering; None if it was never used."""
        key = (destination, epoch)
        row = self._rows.get(key)
        if row is None:
            stream = self._stream(node_bytes(destination) + epoch)
            found = self._connection.execute(
                "SELECT no FROM epoch WHERE stream = ?", (stream,)
            ).fetchone()
            if found is None:
                return None
            row = self._keep(key, found[0])
        return row

    def use(self, destination: NodeId, epoch: bytes) -> int:
        """Return the row of a numbering, made when missing."""
        row = self.find(destination, epoch)
        return self._make(destination, epoch) if row is None else row

    def note(self, row: int, number: bytes) -> None:
        """Note that a number is used up, and with it all smaller ones."""
        if number > self._last.get(row, b""):
            self._last[row] = number

    def flush(self) -> None:
        """Write what was noted."""
        if self._last:
            self._connection.executemany(
                "UPDATE epoch SET last = max(last, ?) WHERE no = ?",
                [(number, row) for row, number in self._last.items()],
            )
            self._last.clear()

    def drop(self) -> None:
        """Forget what is in memory only."""
        self._rows.clear()
        self._last.clear()

    def _make(self, destination: NodeId, epoch: bytes) -> int:
        name = node_bytes(destination) + epoch
        row = _next_row(self._connection, "SELECT coalesce(max(no), 0) + 1 FROM epoch")
        peer = self._sealer.pseudonym(b"peer", destination.encode())
        sealed = self._sealer.seal(b"e" + identity(row), name)
        self._connection.execute(
            "INSERT INTO epoch (no, stream, peer, last, sealed) VALUES (?, ?, ?, ?, ?)",
            (row, self._stream(name), peer, bytes(EPOCH_BYTES), sealed),
        )
        return self._keep((destination, epoch), row)

    def _keep(self, key: tuple[NodeId, bytes], row: int) -> int:
        if len(self._rows) >= MAX_KEPT:
            self._rows.clear()
        self._rows[key] = row
        return row

    def _stream(self, name: bytes) -> bytes:
        return self._sealer.pseudonym(b"epoch", name)


class Sources:
    """Numberings of others: what arrived, and below which number all is settled."""

    def __init__(self, connection: sqlite3.Connection, sealer: Sealer) -> None:
        self._connection = connection
        self._sealer = sealer
        self._rows: dict[tuple[NodeId, bytes], int] = {}
        self._used: dict[int, float] = {}
        self._floors: dict[int, int] = {}

    def use(self, source: NodeId, epoch: bytes, wall: float) -> int:
        """Return the row of a numbering, made when missing, and note when it was used."""
        row = self._rows.get((source, epoch))
        if row is None:
            row = self._find_or_make(source, epoch)
        self._used[row] = wall
        return row

    def raise_floor(self, row: int, number: int) -> None:
        """Note that all below `number` is settled; a floor never sinks."""
        self._floors[row] = max(number, self._floors.get(row, 0))

    def flush(self) -> None:
        """Write what was noted."""
        if self._used:
            self._connection.executemany(
                "UPDATE source SET used = ? WHERE no = ?",
                [(wall, row) for row, wall in self._used.items()],
            )
            self._used.clear()
        if self._floors:
            floors = [(number.to_bytes(EPOCH_BYTES), row) for row, number in self._floors.items()]
            self._connection.executemany(
                "UPDATE source SET floor = max(floor, ?) WHERE no = ?", floors
            )
            self._connection.executemany(
                "DELETE FROM arrived WHERE coalesce(last, number) < ? AND source = ?", floors
            )
            self._floors.clear()

    def forget(self, unused_since_wall: float) -> None:
        """Remove those that were not used since a moment; nothing may be noted and unwritten."""
        self._rows.clear()
        self._connection.execute(
            "DELETE FROM arrived WHERE source IN (SELECT no FROM source WHERE used < ?)",
            (unused_since_wall,),
        )
        self._connection.execute("DELETE FROM source WHERE used < ?", (unused_since_wall,))

    def drop(self) -> None:
        """Forget what is in memory only."""
        self._rows.clear()
        self._used.clear()
        self._floors.clear()

    def _find_or_make(self, source: NodeId, epoch: bytes) -> int:
        name = node_bytes(source) + epoch
        stream = self._sealer.pseudonym(b"source", name)
        found = self._connection.execute(
            "SELECT no FROM source WHERE stream = ?", (stream,)
        ).fetchone()
        row = int(found[0]) if found else self._make(name, stream)
        if len(self._rows) >= MAX_KEPT:
            self._rows.clear()
        self._rows[source, epoch] = row
        return row

    def _make(self, name: bytes, stream: bytes) -> int:
        row = _next_row(self._connection, "SELECT coalesce(max(no), 0) + 1 FROM source")
        self._connection.execute(
            "INSERT INTO source (no, stream, floor, used, sealed) VALUES (?, ?, ?, 0, ?)",
            (row, stream, bytes(EPOCH_BYTES), self._sealer.seal(b"s" + identity(row), name)),
        )
        return row


def _next_row(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])

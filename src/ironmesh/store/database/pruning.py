"""Old rows go in small slices between commits, and their space goes back to the disk."""

from __future__ import annotations

import sqlite3
from typing import Final

from ironmesh.store.database.loading import next_sequence

SLICE_ROWS: Final = 256
SLICE_PAGES: Final = 256
SLICE_BYTES: Final = 4 * 1024 * 1024


class Pruning:
    """What was asked to go, and has not gone yet. Slices are removed inside a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._history_before: float | None = None
        self._foreign_before: float | None = None
        self._is_shrinking = False

    def start_history(self, before: float) -> None:
        """Let ended and handled messages from before a moment go; the first of them go at once."""
        self._history_before = before
        self._remove_history(before)

    def start_foreign(self, before: float) -> None:
        """Let ids of published nodes from before a moment go; the first of them go at once."""
        self._foreign_before = before
        self._remove_foreign(before)

    def shift(self, shift_s: float) -> None:
        """The wall clock was moved, and with it when ids of published nodes arrived."""
        if self._foreign_before is not None:
            self._foreign_before += shift_s

    @property
    def is_due(self) -> bool:
        """Something is left to do."""
        return (
            self._history_before is not None
            or self._foreign_before is not None
            or self._is_shrinking
        )

    def drop(self) -> None:
        """Do nothing more until asked again."""
        self._history_before = self._foreign_before = None
        self._is_shrinking = False

    def remove_slice(self) -> None:
        """Remove a bounded number of rows, or give a bounded number of pages back."""
        if self._history_before is not None:
            self._remove_history(self._history_before)
        elif self._foreign_before is not None:
            self._remove_foreign(self._foreign_before)
        else:
            self._connection.execute(f"PRAGMA incremental_vacuum({SLICE_PAGES})").fetchall()
            self._is_shrinking = _free_pages(self._connection) > 0

    def _remove_history(self, before: float) -> None:
        # The number of the newest message stays known when the message goes.
        self._connection.execute(
            "UPDATE mark SET next_sequence = ?", (next_sequence(self._connection),)
        )
        is_outbox_done = self._remove("outbox", "seq", "ended", "size", before)
        is_inbox_done = self._remove("inbox", "sequence", "handled", "size", before)
        if is_outbox_done and is_inbox_done:
            self._history_before = None
        self._is_shrinking = True

    def _remove_foreign(self, before: float) -> None:
        if self._remove("foreign_id", "no", "arrived", "0", before):
            self._foreign_before = None
        self._is_shrinking = True

    def _remove(self, table: str, key: str, wall: str, size: str, before: float) -> bool:
        """Remove the oldest rows, as far as a slice goes; tell whether that was all."""
        rows = self._connection.execute(
            f"SELECT {key}, {size} FROM {table} WHERE {wall} < ? ORDER BY {wall}"  # noqa: S608
            f" LIMIT {SLICE_ROWS}",
            (before,),
        ).fetchall()
        chosen, size_bytes = [], 0
        for number, row_bytes in rows:
            chosen.append((number,))
            size_bytes += row_bytes
            if size_bytes >= SLICE_BYTES:
                break
        self._connection.executemany(f"DELETE FROM {table} WHERE {key} = ?", chosen)  # noqa: S608
        return len(chosen) == len(rows) < SLICE_ROWS


def _free_pages(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA freelist_count").fetchone()[0])

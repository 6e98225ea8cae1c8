"""The promise on disk: one SQLite database for a node's outbox, inbox and history."""

from __future__ import annotations

from ironmesh.store.database.entries import Direction, HistoryEntry, SentMessage
from ironmesh.store.database.store import DATABASE, JOURNAL, SqliteStore

__all__ = ["DATABASE", "JOURNAL", "Direction", "HistoryEntry", "SentMessage", "SqliteStore"]

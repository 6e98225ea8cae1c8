"""The tables, and how a database of an older version becomes one of ours.

In clear are numbers, times, sizes, states, counts, and keyed pseudonyms of nodes; all else is
sealed. `epoch` is one numbering of ours toward one destination, `source` one numbering of another
node toward us; a message is (epoch, number) or a sequence, and a row holds the messages from there
on: see `outbox_rows` and `inbox_rows`. `ended` and `handled` are NULL while a
row is live, so one index finds what is live, in order, and what is old enough to go.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from ironmesh.errors import StoreError

APPLICATION_ID: Final = 0x49724D73
"""In the header of the file: it is ours."""

_FIRST: Final = (
    # One row for each time that the database was opened: the salt of the key of that time.
    "CREATE TABLE opening (no INTEGER PRIMARY KEY, salt BLOB NOT NULL)",
    """CREATE TABLE mark (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        next_sequence INTEGER NOT NULL,
        proof BLOB NOT NULL
    )""",
    """CREATE TABLE epoch (
        no INTEGER PRIMARY KEY,
        stream BLOB NOT NULL UNIQUE,
        peer BLOB NOT NULL,
        last BLOB NOT NULL,
        sealed BLOB NOT NULL
    )""",
    """CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY,
        epoch INTEGER NOT NULL,
        number BLOB NOT NULL,
        state INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        accepted REAL NOT NULL,
        lifetime REAL NOT NULL,
        as_of REAL NOT NULL,
        ended REAL,
        size INTEGER NOT NULL,
        reason BLOB,
        head BLOB NOT NULL,
        payload BLOB NOT NULL
    )""",
    "CREATE UNIQUE INDEX outbox_id ON outbox (epoch, number)",
    "CREATE INDEX outbox_ended ON outbox (ended)",
    """CREATE TABLE inbox (
        sequence INTEGER PRIMARY KEY,
        peer BLOB NOT NULL,
        arrived REAL NOT NULL,
        handled REAL,
        redelivered INTEGER NOT NULL,
        size INTEGER NOT NULL,
        head BLOB NOT NULL,
        payload BLOB NOT NULL
    )""",
    "CREATE INDEX inbox_handled ON inbox (handled)",
    "CREATE INDEX inbox_peer ON inbox (peer)",
    """CREATE TABLE source (
        no INTEGER PRIMARY KEY,
        stream BLOB NOT NULL UNIQUE,
        floor BLOB NOT NULL,
        used REAL NOT NULL,
        sealed BLOB NOT NULL
    )""",
    """CREATE TABLE arrived (
        source INTEGER NOT NULL,
        number BLOB NOT NULL,
        PRIMARY KEY (source, number)
    ) WITHOUT ROWID""",
    "CREATE TABLE foreign_id (no INTEGER PRIMARY KEY, arrived REAL NOT NULL, sealed BLOB NOT NULL)",
    "CREATE INDEX foreign_id_arrived ON foreign_id (arrived)",
)

_RUNS: Final = (
    # How many messages a row holds; 0 = one, whose payload is sealed by itself.
    "ALTER TABLE outbox ADD COLUMN count INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE inbox ADD COLUMN count INTEGER NOT NULL DEFAULT 0",
    # The numbers from `number` to `last`; NULL = that one only.
    "ALTER TABLE arrived ADD COLUMN last BLOB",
)

MIGRATIONS: Final[tuple[Sequence[str], ...]] = (_FIRST, _RUNS)
"""The statements at index n bring version n to version n + 1; a new database has version 0."""


def migrate(
    connection: sqlite3.Connection, migrations: Sequence[Sequence[str]] = MIGRATIONS
) -> None:
    """Bring a database to our version, one transaction a step.

    Raises:
        StoreError: it is another program's, or of a newer version than ours; it is untouched.
        sqlite3.Error: it cannot be read or written.
    """
    version = _pragma(connection, "user_version")
    if _pragma(connection, "application_id") != APPLICATION_ID and not _is_empty(connection):
        raise StoreError("it is a database of another program", "move it away")
    if version > len(migrations):
        raise _too_new(version, len(migrations))
    for number in range(version, len(migrations)):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in migrations[number]:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {number + 1}")
            connection.execute("COMMIT")
        except BaseException:
            connection.rollback()
            raise


def check_version(connection: sqlite3.Connection) -> None:
    """Make sure that a database can be read as it is.

    Raises:
        StoreError: it is another program's, or not of our version.
        sqlite3.Error: it cannot be read.
    """
    version = _pragma(connection, "user_version")
    if _pragma(connection, "application_id") != APPLICATION_ID:
        raise StoreError("it is not a message store", "name another folder")
    if version > len(MIGRATIONS):
        raise _too_new(version, len(MIGRATIONS))
    if version < len(MIGRATIONS):
        raise StoreError("an older IronMesh wrote it", "start the node once")


def _too_new(version: int, ours: int) -> StoreError:
    return StoreError(
        f"a newer IronMesh wrote it (version {version}, ours is {ours})",
        "upgrade ironmesh; nothing was changed",
    )


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _is_empty(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None

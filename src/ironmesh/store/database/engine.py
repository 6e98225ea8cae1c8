"""The database in the hands of its one thread."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ironmesh.delivery.records import Snapshot, StoreOp
from ironmesh.errors import StoreDamagedError, StoreError
from ironmesh.store.database.faults import is_sync_failure, translated
from ironmesh.store.database.inbox_rows import InboxRows
from ironmesh.store.database.journal import Notes
from ironmesh.store.database.loading import load_snapshot, read_salts
from ironmesh.store.database.opening import open_database
from ironmesh.store.database.outbox_rows import OutboxRows, Payloads
from ironmesh.store.database.plan import Plan
from ironmesh.store.database.pruning import Pruning
from ironmesh.store.database.rows import split_id
from ironmesh.store.database.sealing import SALT_BYTES, Opener, Sealer
from ironmesh.store.database.streams import Epochs, Sources
from ironmesh.types import MessageId, NodeId, Secret

_PROOF: Final = b"the data key is right"
_UNSTORABLE: Final = (ValueError, OverflowError, TypeError, struct.error)


class Engine:
    """The open database. Every method is called in the thread that made it.

    Args:
        path: the database file.
        data_key: the node's data key, 32 bytes.
        is_new: there may be none yet; otherwise a missing or empty one is damage.

    Raises:
        StoreError: it cannot be opened; nothing was changed.
    """

    def __init__(self, path: Path, data_key: Secret, *, is_new: bool = True) -> None:
        self._path = path
        self._connection = open_database(path, is_new=is_new)
        self._broken: StoreError | None = None
        try:
            self._sealer = _start_opening(self._connection, data_key)
        except sqlite3.Error as error:
            self._connection.close()
            raise translated(error, path) from error
        except BaseException:
            self._connection.close()
            raise
        self._epochs = Epochs(self._connection, self._sealer)
        self._sources = Sources(self._connection, self._sealer)
        self._outbox = OutboxRows(self._connection, self._sealer)
        self._inbox = InboxRows(self._connection, self._sealer)
        self._pruning = Pruning(self._connection)

    def load(self, notes: Notes) -> Snapshot:
        """Bring what the journal says into the database, and return what is there."""
        try:
            with _transaction(self._connection):
                self._apply_notes(notes)
            return load_snapshot(self._connection, self._sealer)
        except sqlite3.Error as error:
            raise translated(error, self._path) from error

    def apply(self, batches: Sequence[Sequence[StoreOp]]) -> list[StoreError | None]:
        """Make batches last, in one transaction if all is well; return what is wrong with each."""
        error = self._commit(batches)
        if error is None:
            return [None] * len(batches)
        if len(batches) == 1:
            return [error]
        return [self._commit([batch]) for batch in batches]

    def payloads(self, ids: Sequence[tuple[NodeId, MessageId]]) -> list[bytes | None]:
        """Return the payloads of messages of ours."""
        try:
            payloads = Payloads(self._connection, self._sealer)
            return [self._payload(payloads, destination, one) for destination, one in ids]
        except sqlite3.Error as error:
            raise translated(error, self._path) from error

    @property
    def has_chores(self) -> bool:
        """Something is left to remove, at leisure."""
        return self._broken is None and self._pruning.is_due

    def do_chore(self) -> None:
        """Remove a bounded number of rows; if that fails, wait to be asked again."""
        try:
            with _transaction(self._connection):
                self._pruning.remove_slice()
        except sqlite3.Error as error:
            self._pruning.drop()
            if is_sync_failure(error):
                self._broken = _broken(translated(error, self._path))

    def close(self) -> None:
        """Bring the log into the database, and close it."""
        # A checkpoint that fails loses nothing: the log stays, and the next start reads it.
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._connection.close()

    def _commit(self, batches: Sequence[Sequence[StoreOp]]) -> StoreError | None:
        if self._broken is not None:
            return self._broken
        plan = Plan(
            self._connection,
            self._sealer,
            self._epochs,
            self._sources,
            self._outbox,
            self._inbox,
            self._pruning,
        )
        try:
            with _transaction(self._connection):
                plan.run(batches)
        except sqlite3.Error as error:
            self._drop()
            failure = translated(error, self._path)
            failure.__cause__ = error
            if is_sync_failure(error):
                failure = self._broken = _broken(failure)
            return failure
        except _UNSTORABLE as error:
            self._drop()
            unstorable = StoreError(f"a row cannot be stored ({error})", "report this as a bug")
            unstorable.__cause__ = error
            return unstorable
        return None

    def _drop(self) -> None:
        self._epochs.drop()
        self._sources.drop()
        self._outbox.drop()
        self._inbox.drop()
        self._pruning.drop()

    def _payload(
        self, payloads: Payloads, destination: NodeId, message_id: MessageId
    ) -> bytes | None:
        epoch_bytes, number = split_id(message_id)
        epoch = self._epochs.find(destination, epoch_bytes)
        return None if epoch is None else payloads.find(epoch, number)

    def _apply_notes(self, notes: Notes) -> None:
        self._inbox.note(notes.completed, notes.running if notes.is_complete else ())
        if not notes.is_complete:
            self._connection.execute("UPDATE inbox SET redelivered = 1 WHERE handled IS NULL")


def _start_opening(connection: sqlite3.Connection, data_key: Secret) -> Sealer:
    """Check the data key, and make the key of this opening."""
    salts = read_salts(connection)
    _check_key(connection, Opener(data_key, salts))
    number, salt = max(salts, default=0) + 1, os.urandom(SALT_BYTES)
    sealer = Sealer(data_key, {**salts, number: salt}, number)
    with _transaction(connection):
        connection.execute("INSERT INTO opening (no, salt) VALUES (?, ?)", (number, salt))
        connection.execute(
            "INSERT OR IGNORE INTO mark (only, next_sequence, proof) VALUES (1, 1, ?)",
            (sealer.seal(b"m", _PROOF),),
        )
    return sealer


def _check_key(connection: sqlite3.Connection, opener: Opener) -> None:
    for (proof,) in connection.execute("SELECT proof FROM mark"):
        try:
            opener.open(b"m", proof)
        except StoreDamagedError as error:
            raise StoreDamagedError(
                "the message store is sealed under another data key, or damaged",
                "put back the key file that belongs to it, or move the folder of the store away",
            ) from error


def _broken(error: StoreError) -> StoreError:
    return StoreError(
        f"the disk failed to keep what was written ({error.what})",
        "check the disk, then start the node again",
    )


class _transaction:  # noqa: N801 - used like a function
    """One transaction: committed at the end, rolled back when anything is raised."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        try:
            if kind is None:
                self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")

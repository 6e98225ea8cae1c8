"""The database as the node sees it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ironmesh.delivery.records import MarkHandled, Snapshot, StoreOp
from ironmesh.errors import StoreError
from ironmesh.store.database.journal import Journal, boot_id
from ironmesh.store.database.writer import Writer
from ironmesh.types import MessageId, NodeId, Secret

if TYPE_CHECKING:
    from ironmesh.store.database.engine import Engine

DATABASE: Final = "messages.db"
JOURNAL: Final = "handled.journal"


class SqliteStore:
    """The `DeliveryStore` of a node, in a folder of its own. Use it in one event loop.

    Nothing is opened before `load`. The caller holds the node's lock: a folder has one store.

    Args:
        folder: made, private, when missing.
        data_key: the node's data key, 32 bytes.
    """

    def __init__(self, folder: Path, data_key: Secret) -> None:
        self._folder = folder
        self._data_key = data_key
        self._journal = Journal(folder / JOURNAL, boot_id())
        self._writer: Writer | None = None

    async def load(self) -> Snapshot:
        """Open the store and return what a start finds; call it once, first.

        Raises:
            StoreDamagedError: it is damaged, or sealed under another key; nothing was changed.
            StoreFullError: the disk is full.
            StoreError: it cannot be used; nothing was changed.
        """
        if self._writer is not None:
            raise StoreError("the message store is open already", "load it once")
        writer = Writer(self._open)
        await writer.start()
        try:
            notes = self._journal.read()
            snapshot = await writer.call(lambda engine: engine.load(notes))
            self._journal.start()
        except BaseException:
            await writer.stop()
            raise
        self._writer = writer
        return snapshot

    async def commit(self, batch: Sequence[StoreOp]) -> None:
        """Make a batch last; batches take effect in the order of the calls.

        Raises:
            StoreFullError: the disk is full. Nothing of it took effect.
            StoreError: it was not made to last. Nothing of it took effect.
        """
        await self._opened().commit(batch)
        for operation in batch:
            if isinstance(operation, MarkHandled):
                self._journal.settle(operation.sequences)

    async def payloads(self, ids: Sequence[tuple[NodeId, MessageId]]) -> list[bytes | None]:
        """Return the payloads of messages of ours by destination and id; None where gone.

        Raises:
            StoreError: the database cannot be read.
        """
        return await self._opened().call(lambda engine: engine.payloads(ids))

    def note_started(self, sequence: int) -> None:
        """Note that the handler of this message begins: a plain write, not flushed to the disk.

        Raises:
            StoreFullError: the disk is full; the handler must not begin.
            StoreError: it cannot be noted; the handler must not begin.
        """
        self._journal.note_started(sequence)

    def note_completed(self, sequence: int) -> None:
        """Note that the handler of this message is done: a plain write, not flushed to the disk.

        Raises:
            StoreFullError: the disk is full; the message counts as begun.
            StoreError: it cannot be noted; the message counts as begun.
        """
        self._journal.note_completed(sequence)

    async def close(self) -> None:
        """Finish what was committed and free every file; a second call does nothing."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.stop()
            self._journal.close()

    def _opened(self) -> Writer:
        if self._writer is None:
            raise StoreError("the message store is not open", "load it first")
        return self._writer

    def _open(self) -> Engine:
        # Imported in the thread: SQLite and the cipher cost a start what only a store needs.
        from ironmesh.store.database.engine import Engine

        return Engine(self._folder / DATABASE, self._data_key)

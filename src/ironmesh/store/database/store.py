"""The database as the node sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from ironmesh.delivery.records import MarkHandled, OutboxRow, Snapshot, StoreOp
from ironmesh.errors import StoreError
from ironmesh.store.database.entries import Direction, HistoryEntry, SentMessage
from ironmesh.store.database.journal import Journal, boot_id
from ironmesh.store.database.writer import Writer
from ironmesh.types import MessageId, NodeId, Secret

if TYPE_CHECKING:
    from ironmesh.store.database.engine import Engine
    from ironmesh.store.database.queries import Reader

T = TypeVar("T")

DATABASE: Final = "messages.db"
JOURNAL: Final = "handled.journal"


class SqliteStore:
    """The `DeliveryStore` of a node, in a folder of its own. Use it in one event loop.

    Only notes may come from other threads. Nothing is opened before `load`. The caller holds the
    node's lock: a folder has one store.

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
        try:
            await writer.start()
            notes = self._journal.read()
            snapshot = await writer.call(lambda engine: engine.load(notes))
            self._journal.start()
        except BaseException:
            await writer.stop()
            raise
        self._writer = writer
        return snapshot

    def commit(self, batch: Sequence[StoreOp]) -> asyncio.Future[None]:
        """Make a batch last; batches take effect in the order of the calls.

        Raises:
            StoreFullError: the disk is full. Nothing of it took effect.
            StoreError: it was not made to last. Nothing of it took effect.
        """
        commit = self._opened().commit(batch)
        for operation in batch:
            if isinstance(operation, MarkHandled):
                commit.add_done_callback(partial(self._settle, operation.sequences))
        return commit

    def _settle(self, sequences: Sequence[int], commit: asyncio.Future[None]) -> None:
        """The database says that these are handled: their notes may go."""
        if not commit.cancelled() and commit.exception() is None:
            self._journal.settle(sequences)

    async def payloads(self, ids: Sequence[tuple[NodeId, MessageId]]) -> list[bytes | None]:
        """Return the payloads of messages of ours by destination and id; None where gone.

        Raises:
            StoreError: the database cannot be read.
        """
        return await self._opened().call(lambda engine: engine.payloads(ids))

    def note_started(self, sequence: int, *, after: int | None = None) -> None:
        """Note that the handler of this message begins: a plain write, not flushed to the disk.

        Args:
            after: that of this one is done; it is noted by the same write, or not at all.

        Raises:
            StoreFullError: the disk is full; the handler must not begin.
            StoreError: it cannot be noted; the handler must not begin.
        """
        self._journal.note_started(sequence, after)

    def note_completed(self, sequence: int) -> None:
        """Note that the handler of this message is done: a plain write, not flushed to the disk.

        Raises:
            StoreFullError: the disk is full; the message counts as begun.
            StoreError: it cannot be noted; the message counts as begun.
        """
        self._journal.note_completed(sequence)

    async def history(
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

        Raises:
            StoreError: the database cannot be read.
        """
        return await self._ask(
            lambda reader: reader.history(
                peer=peer, direction=direction, since_wall=since_wall, limit=limit
            )
        )

    async def outbox(
        self, *, destination: NodeId | None = None, limit: int = 10_000
    ) -> list[OutboxRow]:
        """Return messages of ours that have not ended, the oldest first.

        Raises:
            StoreError: the database cannot be read.
        """
        return await self._ask(lambda reader: reader.outbox(destination=destination, limit=limit))

    async def sent(self, message_id: MessageId) -> SentMessage | None:
        """Return a message of ours, ended or not; None if there is none of this id.

        Raises:
            StoreError: the database cannot be read.
            ValueError: the id is not 16 bytes long.
        """
        return await self._ask(lambda reader: reader.sent(message_id))

    async def sent_like(self, beginning: str, limit: int) -> list[MessageId]:
        """Return ids of messages of ours, ended or not, that begin like this.

        Args:
            beginning: of the id in hexadecimal, at most 32 digits.
            limit: at most so many.

        Raises:
            StoreError: the database cannot be read.
            ValueError: it is not hexadecimal.
        """
        return await self._ask(lambda reader: reader.sent_like(beginning, limit))

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

    async def _ask(self, question: Callable[[Reader], T]) -> T:
        """Answer a question in a thread of its own, with all that was committed before."""
        from ironmesh.store.database.queries import open_reader

        self._opened()

        def answer() -> T:
            with open_reader(self._folder / DATABASE, self._data_key) as reader:
                return question(reader)

        return await asyncio.to_thread(answer)

    def _open(self) -> Engine:
        # Imported in the thread: SQLite and the cipher cost a start what only a store needs.
        from ironmesh.store.database.engine import Engine

        path, journal = self._folder / DATABASE, self._folder / JOURNAL
        # The journal is made after the tables: it cannot be older than the database.
        return Engine(path, self._data_key, is_new=not journal.exists())

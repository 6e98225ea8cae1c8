"""A store in memory whose disk a test holds up, or fills."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ironmesh.delivery.records import StoreOp
from ironmesh.errors import StoreFullError
from ironmesh.store.memory import CommitPoint, MemoryStore


class SlowStore(MemoryStore):
    """Commits wait while `may_commit` is cleared, and fail while `is_full`."""

    def __init__(self) -> None:
        super().__init__(self._look)
        self.may_commit = asyncio.Event()
        self.may_commit.set()
        self.is_full = False

    def _look(self, point: CommitPoint, batch: Sequence[StoreOp]) -> None:
        if self.is_full and point is CommitPoint.BEFORE:
            raise StoreFullError("the disk is full", "make room")

    async def commit(self, batch: Sequence[StoreOp]) -> None:
        await self.may_commit.wait()
        await super().commit(batch)

    def note_started(self, sequence: int, *, after: int | None = None) -> None:
        self._check_room()
        super().note_started(sequence, after=after)

    def note_completed(self, sequence: int) -> None:
        self._check_room()
        super().note_completed(sequence)

    def _check_room(self) -> None:
        if self.is_full:
            raise StoreFullError("the disk is full", "make room")

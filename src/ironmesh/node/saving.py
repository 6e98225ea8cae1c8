"""One commit for all that was accepted while the one before was under way."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from ironmesh.delivery.actions import Accepted
from ironmesh.delivery.records import DeliveryStore
from ironmesh.errors import StoreError
from ironmesh.types import MessageId

MAX_CALLS: Final = 1024
"""Calls of `save` in one commit."""
MAX_BYTES: Final = 4 * 1024 * 1024
"""Payload bytes after which a commit takes no further call."""

Tell = Callable[[Sequence[MessageId]], None]


class _Call(msgspec.Struct, frozen=True):
    accepted: Accepted
    done: asyncio.Future[None]


class Saver:
    """Gathers what many tasks have accepted: a task of its own for each would cost more than they.

    Args:
        on_saved: these are on disk; called in the order of the calls, before anybody is woken.
        on_failed: these are not, and will not be.
        keep: lets the end of the node wait for a task.
    """

    def __init__(
        self,
        store: DeliveryStore,
        on_saved: Tell,
        on_failed: Tell,
        keep: Callable[[asyncio.Task[None]], None],
    ) -> None:
        self._store = store
        self._on_saved = on_saved
        self._on_failed = on_failed
        self._keep = keep
        self._calls: deque[_Call] = deque()
        self._working: asyncio.Task[None] | None = None

    async def save(self, accepted: Accepted) -> None:
        """Return when what was accepted is on disk, which happens also if nobody waits for it.

        Raises:
            StoreError: it could not be brought to disk.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._calls.append(_Call(accepted, done))
        if self._working is None:
            self._working = asyncio.create_task(self._work(), name="outbox saver")
            self._keep(self._working)
        await done

    async def _work(self) -> None:
        try:
            while self._calls:
                await self._save_group(self._take_group())
        finally:
            self._working = None

    def _take_group(self) -> list[_Call]:
        group: list[_Call] = []
        size_bytes = 0
        while self._calls and len(group) < MAX_CALLS and size_bytes < MAX_BYTES:
            group.append(self._calls.popleft())
            size_bytes += group[-1].accepted.size_bytes
        return group

    async def _save_group(self, group: list[_Call]) -> None:
        try:
            await self._store.commit([op for call in group for op in call.accepted.ops])
        except StoreError as error:
            if len(group) > 1:  # one that cannot be stored must not cost the others
                for call in group:
                    await self._save_group([call])
                return
            self._on_failed(group[0].accepted.ids)
            if not group[0].done.done():
                group[0].done.set_exception(error)
        else:
            self._on_saved([message_id for call in group for message_id in call.accepted.ids])
            for call in group:
                if not call.done.done():
                    call.done.set_result(None)

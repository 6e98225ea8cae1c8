"""One commit for all that gathers during the one before, and for what may wait for another."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Final

from ironmesh.delivery.actions import Accepted, Draft
from ironmesh.delivery.records import DeliveryStore, StoreOp
from ironmesh.errors import DeliveryError, IronMeshError, StoreError
from ironmesh.types import MessageId

MAX_CALLS: Final = 1024
"""Calls of `save` in one commit."""
MAX_BYTES: Final = 4 * 1024 * 1024
"""Payload bytes after which a commit takes no further call."""
MAX_LATER: Final = 1024
"""Operations that wait for another commit, at most."""
LATER_S: Final = 0.02
"""How long they wait for it."""

Accept = Callable[[Sequence[Draft]], Accepted]

_Call = tuple[Sequence[Draft], asyncio.Future[tuple[MessageId, ...]]]


class Saver:
    """Takes in what many tasks want to send: each by itself would cost more than the message.

    Args:
        accept: gives drafts their ids, just before they are committed; raises if it takes none.
        on_saved: these new messages, in the order of the calls, and these older ones, are on disk;
            called before anybody is woken.
        on_failed: these are not, and will not be.
    """

    def __init__(
        self,
        store: DeliveryStore,
        accept: Accept,
        on_saved: Callable[[Sequence[MessageId], Sequence[MessageId]], None],
        on_failed: Callable[[Sequence[MessageId]], None],
    ) -> None:
        self._store = store
        self._accept = accept
        self._on_saved = on_saved
        self._on_failed = on_failed
        self._calls: deque[_Call] = deque()
        self._loop = asyncio.get_running_loop()
        self._singly: deque[_Call] = deque()
        """Those of a commit that failed: one that cannot be stored must not cost the others."""
        self._later_ops: list[StoreOp] = []
        self._later_ids: list[MessageId] = []
        self._timer: asyncio.TimerHandle | None = None
        self._is_working = False
        self._idle: asyncio.Future[None] | None = None

    def save(self, drafts: Sequence[Draft]) -> asyncio.Future[tuple[MessageId, ...]]:
        """Bring drafts to disk, also if nobody waits for it; the future gives their ids.

        Raises:
            DeliveryError: they are not accepted.
            StoreError: they could not be brought to disk.
        """
        done: asyncio.Future[tuple[MessageId, ...]] = self._loop.create_future()
        self._calls.append((drafts, done))
        if not self._is_working:
            self.begin()
        return done

    def save_later(self, ops: Sequence[StoreOp], ids: Sequence[MessageId]) -> None:
        """Let operations be part of the next commit, which is not far away."""
        self._later_ops += ops
        self._later_ids += ids
        if not self._is_working:
            self._begin_later()

    def begin(self) -> None:
        """Commit what waits now, with all that comes in this turn of the loop."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._is_working and (self._calls or self._later_ops):
            self._is_working = True
            self._loop.call_soon(self._work)

    async def finish(self) -> None:
        """Let all that waits be committed."""
        self.begin()
        while self._is_working:
            self._idle = self._loop.create_future()
            await self._idle
            self.begin()

    def _begin_later(self) -> None:
        if len(self._later_ops) >= MAX_LATER:
            self.begin()
        elif self._later_ops and self._timer is None:
            self._timer = self._loop.call_later(LATER_S, self.begin)

    def _work(self) -> None:
        """Begin the next commit, or rest if nothing waits for one."""
        has_begun = False
        try:
            while not has_begun and (self._calls or self._singly or self._later_ops):
                has_begun = self._begin_commit()
        finally:
            if not has_begun:
                self._rest()

    def _begin_commit(self) -> bool:
        """Take in what is next; False if nothing of it was accepted."""
        calls, ids, ops = self._take_in(self._take_group())
        later = self._later_ids
        ops += self._later_ops
        self._later_ops, self._later_ids = [], []
        if ops:
            commit = asyncio.ensure_future(self._store.commit(ops))
            commit.add_done_callback(partial(self._committed, calls, ids, later))
        return bool(ops)

    def _rest(self) -> None:
        self._is_working = False
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)
        self._begin_later()

    def _take_group(self) -> list[_Call]:
        if self._singly:
            return [self._singly.popleft()]
        group: list[_Call] = []
        size_bytes = 0
        for call in islice(self._calls, MAX_CALLS):
            group.append(call)
            for draft in call[0]:
                size_bytes += len(draft.payload)
            if size_bytes >= MAX_BYTES:
                break
        for _ in group:
            self._calls.popleft()
        return group

    def _take_in(
        self, group: list[_Call]
    ) -> tuple[list[_Call], tuple[MessageId, ...], list[StoreOp]]:
        calls, accepted = self._accept_group(group)
        ids = tuple([message_id for one in accepted for message_id in one.ids])
        return calls, ids, [op for one in accepted for op in one.ops]

    def _accept_group(self, group: list[_Call]) -> tuple[list[_Call], list[Accepted]]:
        """Accept all, or, where one cannot be accepted, the others."""
        if not group:
            return [], []
        try:
            return group, [self._accept([draft for drafts, _done in group for draft in drafts])]
        except DeliveryError as error:
            if len(group) == 1:
                _fail(group[0], error)
                return [], []
        parts = [self._accept_group([call]) for call in group]
        return [call for calls, _ in parts for call in calls], [
            one for _, some in parts for one in some
        ]

    def _committed(
        self,
        calls: list[_Call],
        ids: tuple[MessageId, ...],
        later: list[MessageId],
        commit: asyncio.Future[None],
    ) -> None:
        try:
            commit.result()
        except StoreError as error:
            self._on_failed([*ids, *later])
            if len(calls) == 1:
                _fail(calls[0], error)
            else:
                self._singly += calls
        else:
            self._on_saved(ids, later)
            _tell(calls, ids)
        finally:
            if self._calls or self._singly:
                self._work()
            else:
                self._rest()


def _tell(calls: Sequence[_Call], ids: tuple[MessageId, ...]) -> None:
    start = 0
    for drafts, done in calls:
        end = start + len(drafts)
        if not done.done():
            done.set_result(ids[start:end])
        start = end


def _fail(call: _Call, error: IronMeshError) -> None:
    if not call[1].done():
        call[1].set_exception(error)

"""One thread for the database, and a commit for all that gathered while it was busy.

While one transaction is brought to disk, batches queue up; the next transaction takes all of them.
So the load sets the size of a transaction, and nobody waits for a timer.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from ironmesh.delivery.records import PutInbox, PutOutbox, StoreOp
from ironmesh.errors import IronMeshError, StoreError

if TYPE_CHECKING:
    from ironmesh.store.database.engine import Engine

MAX_BATCHES: Final = 1024
"""Batches in one transaction."""
MAX_BYTES: Final = 16 * 1024 * 1024
"""Payload bytes after which a transaction takes no further batch."""

T = TypeVar("T")


class _Commit(msgspec.Struct, frozen=True):
    batch: Sequence[StoreOp]
    done: asyncio.Future[None]


class _Call(msgspec.Struct, frozen=True):
    function: Callable[[Engine], Any]
    done: asyncio.Future[Any]


_Job = _Commit | _Call
_Outcome = tuple[asyncio.Future[Any], Any, BaseException | None]


class Writer:
    """The thread. Made and called in one event loop; `stop` ends it.

    Args:
        open_engine: opens the database; called in the thread.
    """

    def __init__(self, open_engine: Callable[[], Engine]) -> None:
        self._open_engine = open_engine
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._at_work: list[_Job] = []
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="ironmesh-store", daemon=True)
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()

    async def start(self) -> None:
        """Start the thread and open the database.

        Raises:
            StoreError: it cannot be opened; the thread has ended.
        """
        self._thread.start()
        await asyncio.shield(self._opened)

    def commit(self, batch: Sequence[StoreOp]) -> asyncio.Future[None]:
        """Hand a batch over; the future ends when it is on disk, or with what is wrong with it."""
        done: asyncio.Future[None] = self._loop.create_future()
        self._put(_Commit(batch, done))
        return done

    def call(self, function: Callable[[Engine], T]) -> asyncio.Future[T]:
        """Run a function in the thread, after all that was handed over before."""
        done: asyncio.Future[T] = self._loop.create_future()
        self._put(_Call(function, done))
        return done

    async def stop(self) -> None:
        """Finish what was handed over, close the database, and end the thread; call it once."""
        self._jobs.put(None)
        await asyncio.shield(self._ended)
        self._thread.join()

    def _put(self, job: _Job) -> None:
        self._jobs.put(job)
        # Looked at afterwards, so that no job is left between here and the end of the thread.
        if self._is_over:
            self._give_up()

    # --- In the thread -----------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._work()
        finally:
            self._give_up()

    def _work(self) -> None:
        try:
            engine = self._open_engine()
        except StoreError as error:
            self._tell([(self._opened, None, error)])
            return
        with contextlib.closing(engine):
            self._tell([(self._opened, None, None)])
            job = self._next(engine)
            while job is not None:
                job = self._do(engine, job)

    def _give_up(self) -> None:
        """Leave nobody waiting, also when a bug ended the work."""
        error = StoreError("the message store has stopped", "start the node again")
        self._is_over = True
        outcomes: list[_Outcome] = [(job.done, None, error) for job in self._at_work]
        outcomes.append((self._opened, None, error))
        with contextlib.suppress(queue.Empty):
            while True:
                job = self._jobs.get_nowait()
                if job is not None:
                    outcomes.append((job.done, None, error))
        self._tell([*outcomes, (self._ended, None, None)])

    def _next(self, engine: Engine) -> _Job | None:
        while engine.has_chores:
            try:
                return self._jobs.get_nowait()
            except queue.Empty:
                engine.do_chore()
        return self._jobs.get()

    def _do(self, engine: Engine, job: _Job) -> _Job | None:
        """Do a job and those that can go with it; return the next one."""
        if isinstance(job, _Call):
            self._at_work = [job]
            try:
                self._tell([(job.done, job.function(engine), None)])
            except (IronMeshError, ValueError) as error:
                self._tell([(job.done, None, error)])
            return self._next(engine)
        group, following = self._gather(job)
        self._at_work = list(group)
        errors = engine.apply([commit.batch for commit in group])
        self._tell([(c.done, None, error) for c, error in zip(group, errors, strict=True)])
        if engine.has_chores:
            engine.do_chore()
        return following[0] if following else self._next(engine)

    def _gather(self, first: _Commit) -> tuple[list[_Commit], list[_Job | None]]:
        """Take the commits that wait; also the job after them, if one was taken."""
        group, size_bytes = [first], _payload_bytes(first.batch)
        while len(group) < MAX_BATCHES and size_bytes < MAX_BYTES:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if not isinstance(job, _Commit):
                return group, [job]
            group.append(job)
            size_bytes += _payload_bytes(job.batch)
        return group, []

    def _tell(self, outcomes: list[_Outcome]) -> None:
        # A loop that is closed has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_settle, outcomes)


def _settle(outcomes: list[_Outcome]) -> None:
    for done, result, error in outcomes:
        if done.done():
            continue
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)


def _payload_bytes(batch: Sequence[StoreOp]) -> int:
    size_bytes = 0
    for operation in batch:
        if isinstance(operation, PutOutbox):
            for _row, payload in operation.rows:
                size_bytes += len(payload)
        elif isinstance(operation, PutInbox):
            for row in operation.rows:
                size_bytes += len(row.message.payload)
    return size_bytes

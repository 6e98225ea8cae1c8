"""The threads that an embedded node needs, for its loop and for handlers; and work in others."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import queue
import threading
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Final, TypeVar

from ironmesh.errors import NotRunningError

WORKERS_LIMIT_S: Final = 0.2
"""How long the end of a loop waits for its workers, one of which may hang in a name lookup."""

Wanted = queue.SimpleQueue[None]
"""Whoever puts something in wants a thread to go on that waits for it; a signal handler may."""

T = TypeVar("T")
Outcome = tuple[object, BaseException | None]


class LoopThread:
    """An event loop in a daemon thread.

    Args:
        name: of the thread.
        finish: runs on the loop when it ends, whoever ended it.
    """

    def __init__(self, name: str, finish: Callable[[], Awaitable[None]]) -> None:
        self.loop = asyncio.new_event_loop()
        self._finish = finish
        self._gate = threading.Lock()
        self._is_over = False
        self._has_ended = False
        self._waiters: list[Wanted] = []
        self._ident: int | None = None
        """Of the thread, while it runs: another one may have the same later."""
        # The loop itself would not keep what it runs: a task that only waits could vanish.
        self._submitted: set[concurrent.futures.Future[Any]] = set()
        # Not the loop's own executor: ending that one starts a thread, which nobody may do while
        # the interpreter ends.
        self._workers = f"{name}-{id(self):x}"
        self._executor = concurrent.futures.ThreadPoolExecutor(thread_name_prefix=self._workers)
        self.loop.set_default_executor(self._executor)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """It takes no more work: it ends, or has ended."""
        return self._is_over

    @property
    def is_current(self) -> bool:
        """The caller runs on it."""
        return threading.get_ident() == self._ident

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run `work` on the loop; its future is cancelled if the loop ends before it.

        Raises:
            NotRunningError: the loop is over.
        """
        with self._gate:
            if not self._is_over:
                future = asyncio.run_coroutine_threadsafe(work, self.loop)
                self._submitted.add(future)
                future.add_done_callback(self._submitted.discard)
                return future
        work.close()
        raise _stopped()

    def call(
        self,
        work: Coroutine[Any, Any, T],
        timeout: float | None = None,
        *,
        meanwhile: Callable[[], None] | None = None,
    ) -> T:
        """Run `work` on the loop and wait for its result, from another thread.

        Args:
            meanwhile: called in this thread before it waits.

        Raises:
            TimeoutError: no result in time; `work` was cancelled.
            NotRunningError: the loop is over, or ended meanwhile.
        """
        future = self.submit(work)
        try:
            if meanwhile is not None:
                meanwhile()
            return future.result(timeout)
        except concurrent.futures.CancelledError as error:
            raise _stopped() from error
        except TimeoutError:
            if future.cancel():
                raise
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def wait(self, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """Run `work` on the loop and wait for its result, from whichever loop awaits this.

        Raises:
            NotRunningError: the loop is over, or ended meanwhile.
        """
        return work if threading.get_ident() == self._ident else self._wait_elsewhere(work)

    async def _wait_elsewhere(self, work: Coroutine[Any, Any, T]) -> T:
        future = self.submit(work)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if future.cancelled() and not is_cancelled():
                raise _stopped() from None
            raise

    def stop_soon(self) -> None:
        """Ask the loop to end; returns at once, and may be called from a signal handler."""
        with contextlib.suppress(RuntimeError):  # it has ended
            self.loop.call_soon_threadsafe(self.loop.stop)

    def stop(self, timeout: float) -> bool:
        """End the loop and wait for it, unless the caller runs on it; False if it still runs."""
        self.stop_soon()
        if self.is_current:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def tell_end(self, waiter: Wanted) -> None:
        """Put something into `waiter` once the loop has ended."""
        with self._gate:
            if not self._has_ended:
                self._waiters.append(waiter)
                return
        waiter.put(None)

    def _run(self) -> None:
        self._ident = threading.get_ident()
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            with self._gate:
                self._is_over = True
            try:
                ending = self.loop.create_task(self._wind_up())
                ending.add_done_callback(lambda _: self.loop.stop())
                while not ending.done():  # somebody may stop the loop once more
                    self.loop.run_forever()
                ending.result()
            finally:
                self._ident = None
                self._end_workers()
                self.loop.close()
                with self._gate:
                    self._has_ended = True
                for waiter in self._waiters:
                    waiter.put(None)

    async def _wind_up(self) -> None:
        try:
            await self._finish()
        finally:
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            await self.loop.shutdown_asyncgens()

    def _end_workers(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
        for thread in threading.enumerate():
            if thread.name.startswith(self._workers):
                thread.join(WORKERS_LIMIT_S)


class HandlerThread:
    """Runs blocking handlers one at a time, so that they never hold up the node's loop.

    It is a daemon thread: a handler that never returns does not keep the process alive.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def is_current(self) -> bool:
        """The caller runs in it."""
        return threading.current_thread() is self._thread

    async def run(self, handler: Callable[..., object], *args: object) -> object:
        """Call `handler` in the thread; return what it returns, raise what it raises."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Outcome] = loop.create_future()

        def job() -> None:
            outcome = _outcome(handler, *args)
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(_settle, done, outcome)

        self._jobs.put(job)
        result, error = await done
        if error is not None:
            raise error
        return result

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def close(self) -> None:
        """End the thread after the handler that is running; returns at once."""
        self._jobs.put(None)

    def join(self, timeout: float) -> None:
        """Wait for the end, unless the caller runs on it."""
        if self._thread is not None and not self.is_current:
            self._thread.join(timeout)


def is_cancelled() -> bool:
    """Tell whether somebody cancelled the current task."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _outcome(handler: Callable[..., object], *args: object) -> Outcome:
    try:
        return handler(*args), None
    except BaseException as error:  # noqa: BLE001 - carried to the loop, raised there
        return None, error


def _settle(done: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not done.done():
        done.set_result(outcome)


def _stopped() -> NotRunningError:
    return NotRunningError("the node has stopped", "call run() first")


async def in_thread(work: Callable[..., T], *arguments: Any) -> T:
    """Do blocking work in a thread; here, once the interpreter ends and begins no thread."""
    try:
        waiting = asyncio.get_running_loop().run_in_executor(None, partial(work, *arguments))
    except RuntimeError:
        return work(*arguments)
    return await waiting

"""The two threads that an embedded node needs: one for its loop, one for blocking handlers."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import queue
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from ironmesh.errors import NotRunningError

_log = logging.getLogger("ironmesh.node")

WAKE_S: Final = 0.5 if os.name == "nt" else None
"""Windows delivers Ctrl-C between two waits, never within one."""

T = TypeVar("T")


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
        self._woken: queue.SimpleQueue[None] = queue.SimpleQueue()
        # Shut down here and not by the loop: that would start a thread, which nobody may do while
        # the interpreter ends.
        self._executor = concurrent.futures.ThreadPoolExecutor(thread_name_prefix=name)
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
        return threading.current_thread() is self._thread

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run `work` on the loop; its future is cancelled if the loop ends before it.

        Raises:
            NotRunningError: the loop is over.
        """
        with self._gate:
            if not self._is_over:
                return asyncio.run_coroutine_threadsafe(work, self.loop)
        work.close()
        raise _stopped()

    def call(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run `work` on the loop and wait for its result, from another thread.

        Raises:
            TimeoutError: no result in time; `work` was cancelled.
            NotRunningError: the loop is over, or ended meanwhile.
        """
        future = self.submit(work)
        try:
            return future.result(timeout)
        except concurrent.futures.CancelledError as error:
            raise _stopped() from error
        except BaseException:
            if not future.cancel() and not future.exception():
                return future.result()
            raise

    async def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` on the loop and wait for its result, from whichever loop awaits this.

        Raises:
            NotRunningError: the loop is over, or ended meanwhile.
        """
        if self.is_current:
            return await work
        future = self.submit(work)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if self._is_over and not _is_cancelling():
                raise _stopped() from None
            raise

    def stop_soon(self) -> None:
        """Ask the loop to end; returns at once, and may be called from a signal handler."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.loop.stop)

    def stop(self, timeout: float) -> bool:
        """End the loop and wait for it, unless the caller runs on it; True once it has ended."""
        self.stop_soon()
        if not self.is_current:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def wake(self) -> None:
        """Let whoever is in `wait_woken` go on; may be called from a signal handler."""
        self._woken.put(None)

    def wait_woken(self) -> None:
        """Block until the loop has ended or somebody called `wake`."""
        while True:
            try:
                self._woken.get(timeout=WAKE_S)
            except queue.Empty:
                continue
            self._woken.put(None)
            return

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            with self._gate:
                self._is_over = True
            try:
                self.loop.run_until_complete(self._wind_up())
            finally:
                self._executor.shutdown()
                self.loop.close()
                self.wake()

    async def _wind_up(self) -> None:
        await self._finish()
        current = asyncio.current_task()
        rest = [task for task in asyncio.all_tasks() if task is not current]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await self.loop.shutdown_asyncgens()


class HandlerThread:
    """Runs blocking handlers one at a time, so that they never hold up the node's loop.

    It is a daemon thread: a handler that never returns does not keep the process alive.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, handler: Callable[..., object], *args: object) -> object:
        """Call `handler` in the thread and return what it returns; what it raises is raised here.

        `SystemExit` and `KeyboardInterrupt` are raised as they are, too.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        future: concurrent.futures.Future[object] = concurrent.futures.Future()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = handler(*args)
            except BaseException as error:  # noqa: BLE001 - carried to the loop, raised there
                future.set_exception(error)
            else:
                future.set_result(result)

        self._jobs.put(job)
        return await asyncio.wrap_future(future)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def close(self, timeout: float) -> None:
        """End the thread after the handler that is running; wait for it at most `timeout` s."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            if threading.current_thread() is not thread:
                thread.join(timeout)


def _stopped() -> NotRunningError:
    return NotRunningError("the node has stopped", "call run() first")


def _is_cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

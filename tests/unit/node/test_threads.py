"""The thread of a node's loop, and the thread of its blocking handlers."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.agents import Mailbox, eventually

from ironmesh.errors import NotRunningError
from ironmesh.node.threads import HandlerThread, LoopThread

LIMIT_S = 5.0


class Finish:
    """What a loop does at its end: told, counted, and if need be slow."""

    def __init__(self) -> None:
        self.calls = 0
        self.thread = ""

    async def __call__(self) -> None:
        self.calls += 1
        self.thread = threading.current_thread().name
        await asyncio.sleep(0)


@pytest.fixture
def finish() -> Finish:
    return Finish()


@pytest.fixture
def thread(finish: Finish) -> Iterator[LoopThread]:
    thread = LoopThread("a loop", finish)
    yield thread
    thread.stop(LIMIT_S)


async def _value() -> str:
    return threading.current_thread().name


async def _never() -> None:
    await asyncio.Event().wait()


async def _fail(error: Exception) -> None:
    raise error


def test_work_runs_on_the_loop(thread: LoopThread) -> None:
    assert thread.call(_value()) == "a loop"
    assert not thread.is_current


async def test_work_of_another_loop_is_waited_for(thread: LoopThread) -> None:
    assert await thread.wait(_value()) == "a loop"


def test_work_of_its_own_loop_is_awaited_in_place(thread: LoopThread) -> None:
    assert thread.call(thread.wait(_value())) == "a loop"


@pytest.mark.parametrize("error", [ValueError("x"), TimeoutError("its own")])
async def test_what_work_raises_is_raised_to_the_caller(
    thread: LoopThread, error: Exception
) -> None:
    with pytest.raises(type(error), match=str(error)):
        thread.call(_fail(error), LIMIT_S)
    with pytest.raises(type(error), match=str(error)):
        await thread.wait(_fail(error))


def test_work_that_takes_too_long_is_cancelled(thread: LoopThread) -> None:
    ended = threading.Event()

    async def work() -> None:
        try:
            await _never()
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        thread.call(work(), 0.01)
    assert ended.wait(LIMIT_S)


def test_an_interrupted_wait_cancels_its_work(
    thread: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()

    async def work() -> None:
        try:
            await _never()
        finally:
            ended.set()

    def interrupted(self: Any, timeout: float | None = None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(concurrent.futures.Future, "result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        thread.call(work())
    assert ended.wait(LIMIT_S)


async def test_a_cancelled_wait_cancels_its_work(thread: LoopThread) -> None:
    started, ended = threading.Event(), threading.Event()

    async def work() -> None:
        started.set()
        try:
            await _never()
        finally:
            ended.set()

    waiting = asyncio.create_task(thread.wait(work()))
    await asyncio.to_thread(started.wait, LIMIT_S)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await asyncio.to_thread(ended.wait, LIMIT_S)


def test_work_that_nobody_waits_for_is_kept(thread: LoopThread) -> None:
    done = Mailbox()

    async def work() -> None:
        event = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, done.put, "kept")
        await event.wait()

    for _ in range(20):
        thread.submit(work())
    gc.collect()
    assert len(done.wait(20)) == 20


# --- The end -------------------------------------------------------------------------------------


def test_at_its_end_it_finishes_on_the_loop_and_leaves_nothing(
    thread: LoopThread, finish: Finish
) -> None:
    before = threading.active_count()
    thread.call(asyncio.sleep(0))
    assert thread.call(asyncio.to_thread(lambda: 7)) == 7
    assert thread.stop(LIMIT_S)
    assert (finish.calls, finish.thread) == (1, "a loop")
    assert thread.is_over
    assert thread.loop.is_closed()
    assert threading.active_count() == before - 1
    assert thread.stop(LIMIT_S), "a second stop does nothing"
    assert finish.calls == 1


def test_it_finishes_as_well_when_somebody_else_stops_its_loop(
    thread: LoopThread, finish: Finish
) -> None:
    thread.loop.call_soon_threadsafe(thread.loop.stop)
    eventually(thread.loop.is_closed)
    assert finish.calls == 1


def test_a_stop_on_the_loop_itself_does_not_wait(thread: LoopThread, finish: Finish) -> None:
    async def work() -> bool:
        return thread.stop(LIMIT_S)

    assert thread.call(work(), LIMIT_S)
    eventually(thread.loop.is_closed)
    assert finish.calls == 1


def test_tasks_that_are_left_are_cancelled(thread: LoopThread) -> None:
    ended = threading.Event()

    async def work() -> None:
        try:
            await _never()
        finally:
            ended.set()

    future = thread.submit(work())
    thread.call(asyncio.sleep(0))
    thread.stop(LIMIT_S)
    assert ended.is_set()
    assert future.cancelled()


def test_whoever_waits_when_it_ends_is_told(thread: LoopThread) -> None:
    errors = Mailbox()

    def wait() -> None:
        try:
            thread.call(_never())
        except NotRunningError as error:
            errors.put(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    eventually(lambda: len(thread._submitted) == 1)
    thread.stop(LIMIT_S)
    waiting.join(LIMIT_S)
    assert len(errors.items) == 1


async def test_whoever_awaits_when_it_ends_is_told(thread: LoopThread) -> None:
    waiting = asyncio.create_task(thread.wait(_never()))
    await asyncio.sleep(0)
    await asyncio.to_thread(thread.stop, LIMIT_S)
    with pytest.raises(NotRunningError):
        await waiting


async def test_after_its_end_it_takes_no_work(thread: LoopThread) -> None:
    thread.stop(LIMIT_S)
    with pytest.raises(NotRunningError):
        thread.submit(_never())
    with pytest.raises(NotRunningError):
        thread.call(_never())
    with pytest.raises(NotRunningError):
        await thread.wait(_never())


def test_work_that_races_with_the_end_is_run_or_refused_but_never_forgotten(
    finish: Finish,
) -> None:
    for _ in range(20):
        thread = LoopThread("racing", finish)
        results = Mailbox()

        def ask(thread: LoopThread = thread, results: Mailbox = results) -> None:
            try:
                results.put(thread.call(_value()))
            except NotRunningError:
                results.put("refused")

        askers = [threading.Thread(target=ask) for _ in range(4)]
        for asker in askers:
            asker.start()
        thread.stop(LIMIT_S)
        for asker in askers:
            asker.join(LIMIT_S)
        assert len(results.wait(4)) == 4


def test_its_end_is_told_to_those_who_wait_for_it(thread: LoopThread) -> None:
    early: queue.SimpleQueue[None] = queue.SimpleQueue()
    late: queue.SimpleQueue[None] = queue.SimpleQueue()
    thread.tell_end(early)
    thread.stop(LIMIT_S)
    thread.tell_end(late)
    early.get(timeout=LIMIT_S)
    late.get(timeout=LIMIT_S)


def test_a_loop_that_is_held_up_is_not_waited_for_longer_than_asked(thread: LoopThread) -> None:
    release = threading.Event()
    thread.loop.call_soon_threadsafe(release.wait, LIMIT_S)
    start = time.monotonic()
    assert not thread.stop(0.05)
    assert time.monotonic() - start < 1
    release.set()
    assert thread.stop(LIMIT_S)


# --- Handlers ------------------------------------------------------------------------------------


async def test_a_handler_runs_in_the_thread_and_its_result_comes_back() -> None:
    handlers = HandlerThread("handlers")
    assert await handlers.run(lambda: threading.current_thread().name) == "handlers"
    assert await handlers.run(pow, 2, 5) == 32
    handlers.close()
    handlers.join(LIMIT_S)


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit])
async def test_what_a_handler_raises_comes_back(error: type[BaseException]) -> None:
    handlers = HandlerThread("handlers")

    def fail() -> None:
        raise error("x")

    with pytest.raises(error):
        await handlers.run(fail)
    assert await handlers.run(lambda: "goes on") == "goes on"
    handlers.close()
    handlers.join(LIMIT_S)


async def test_a_handler_that_blocks_does_not_hold_up_the_loop_or_the_end() -> None:
    handlers = HandlerThread("handlers")
    release = threading.Event()
    running = asyncio.create_task(handlers.run(release.wait, LIMIT_S))
    await asyncio.sleep(0.01)
    running.cancel()
    handlers.close()
    start = time.monotonic()
    handlers.join(0.05)
    assert time.monotonic() - start < 1
    release.set()
    handlers.join(LIMIT_S)
    assert "handlers" not in {thread.name for thread in threading.enumerate()}


def test_without_a_handler_there_is_no_thread() -> None:
    handlers = HandlerThread("handlers")
    handlers.close()
    handlers.join(LIMIT_S)

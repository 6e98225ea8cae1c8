"""Owns a node's tasks: none is lost, none outlives the node, and a crash of one is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from ironmesh.errors import IronMeshError
from ironmesh.observe.counters import Counters

_log = logging.getLogger("ironmesh.node")


class TaskSupervisor:
    """Runs tasks and catches what escapes them, so that one failing part never ends the node."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Run `work` until it ends or the supervisor closes."""
        task = asyncio.create_task(self.guard(work, name), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Cancelled before its first step, the task never began to wait for `work`.
        task.add_done_callback(lambda _: work.close())
        return task

    async def guard(
        self, work: Awaitable[None], name: str, *, counter: str = "internal_errors"
    ) -> None:
        """Run `work` here; what it raises is logged and counted, and goes no further."""
        try:
            await work
        except IronMeshError as error:
            _log.warning("%s ended: %s", name, error)
        except Exception:  # noqa: BLE001 - the one place where anything may end up
            self._counters.add(counter)
            _log.exception("%s failed", name)

    def guard_call(self, work: Callable[[], None], name: str) -> None:
        """Call `work`; what it raises is logged and counted, and goes no further."""
        try:
            work()
        except Exception:  # noqa: BLE001 - as above, for what cannot be awaited
            self._counters.add("handler_errors")
            _log.exception("%s failed", name)

    async def close(self) -> None:
        """Cancel what still runs and wait for it."""
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not current]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

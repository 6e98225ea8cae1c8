"""One run of a node inside a program: in a thread of its own, from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from ironmesh.config import NodeConfig
from ironmesh.control.host import Host
from ironmesh.errors import NotRunningError
from ironmesh.node.ahead import load_ahead
from ironmesh.node.events import MessageReceived
from ironmesh.node.supervisor import TaskSupervisor
from ironmesh.node.threads import HandlerThread, LoopThread, is_cancelled
from ironmesh.types import NodeId

if TYPE_CHECKING:
    from ironmesh.node.deliveries import Deliveries

_log = logging.getLogger("ironmesh.control")

STOP_LIMIT_S: Final = 5.0
HANDLER_LIMIT_S: Final = 0.1
"""How long the end waits for a handler that is running, and for what handlers send."""

HandlerCall = tuple[Callable[[Any], object], Any]
"""A handler, and what it is to be called with."""
Deliver = Callable[[MessageReceived], Iterable[HandlerCall]]
"""Tells which calls give a message to its handlers, one after the other."""


class EmbeddedNode:
    """A node, its control socket, and the thread on whose loop they run.

    Args:
        config: of the node.
        deliver: tells how a message is given to its handlers; asked in the thread of the loop or
            in that of the handlers, once those of the message before have ended.
    """

    def __init__(self, config: NodeConfig, deliver: Deliver) -> None:
        self._host = Host(config)
        self.node: Final = self._host.node
        """The node itself."""
        self._deliver = deliver
        self._tasks = TaskSupervisor(self.node.counters)
        self._handling: asyncio.Task[Any] | None = None
        self._unfinished: set[asyncio.Future[None]] = set()
        self._starting: asyncio.Task[None] | None = None
        self._node_id: NodeId | None = None
        self._handlers = HandlerThread(f"ironmesh-{config.name}-handlers")
        self.thread = LoopThread(f"ironmesh-{config.name}", self.finish)

    @property
    def node_id(self) -> NodeId | None:
        """Its node id; None until its keys are open."""
        if self._node_id is None:
            try:
                self._node_id = self.node.node_id
            except NotRunningError:
                return None
        return self._node_id

    def start(self) -> None:
        """Start the node and return once it listens; a failed start leaves nothing running.

        Raises:
            IronMeshError: see `Node.start`.
            NotRunningError: somebody stopped it meanwhile.
        """
        try:
            self.thread.call(self._start(), meanwhile=partial(load_ahead, self.node.config))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the node and wait for it; may be called twice.

        On the node's loop and in a handler it returns at once, and the node stops soon: it gives
        a handler a moment to end. One that blocks longer is left behind in its thread.
        """
        if self._handlers.is_current:
            self.thread.stop_soon()
            return
        if not self.thread.stop(STOP_LIMIT_S):
            _log.warning("a handler holds the node's loop up; the node ends when it returns")
        self._handlers.join(HANDLER_LIMIT_S)

    async def finish(self) -> None:
        """Stop what runs on the loop; may be called twice."""
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.wait([self._starting])
        self.node.end_handlers()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HANDLER_LIMIT_S):
                while self._unfinished:
                    await asyncio.wait(self._unfinished)
        self._handlers.close()
        await self._tasks.close()
        await self._host.stop()

    @property
    def is_handling_here(self) -> bool:
        """The caller is an async handler, which the end of the node waits for."""
        return self._handling is not None and asyncio.current_task() is self._handling

    @contextlib.contextmanager
    def unfinished(self) -> Iterator[None]:
        """Let the end of the node wait a moment for what is done here, on its loop."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._unfinished.add(done)
        try:
            yield
        finally:
            self._unfinished.discard(done)
            done.set_result(None)

    async def _start(self) -> None:
        self._starting = asyncio.current_task()
        self.node.serve_messages(self._handle)
        self._tasks.spawn(self._obey_operator(), name="operator's stop")
        await self._host.start()
        self._node_id = self.node.node_id

    async def _obey_operator(self) -> None:
        await self._host.stop_wanted.wait()
        self.thread.stop_soon()

    # --- Handlers ----------------------------------------------------------------------------

    async def _handle(self, deliveries: Deliveries) -> None:
        self._handling = asyncio.current_task()
        with self.unfinished():
            calls = self._calls(deliveries)
            for call in calls:
                work = self._call(call, calls)
                await self._tasks.guard(work, "a message handler", counter="handler_errors")
        self._handling = None

    def _calls(self, deliveries: Deliveries) -> Iterator[HandlerCall]:
        while (received := deliveries.next()) is not None:
            yield from self._deliver(received)

    async def _call(self, call: HandlerCall, rest: Iterator[HandlerCall]) -> None:
        """Make a call; after a blocking one, those of `rest` up to one that needs the loop."""
        handler, argument = call
        try:
            if inspect.iscoroutinefunction(handler):
                await handler(argument)
                return
            result = await self._handlers.run(_call_blocking, chain((call,), rest))
            if inspect.isawaitable(result):
                await result
        except BaseException as error:
            if isinstance(error, Exception) or is_cancelled():
                raise
            raise RuntimeError(f"a message handler raised {type(error).__name__}") from error


def _call_blocking(calls: Iterator[HandlerCall]) -> object:
    """Make calls, up to one that gives something to be awaited on the loop, and return that."""
    for handler, argument in calls:
        result = handler(argument)
        if result is not None and inspect.isawaitable(result):
            return result
    return None

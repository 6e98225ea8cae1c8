"""One run of a node inside a program: in a thread of its own, from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

from ironmesh.config import NodeConfig
from ironmesh.control.host import Host
from ironmesh.errors import NotRunningError
from ironmesh.node.events import MessageReceived
from ironmesh.node.node import Node
from ironmesh.node.supervisor import TaskSupervisor
from ironmesh.node.threads import HandlerThread, LoopThread, is_cancelled
from ironmesh.types import NodeId

_log = logging.getLogger("ironmesh.control")

STOP_LIMIT_S: Final = 5.0
HANDLER_LIMIT_S: Final = 0.1
"""How long the end waits for a handler that is running, and for what handlers send."""

RunHandler = Callable[..., Awaitable[None]]
"""Calls a handler with arguments and waits for it; what it raises is logged."""
Deliver = Callable[[MessageReceived, RunHandler], Awaitable[None]]
"""Gives one message to its handlers."""


class EmbeddedNode:
    """A node, its control socket, and the thread on whose loop they run.

    Args:
        config: of the node.
        deliver: gives a message to its handlers; called for one message at a time.
    """

    def __init__(self, config: NodeConfig, deliver: Deliver) -> None:
        self._host = Host(config)
        self._deliver = deliver
        self._tasks = TaskSupervisor(self.node.counters)
        self._is_finishing = False
        self._handling: asyncio.Task[Any] | None = None
        self._unfinished: set[asyncio.Future[None]] = set()
        self._starting: asyncio.Task[None] | None = None
        self._node_id: NodeId | None = None
        self._handlers = HandlerThread(f"ironmesh-{config.name}-handlers")
        self.thread = LoopThread(f"ironmesh-{config.name}", self.finish)

    @property
    def node(self) -> Node:
        """The node itself."""
        return self._host.node

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
            self.thread.call(self._start())
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
        self._is_finishing = True
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
        self.node.on_message(self._handle)
        self._tasks.spawn(self._obey_operator(), name="operator's stop")
        await self._host.start()
        self._node_id = self.node.node_id

    async def _obey_operator(self) -> None:
        await self._host.stop_wanted.wait()
        self.thread.stop_soon()

    # --- Handlers ----------------------------------------------------------------------------

    async def _handle(self, received: MessageReceived) -> None:
        if self._is_finishing:
            # No handler begins any more: the message stays unhandled and comes again.
            await asyncio.get_running_loop().create_future()
        self._handling = asyncio.current_task()
        with self.unfinished():
            await self._deliver(received, self._run)
        self._handling = None

    async def _run(self, handler: Callable[..., object], *args: Any) -> None:
        await self._tasks.guard(self._call(handler, *args), "a message handler")

    async def _call(self, handler: Callable[..., object], *args: Any) -> None:
        try:
            if inspect.iscoroutinefunction(handler):
                await handler(*args)
                return
            result = await self._handlers.run(handler, *args)
            if inspect.isawaitable(result):
                await result
        except BaseException as error:
            if isinstance(error, Exception) or is_cancelled():
                raise
            raise RuntimeError(f"a message handler raised {type(error).__name__}") from error

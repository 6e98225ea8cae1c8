"""One run of a node inside a program: in a thread of its own, from its start to its end."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
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
HANDLER_LIMIT_S: Final = 0.2
"""How long the end waits for a handler that is running."""

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
        """Stop the node and wait for it, unless the caller runs on its loop; may be called twice.

        A handler that blocks is not waited for: its thread ends with it.
        """
        if not self.thread.stop(STOP_LIMIT_S):
            _log.warning("a handler holds the node's loop up; the node ends when it returns")
        self._handlers.join(HANDLER_LIMIT_S)

    async def finish(self) -> None:
        """Stop what runs on the loop; may be called twice."""
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.wait([self._starting])
        self._is_finishing = True
        self._handlers.close()
        await self._tasks.close()
        await self._host.stop()

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
        await self._deliver(received, self._run)

    async def _run(self, handler: Callable[..., object], *args: Any) -> None:
        if self._is_finishing:
            # No handler runs any more: the message stays unhandled and comes again.
            await asyncio.get_running_loop().create_future()
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

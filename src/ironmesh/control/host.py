"""A node together with its control socket, and the loop that runs it until somebody stops it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Awaitable, Callable

from ironmesh.config import NodeConfig
from ironmesh.control.operator_entry import OperatorEntry
from ironmesh.control.paths import socket_path
from ironmesh.control.server import ControlServer
from ironmesh.errors import NotBuiltError
from ironmesh.node.node import Node

Serve = Callable[[asyncio.Event], Awaitable[None]]
"""Runs until the event is set, then ends what it started."""


class Host:
    """Starts and stops a node and the socket through which other processes steer it."""

    def __init__(self, config: NodeConfig) -> None:
        self.node = Node(config)
        self.stop_wanted = asyncio.Event()
        self._operator = OperatorEntry(self.node, self.stop_wanted.set)
        self._control: ControlServer | None = None

    async def start(self) -> None:
        """Start the node, then its socket; see `Node.start` for the errors."""
        await self.node.start()
        control = ControlServer(self._operator.made, socket_path(self.node.config.node_dir))
        try:
            await control.start()
        except NotBuiltError:
            return
        except BaseException:
            await self.node.stop()
            raise
        self._control = control

    async def stop(self) -> None:
        """Stop both; may be called twice."""
        if self._control is not None:
            await self._control.close()
            self._control = None
        await self.node.stop()
        self._operator.close()


def run_until_signal(serve: Serve) -> None:
    """Run `serve` on a loop of its own until SIGINT or SIGTERM."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(serve))


async def _serve(serve: Serve) -> None:
    wanted = asyncio.Event()
    loop = asyncio.get_running_loop()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(number, wanted.set)
    await serve(wanted)

"""The control socket of a running node."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ironmesh.control import local
from ironmesh.errors import ControlError, FileRefusedError, NodeAlreadyRunningError
from ironmesh.files import make_private_dir

if TYPE_CHECKING:
    from ironmesh.control.api import Operator

MAX_CLIENTS: Final = 32
BACKLOG: Final = 16
SOCKET_MODE: Final = 0o600
ACCEPT_PAUSE_S: Final = 0.5
"""After the system had no more file handles."""

_log = logging.getLogger("ironmesh.control")


class ControlServer:
    """Serves an operator's calls to processes of the same user.

    The first client has the code loaded that answers it.

    Args:
        operator: returns what is called.
        path: where the socket goes (see `socket_path`); its folder is made private.
        max_clients: connections at a time; further ones are told so and closed.
    """

    def __init__(
        self, operator: Callable[[], Operator], path: Path, *, max_clients: int = MAX_CLIENTS
    ) -> None:
        self._operator = operator
        self._path = path
        self._max_clients = max_clients
        self._listener: socket.socket | None = None
        self._inode: tuple[int, int] | None = None
        self._clients: dict[asyncio.Task[None], socket.socket] = {}

    @property
    def path(self) -> Path:
        """Where the socket is."""
        return self._path

    async def start(self) -> None:
        """Start serving; the socket that a dead node left behind is replaced.

        Raises:
            NodeAlreadyRunningError: a live process serves this path.
            FileRefusedError: something else is there, or its folder is not ours alone.
            NotBuiltError: this system has no Unix sockets.
        """
        local.require_unix_sockets()
        make_private_dir(self._path.parent)
        _clear(self._path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.settimeout(0)
            listener.bind(os.fspath(self._path))
            # The mode is set before listen(): until then nobody can connect.
            self._path.chmod(SOCKET_MODE)
            self._inode = _inode(self._path)
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            raise ControlError(
                f"the control socket {self._path} cannot be made ({error})", "check its folder"
            ) from error
        self._listener = listener
        self._watch()

    async def close(self) -> None:
        """Stop serving, end every client, remove the socket; may be called twice."""
        if self._listener is None:
            return
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        self._listener = None
        clients = dict(self._clients)
        for task in clients:
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        for end in clients.values():
            end.close()
        if _inode(self._path) == self._inode:
            self._path.unlink()

    def _watch(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    def _accept(self, listener: socket.socket) -> None:
        # Not asyncio.start_unix_server: it loses a connection that is accepted while it closes.
        try:
            end, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            _log.warning("the control socket pauses: %s", error)
            loop = asyncio.get_running_loop()
            loop.remove_reader(listener)
            loop.call_later(ACCEPT_PAUSE_S, self._watch)
            return
        end.settimeout(0)
        self._admit(end)

    def _admit(self, end: socket.socket) -> None:
        if not local.is_same_user(end):
            _log.warning("a process of another user was refused at the control socket")
            end.close()
            return
        if len(self._clients) >= self._max_clients:
            from ironmesh.control.client_calls import busy

            with end, contextlib.suppress(OSError):
                end.send(busy())
            return
        task = asyncio.create_task(self._serve(end), name="control client")
        self._clients[task] = end
        task.add_done_callback(self._forget)

    async def _serve(self, end: socket.socket) -> None:
        from ironmesh.control.client_calls import serve

        await serve(self._operator(), end)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._clients.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a control client ended in an error", exc_info=error)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        info = path.lstat()
    except FileNotFoundError:
        return None
    return info.st_dev, info.st_ino


def _clear(path: Path) -> None:
    """Remove the socket of a dead node; refuse whatever else is at `path`."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileRefusedError(f"{path} is not a socket", "move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            # A full backlog or a hung process: alive all the same.
            raise _already_running(path) from error
    raise _already_running(path)


def _already_running(path: Path) -> NodeAlreadyRunningError:
    return NodeAlreadyRunningError(
        f"the node {path.parent.name!r} is already running",
        "stop it first, or give this one another --name",
    )

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
from typing import Any, Final

from ironmesh.control import local, protocol
from ironmesh.control.api import Operator
from ironmesh.errors import (
    ControlError,
    FileRefusedError,
    IronMeshError,
    NodeAlreadyRunningError,
)
from ironmesh.files import make_private_dir

MAX_CLIENTS: Final = 32
MAX_SUBSCRIPTIONS: Final = 4
"""Of one client."""
BACKLOG: Final = 16
SOCKET_MODE: Final = 0o600
ACCEPT_PAUSE_S: Final = 0.5
"""After the system had no more file handles."""

_log = logging.getLogger("ironmesh.control")


class ControlServer:
    """Serves an operator's calls to processes of the same user.

    Args:
        operator: what is called.
        path: where the socket goes (see `socket_path`); its folder is made private.
        max_clients: connections at a time; further ones are told so and closed.
    """

    def __init__(self, operator: Operator, path: Path, *, max_clients: int = MAX_CLIENTS) -> None:
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
            busy = ControlError("too many control clients", "close one", remote_code="busy")
            with end, contextlib.suppress(OSError):
                end.send(protocol.encode_error(0, busy))
            return
        task = asyncio.create_task(self._serve(end), name="control client")
        self._clients[task] = end
        task.add_done_callback(self._forget)

    async def _serve(self, end: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=end, limit=protocol.MAX_LINE_BYTES)
        try:
            await _Client(self._operator, reader, writer).serve()
        finally:
            # What a client has not read by now it never gets: closing must not wait for it.
            writer.transport.abort()

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._clients.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a control client ended in an error", exc_info=error)


class _Client:
    """One connection: answers its calls in order, and writes the events that it subscribed to."""

    def __init__(
        self, operator: Operator, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._operator = operator
        self._reader = reader
        self._writer = writer
        self._subscriptions: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        try:
            while line := await self._read_line():
                await self._answer(line)
        except ConnectionError:
            return
        finally:
            for task in self._subscriptions:
                task.cancel()
            await asyncio.gather(*self._subscriptions, return_exceptions=True)
            self._writer.close()
            with contextlib.suppress(ConnectionError):
                await self._writer.wait_closed()

    async def _read_line(self) -> bytes:
        try:
            return await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return b""
        except asyncio.LimitOverrunError:
            await self._write(protocol.encode_error(0, protocol.too_long()))
            return b""

    async def _answer(self, line: bytes) -> None:
        request_id = 0
        try:
            request_id, params = protocol.decode_request(line)
            if isinstance(params, protocol.SubscribeParams):
                self._subscribe(request_id)
                return
            answer = protocol.encode_result(request_id, await self._call(params))
        except protocol.RequestError as error:
            answer = protocol.encode_error(error.request_id, error)
        except IronMeshError as error:
            answer = protocol.encode_error(request_id, error)
        await self._write(answer)

    async def _call(self, params: protocol.Params) -> Any:
        operator = self._operator
        match params:
            case protocol.SendParams():
                return await operator.send(
                    params.target,
                    params.payload,
                    params.msg_type,
                    params.priority,
                    ttl_s=params.ttl_s,
                    is_durable=params.is_durable,
                    wait_s=params.wait_s,
                )
            case protocol.PingParams(target, timeout_s):
                return await operator.ping(target, timeout_s)
            case protocol.ConnectParams(host, port):
                return await operator.connect(host, port)
            case _:
                return await self._call_about_trust(params)

    async def _call_about_trust(self, params: protocol.Params) -> Any:
        operator = self._operator
        match params:
            case protocol.TrustShowParams(who):
                return operator.trust_show(who)
            case protocol.TrustPinParams(public_key_b64, name, is_verified):
                return await operator.trust_pin(public_key_b64, name, is_verified=is_verified)
            case protocol.TrustRevokeParams(who, reason):
                return await operator.trust_revoke(who, reason)
            case protocol.TrustForgetParams(who):
                return await operator.trust_forget(who)
            case protocol.TrustVerifyParams(who, fingerprint):
                return await operator.trust_verify(who, fingerprint)
            case _:
                return await self._call_about_messages(params)

    async def _call_about_messages(self, params: protocol.Params) -> Any:
        operator = self._operator
        match params:
            case protocol.OutboxListParams(peer, limit):
                return await operator.outbox_list(peer, limit)
            case protocol.OutboxShowParams(message):
                return await operator.outbox_show(message)
            case protocol.OutboxRetryParams(message):
                return await operator.outbox_retry(message)
            case protocol.OutboxCancelParams(message):
                return await operator.outbox_cancel(message)
            case protocol.HistoryParams(peer, direction, since, limit):
                return await operator.history(peer, direction, since, limit)
            case _:
                return await self._call_about_mesh(params)

    async def _call_about_mesh(self, params: protocol.Params) -> Any:
        operator = self._operator
        match params:
            case protocol.TraceParams(target, timeout_s):
                return await operator.trace(target, timeout_s)
            case protocol.CapabilitiesParams(pattern):
                return operator.capabilities(pattern)
            case protocol.MapParams():
                return await operator.map()
            case _:
                return self._plain_calls()[type(params)]()

    def _plain_calls(self) -> dict[type[protocol.Params], Callable[[], Any]]:
        operator = self._operator
        return {
            protocol.StateParams: operator.state,
            protocol.PeersParams: operator.peers,
            protocol.TrustListParams: operator.trust_list,
            protocol.RoutesParams: operator.routes,
            protocol.ConfigParams: operator.config,
            protocol.StopParams: operator.stop,
        }

    def _subscribe(self, request_id: int) -> None:
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            raise ControlError("too many subscriptions of one client", "open another connection")
        task = asyncio.create_task(self._pump(request_id), name="control subscription")
        self._subscriptions.add(task)
        task.add_done_callback(self._subscriptions.discard)

    async def _pump(self, request_id: int) -> None:
        with self._operator.subscribe() as events, contextlib.suppress(ConnectionError):
            # The first line tells the client that nothing is missed from here on.
            await self._write(protocol.encode_result(request_id, None))
            async for event in events:
                await self._write(protocol.encode_event(request_id, event))
        self._writer.close()

    async def _write(self, line: bytes) -> None:
        self._writer.write(line)
        await self._writer.drain()


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

"""The WebSocket listener. Its own accept loop lets the door be asked before TLS begins."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final

from ironmesh.errors import ConfigError, ConnectionClosed, PortInUseError
from ironmesh.transport.addresses import SocketAddress, bare_host, resolve
from ironmesh.transport.interface import ConnectionHandler, Door, Endpoint
from ironmesh.transport.websocket.limits import MAX_UNIT_BYTES, TLS_CLOSE_TIMEOUT_S, Timing
from ironmesh.types import Refusal

if TYPE_CHECKING:
    from ironmesh.transport.websocket.connection import WebSocketConnection

OPENING_TIMEOUT_S: Final = 10.0
"""For TLS and the HTTP upgrade together."""
BACKLOG: Final = 128
ACCEPT_PAUSE_S: Final = 0.2
"""Before accepting again when the system has no more descriptors."""
HANDLER_GRACE_S: Final = 0.1
"""How long a handler may clean up after its connection was closed, before it is cancelled."""
GOING_AWAY: Final = 1001

OnRefused = Callable[[Refusal, str], None]


async def listen(
    where: Endpoint | Sequence[Endpoint],
    handler: ConnectionHandler,
    *,
    tls: ssl.SSLContext | None,
    door: Door,
    on_refused: OnRefused,
    max_unit_bytes: int = MAX_UNIT_BYTES,
    subprotocols: Sequence[str] = (),
    opening_timeout_s: float = OPENING_TIMEOUT_S,
    timing: Timing | None = None,
) -> WebSocketListener:
    """Listen for WebSocket connections.

    Args:
        where: addresses to bind; port 0 = any free one, the same one for all of them.
        handler: serves each open connection; it settles the door.
        tls: speak wss only, with this context; None = ws only.
        door: asked for each TCP connection, before any of its bytes is read.
        on_refused: told once of each connection that does not reach the handler, with the reason
            (`NOT_WEBSOCKET`, `TIMEOUT`, `BUSY`) and the peer as `host:port`.
        max_unit_bytes: a larger message of a peer ends its connection (close code 1009).
        subprotocols: what may be agreed on, best first; a client need not offer any.
        opening_timeout_s: limit for TLS and the HTTP upgrade together.
        timing: pings and timeouts of each connection.

    Raises:
        PortInUseError: somebody listens there.
        ConfigError: this machine has no such address, or may not use the port.
    """
    endpoints = [where] if isinstance(where, Endpoint) else list(where)
    sockets = await _bind(endpoints)

    def make_connection(remote: Endpoint) -> WebSocketConnection:
        # Five megabytes that a node without peers does not need.
        from websockets.server import ServerProtocol
        from websockets.typing import Subprotocol

        from ironmesh.transport.websocket.connection import SILENT, WebSocketConnection

        offer: list[str] = []

        def choose(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
            offer.extend(offered)
            return next((Subprotocol(name) for name in subprotocols if name in offered), None)

        engine = ServerProtocol(
            origins=[None], select_subprotocol=choose, max_size=max_unit_bytes, logger=SILENT
        )
        return WebSocketConnection(engine, remote, timing, lambda: offer)

    return WebSocketListener(
        sockets, handler, make_connection, tls, door, on_refused, opening_timeout_s
    )


class WebSocketListener:
    """A `Listener` over bound, listening sockets, which it owns."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        handler: ConnectionHandler,
        make_connection: Callable[[Endpoint], WebSocketConnection],
        tls: ssl.SSLContext | None,
        door: Door,
        on_refused: OnRefused,
        opening_timeout_s: float,
    ) -> None:
        self._sockets = sockets
        self._handler = handler
        self._make_connection = make_connection
        self._tls = tls
        self._door = door
        self._on_refused = on_refused
        self._opening_timeout_s = opening_timeout_s
        self._endpoints = tuple(Endpoint(*s.getsockname()[:2]) for s in sockets)
        self._serving: dict[asyncio.Task[None], WebSocketConnection | None] = {}
        loop = asyncio.get_running_loop()
        self._acceptors = [loop.create_task(self._accept(s)) for s in sockets]

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where it listens, with the real port."""
        return self._endpoints

    async def close(self) -> None:
        """Stop accepting, close what is open, wait for the handlers to end."""
        for acceptor in self._acceptors:
            acceptor.cancel()
        await asyncio.gather(*self._acceptors, return_exceptions=True)
        for sock in self._sockets:
            sock.close()
        serving = dict(self._serving)
        for task, connection in serving.items():
            if connection is None:
                task.cancel()
        await asyncio.gather(*(c.close(GOING_AWAY) for c in serving.values() if c is not None))
        if serving:
            _, late = await asyncio.wait(serving, timeout=HANDLER_GRACE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)

    async def _accept(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(sock)
            except OSError:
                # Out of descriptors or memory; or the peer left the queue already.
                await asyncio.sleep(ACCEPT_PAUSE_S)
                continue
            self._admit(accepted, Endpoint(bare_host(address[0]), address[1]))
            # A flood of connections must not starve the sessions: accepting may never wait.
            await asyncio.sleep(0)

    def _admit(self, sock: socket.socket, remote: Endpoint) -> None:
        if not self._door.admit(remote.host):
            sock.close()
            self._on_refused(Refusal.BUSY, str(remote))
            return
        task = asyncio.get_running_loop().create_task(self._serve(sock, remote))
        self._serving[task] = None
        task.add_done_callback(self._forget)

    async def _serve(self, sock: socket.socket, remote: Endpoint) -> None:
        connection = self._make_connection(remote)
        refusal: Refusal | None = Refusal.SHUTTING_DOWN
        try:
            refusal = await self._open(sock, connection)
        finally:
            if refusal is not None:
                self._door.settle(remote.host)
        if refusal is not None:
            self._on_refused(refusal, str(remote))
            await connection.lost()
            return
        task = asyncio.current_task()
        assert task is not None
        self._serving[task] = connection
        try:
            with suppress(ConnectionClosed):
                await self._handler(connection)
        finally:
            await connection.close()

    async def _open(self, sock: socket.socket, connection: WebSocketConnection) -> Refusal | None:
        loop = asyncio.get_running_loop()
        is_open = False
        try:
            async with asyncio.timeout(self._opening_timeout_s):
                await loop.connect_accepted_socket(
                    lambda: connection,
                    sock,
                    ssl=self._tls,
                    # Ours comes first; asyncio's own would be a different exception.
                    ssl_handshake_timeout=2 * self._opening_timeout_s if self._tls else None,
                    ssl_shutdown_timeout=TLS_CLOSE_TIMEOUT_S if self._tls else None,
                )
                is_open = await connection.opened()
        except TimeoutError:
            connection.abort()
            return Refusal.TIMEOUT
        except OSError:
            # TLS failed: ssl.SSLError and a lost connection are both of this family.
            return Refusal.NOT_WEBSOCKET
        except asyncio.CancelledError:
            connection.abort()
            raise
        return None if is_open else Refusal.NOT_WEBSOCKET

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._serving[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            task.get_loop().call_exception_handler(
                {"message": "a connection handler failed", "exception": error, "task": task}
            )


async def _bind(endpoints: Sequence[Endpoint]) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    with ExitStack() as opened:
        for endpoint in endpoints:
            for family, (host, port, *rest) in await _addresses(endpoint):
                if port == 0 and sockets:
                    port = sockets[0].getsockname()[1]
                sock = opened.enter_context(_bind_one(family, (host, port, *rest), endpoint))
                sockets.append(sock)
        opened.pop_all()
    return sockets


async def _addresses(endpoint: Endpoint) -> list[tuple[int, SocketAddress]]:
    try:
        return await resolve(endpoint)
    except OSError as error:
        raise ConfigError(
            f"there is no address {endpoint.host!r}", "give --bind an address of this machine"
        ) from error


def _bind_one(family: int, address: SocketAddress, endpoint: Endpoint) -> socket.socket:
    # asyncio sets TCP_NODELAY only where the protocol is named; else small messages wait.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.settimeout(0)
        if os.name == "posix":
            # Elsewhere this option lets two programs share a port.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # `::` alone serves IPv4 as well; any other IPv6 address has no IPv4 side.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(endpoint.host != "::"))
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _bind_error(error, endpoint) from error
    return sock


def _bind_error(error: OSError, endpoint: Endpoint) -> PortInUseError | ConfigError:
    if error.errno == errno.EADDRINUSE:
        return PortInUseError(
            f"port {endpoint.port} on {endpoint.host} is in use",
            "stop the program that uses it, or choose another with --port",
        )
    if error.errno == errno.EACCES:
        return ConfigError(
            f"port {endpoint.port} may not be used by this user", "choose one above 1023"
        )
    return ConfigError(
        f"cannot listen on {endpoint} ({error.strerror})",
        "give --bind an address of this machine",
    )

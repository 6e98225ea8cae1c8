"""Dialling a WebSocket server, with or without TLS."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ironmesh.errors import ConnectError, ConnectFailure
from ironmesh.transport.addresses import SocketAddress, bare_host, resolve
from ironmesh.transport.interface import Endpoint
from ironmesh.transport.tls import client_context
from ironmesh.transport.websocket.limits import MAX_UNIT_BYTES, TLS_CLOSE_TIMEOUT_S, Timing

if TYPE_CHECKING:
    from ironmesh.transport.websocket.connection import WebSocketConnection

DIAL_TIMEOUT_S: Final = 10.0


async def dial(
    endpoint: Endpoint,
    *,
    use_tls: bool,
    timeout_s: float = DIAL_TIMEOUT_S,
    max_unit_bytes: int = MAX_UNIT_BYTES,
    subprotocols: Sequence[str] = (),
    timing: Timing | None = None,
) -> WebSocketConnection:
    """Connect to a WebSocket server; any certificate will do, who it is the session must prove.

    Args:
        endpoint: a host name or an address, and the port.
        use_tls: wss, with TLS 1.2 or later; else ws.
        timeout_s: for TCP, TLS and the HTTP upgrade together.
        max_unit_bytes: a larger message of the peer ends the connection (close code 1009).
        subprotocols: what to offer, best first.
        timing: pings and timeouts of the connection.

    Raises:
        ConnectError: no connection; `failure` says at which stage it ended.
    """
    try:
        async with asyncio.timeout(timeout_s):
            sock, remote = await _connect(endpoint, timeout_s)
            # Five megabytes; loaded where somebody answers, while that one loads as much.
            from ironmesh.transport.websocket.client import client_connection

            connection = client_connection(endpoint, remote, max_unit_bytes, subprotocols, timing)
            await _open(endpoint, sock, connection, use_tls=use_tls)
    except TimeoutError as error:
        raise ConnectError(
            f"{endpoint} did not answer within {timeout_s:g} s",
            "check the address and that no firewall is between",
            failure=ConnectFailure.TIMED_OUT,
        ) from error
    return connection


async def _open(
    endpoint: Endpoint, sock: socket.socket, connection: WebSocketConnection, *, use_tls: bool
) -> None:
    """Raise ConnectError unless TLS and then WebSocket come about; owns the socket."""
    try:
        if use_tls:
            await _start_tls(endpoint, sock, connection)
        else:
            await asyncio.get_running_loop().create_connection(lambda: connection, sock=sock)
        is_open = await connection.opened()
    except asyncio.CancelledError:
        connection.abort()
        raise
    if not is_open:
        await connection.lost()
        raise ConnectError(
            f"{endpoint} does not speak WebSocket, or hung up",
            "check the port, and whether the peer speaks TLS",
            failure=ConnectFailure.NOT_WEBSOCKET,
        )


async def _start_tls(
    endpoint: Endpoint, sock: socket.socket, connection: WebSocketConnection
) -> None:
    try:
        await asyncio.get_running_loop().create_connection(
            lambda: connection,
            sock=sock,
            ssl=client_context(),
            # An empty name: none is checked, and none is shown to bystanders.
            server_hostname="",
            ssl_shutdown_timeout=TLS_CLOSE_TIMEOUT_S,
        )
    except TimeoutError:
        raise
    except OSError as error:
        raise ConnectError(
            f"{endpoint} does not speak TLS, or hung up",
            "allow plaintext on both sides, or give the peer a certificate",
            failure=ConnectFailure.NOT_TLS,
        ) from error


async def _connect(endpoint: Endpoint, timeout_s: float) -> tuple[socket.socket, Endpoint]:
    """Return a connected socket and the peer's address.

    Each address of a name gets its share of the time.
    """
    try:
        addresses = await resolve(endpoint)
    except OSError as error:
        raise ConnectError(f"there is no host {endpoint.host!r}", "check the name") from error
    failure: OSError | None = None
    share_s = timeout_s / len(addresses) if len(addresses) > 1 else None
    for family, address in addresses:
        try:
            async with asyncio.timeout(share_s):
                sock = await _connect_one(family, address)
        except OSError as error:
            failure = error
        else:
            return sock, Endpoint(bare_host(str(address[0])), endpoint.port)
    if failure is None or isinstance(failure, TimeoutError):
        raise TimeoutError
    raise _connect_error(failure, endpoint) from failure


def _connect_error(error: OSError, endpoint: Endpoint) -> ConnectError:
    if isinstance(error, ConnectionRefusedError):
        return ConnectError(
            f"nobody listens at {endpoint}",
            "check that the peer runs and that the port is right",
            failure=ConnectFailure.REFUSED,
        )
    return ConnectError(
        f"{endpoint} cannot be reached ({error.strerror})",
        "check the address and the network",
        failure=ConnectFailure.UNREACHABLE,
    )


async def _connect_one(family: int, address: SocketAddress) -> socket.socket:
    # As in the listener: else small messages wait for the acknowledgement of those before.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.settimeout(0)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock

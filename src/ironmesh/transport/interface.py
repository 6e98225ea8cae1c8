"""What every transport offers: connections that carry whole units in order, and listeners."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import msgspec

from ironmesh.errors import ConnectionClosed
from ironmesh.types import Endpoint, Unit

TUNNEL: Final = "tunnel"
"""`ConnectionInfo.transport` of a native session that goes over published relays."""

__all__ = [
    "Connection",
    "ConnectionHandler",
    "ConnectionInfo",
    "Door",
    "Endpoint",
    "Listener",
    "Receiver",
]


class ConnectionInfo(msgspec.Struct, frozen=True):
    """What is known of a connection before anybody proved anything."""

    transport: str
    """`websocket`, `memory` or `tunnel`."""
    remote_host: str
    """The peer's address without brackets or zone; `memory` for the in-memory twin."""
    remote_port: int
    is_encrypted: bool
    """TLS is under it."""
    is_outgoing: bool
    tls_fingerprint: bytes | None = None
    """SHA-256 of the server's certificate (DER), where we dialled over TLS."""
    is_radio: bool = False
    subprotocol: str | None = None
    """The WebSocket subprotocol that both ends agreed on, if any."""
    offered: tuple[str, ...] = ()
    """The subprotocols that the dialling end offered, in its order."""

    @property
    def remote_text(self) -> str:
        """`host:port`, for people; IPv6 hosts in brackets."""
        host = f"[{self.remote_host}]" if ":" in self.remote_host else self.remote_host
        return f"{host}:{self.remote_port}"


class Receiver(Protocol):
    """Takes what arrives on a connection, in order; its calls are quick."""

    def units_received(self, units: list[Unit]) -> None:
        """Units arrived."""
        ...

    def connection_ended(self, error: ConnectionClosed) -> None:
        """Nothing more arrives, and all that did was given."""
        ...


class Connection(Protocol):
    """A connection that carries whole units, in order, both ways.

    Whoever reads it asks for one unit after the other (`receive`), or is given what arrives in the
    very turn of the loop in which it does (`give_to`).
    """

    @property
    def info(self) -> ConnectionInfo:
        """Where it leads and how."""
        ...

    def write(self, units: Sequence[Unit]) -> Awaitable[None] | None:
        """Write units in order.

        What is returned, if anything, is to be awaited before more is written: it ends once the
        transport has room (backpressure), and raises as this does.

        Raises:
            ConnectionClosed: the connection ended, or the peer did not read within the limit.
        """
        ...

    async def send(self, units: Sequence[Unit]) -> None:
        """Write units in order; returns once the transport has room for more.

        Raises:
            ConnectionClosed: the connection ended, or the peer did not read within the limit.
        """
        ...

    async def receive(self) -> Unit:
        """Return the next unit.

        Raises:
            ConnectionClosed: the connection ended.
        """
        ...

    def give_to(self, receiver: Receiver) -> None:
        """Give what has arrived and what will to `receiver`, from now on."""
        ...

    def pause(self) -> None:
        """Keep what arrives, which slows the peer down once it is too much."""
        ...

    def resume(self) -> None:
        """Give on to the receiver, first what was kept."""
        ...

    async def close(self, code: int = 1000) -> None:
        """Close it; returns when it is closed, within 1 s. May be called twice."""
        ...

    def abort(self) -> None:
        """Hang up at once; what was written may be lost. May be called twice."""
        ...


ConnectionHandler = Callable[[Connection], Awaitable[None]]
"""Serves one incoming connection; when it returns, the connection is closed."""


class Listener(Protocol):
    """Accepts connections until it is closed."""

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where it listens, with the real port."""
        ...

    async def close(self) -> None:
        """Stop accepting and wait for the handlers to end; the port is free afterwards."""
        ...


class Door(Protocol):
    """Decides about an incoming connection before any byte of it is read.

    `admit` is called for each accepted connection, `settle` once for each admitted one when it is
    past the handshake or gone: by the listener if the connection never reaches the handler, else by
    the handler. Both are cheap and synchronous.
    """

    def admit(self, remote_host: str) -> bool:
        """Tell whether this connection may stay; False closes it at once."""
        ...

    def settle(self, remote_host: str) -> None:
        """The connection is no longer half open."""
        ...

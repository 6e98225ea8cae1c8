"""Listeners and raw clients for tests of the WebSocket transport."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ironmesh.transport import tls
from ironmesh.transport.interface import Connection, Listener
from ironmesh.transport.websocket import listen
from ironmesh.types import Endpoint, Refusal

LOOPBACK = Endpoint("127.0.0.1", 0)
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = (
    f"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()


@dataclass
class CountingDoor:
    """Lets everybody in who fits, and counts who is half open."""

    capacity: int = 1000
    half_open: int = 0
    asked: list[str] = field(default_factory=list)

    def admit(self, remote_host: str) -> bool:
        self.asked.append(remote_host)
        if self.half_open >= self.capacity:
            return False
        self.half_open += 1
        return True

    def settle(self, remote_host: str) -> None:
        assert remote_host in self.asked
        self.half_open -= 1
        assert self.half_open >= 0


@dataclass
class Serving:
    """A listener with all that a test looks at."""

    listener: Listener
    door: CountingDoor
    accepted: asyncio.Queue[Connection]
    """Connections that reached the handler."""
    refused: asyncio.Queue[tuple[Refusal, str]]

    @property
    def endpoint(self) -> Endpoint:
        return self.listener.endpoints[0]

    async def raw(
        self, context: ssl.SSLContext | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect without speaking WebSocket."""
        return await asyncio.open_connection(
            *self.endpoint, ssl=context, server_hostname="" if context else None
        )


@asynccontextmanager
async def serving(
    where: Endpoint = LOOPBACK, *, capacity: int = 1000, echo: bool = False, **options: Any
) -> AsyncIterator[Serving]:
    """Listen for the length of a `with` block; connections stay open until then.

    Args:
        capacity: how many half-open connections the door lets in.
        echo: send back what arrives; else the test reads it from `accepted`.
    """
    door = CountingDoor(capacity)
    accepted: asyncio.Queue[Connection] = asyncio.Queue()
    refused: asyncio.Queue[tuple[Refusal, str]] = asyncio.Queue()
    over = asyncio.Event()

    async def handle(connection: Connection) -> None:
        door.settle(connection.info.remote_host)
        accepted.put_nowait(connection)
        while echo:
            await connection.send([await connection.receive()])
        await over.wait()

    options.setdefault("tls", None)
    listener = await listen(
        where,
        handle,
        door=door,
        on_refused=lambda reason, remote: refused.put_nowait((reason, remote)),
        **options,
    )
    try:
        yield Serving(listener, door, accepted, refused)
    finally:
        over.set()
        await listener.close()


def server_tls(folder: Path) -> ssl.SSLContext:
    """Return the context of a listener with a self-signed certificate of its own."""
    certificate, key = tls.make_self_signed()
    (folder / "cert.pem").write_bytes(certificate)
    (folder / "key.pem").write_bytes(key)
    return tls.server_context(folder / "cert.pem", folder / "key.pem")


async def hung_up(reader: asyncio.StreamReader) -> bytes:
    """Wait until the other side closes; return what it sent before."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""

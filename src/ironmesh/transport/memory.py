"""The in-memory twin of every transport: for tests and for many nodes in one process.

It opens no socket, reads no clock and starts no timer: a reader that stops reading holds its sender
back for as long as it likes.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from ironmesh.errors import ConnectError, ConnectFailure, ConnectionClosed, PortInUseError
from ironmesh.transport.inbox import Inbox
from ironmesh.transport.interface import ConnectionHandler, ConnectionInfo, Door, Endpoint, Receiver
from ironmesh.types import Refusal, Unit

FIRST_EPHEMERAL_PORT: Final = 49152
NORMAL_CLOSURE: Final = 1000
GOING_AWAY: Final = 1001


class _Pipe:
    """One direction between the two ends."""

    def __init__(self) -> None:
        self._room = asyncio.Event()
        self._room.set()
        self._inbox = Inbox(self._room.clear, self._room.set)
        self._end: Callable[[], ConnectionClosed] | None = None

    def put(self, units: Sequence[Unit]) -> Awaitable[None] | None:
        for place, unit in enumerate(units):
            if self._end is not None:
                raise self._end()
            if not self._room.is_set():
                return self._put_later(units[place:])
            self._inbox.put(unit)
        self._hand_over()
        return None

    async def _put_later(self, units: Sequence[Unit]) -> None:
        self._hand_over()
        for unit in units:
            await self._room.wait()
            if self._end is not None:
                raise self._end()
            self._inbox.put(unit)
            self._hand_over()

    async def get(self) -> Unit:
        return await self._inbox.get()

    def give_to(self, receiver: Receiver) -> None:
        self._inbox.give_to(receiver)

    def pause(self) -> None:
        self._inbox.pause()

    def resume(self) -> None:
        self._inbox.resume()

    def end(self, error: Callable[[], ConnectionClosed]) -> None:
        if self._end is None:
            self._end = error
            self._inbox.end(error)
            self._room.set()
            self._hand_over()

    def _hand_over(self) -> None:
        """Let the receiver have it in a turn of its own, as if it came from a socket."""
        asyncio.get_running_loop().call_soon(self._inbox.hand_over)


class MemoryConnection:
    """One end of a pair; what it sends, the other end receives.

    Args:
        info: what this end knows of the other.
        incoming: what the other end sends.
        outgoing: what this end sends.
    """

    def __init__(self, info: ConnectionInfo, incoming: _Pipe, outgoing: _Pipe) -> None:
        self._info = info
        self._incoming = incoming
        self._outgoing = outgoing

    @property
    def info(self) -> ConnectionInfo:
        """Where it leads."""
        return self._info

    async def send(self, units: Sequence[Unit]) -> None:
        """Hand units to the other end; waits while its inbox is full.

        Raises:
            ConnectionClosed: either end closed.
        """
        if (waiting := self._outgoing.put(units)) is not None:
            await waiting

    def write(self, units: Sequence[Unit]) -> Awaitable[None] | None:
        """Hand units to the other end; await what is returned while its inbox is full.

        Raises:
            ConnectionClosed: either end closed.
        """
        return self._outgoing.put(units)

    async def receive(self) -> Unit:
        """Return the next unit.

        Raises:
            ConnectionClosed: either end closed, and everything that was sent before was read.
        """
        return await self._incoming.get()

    def give_to(self, receiver: Receiver) -> None:
        """Give what has arrived and what will to `receiver`, from now on."""
        self._incoming.give_to(receiver)

    def pause(self) -> None:
        """Keep what arrives, which makes the other end wait once it is too much."""
        self._incoming.pause()

    def resume(self) -> None:
        """Give on to the receiver, first what was kept."""
        self._incoming.resume()

    async def close(self, code: int = NORMAL_CLOSURE) -> None:
        """Close both ends; what was sent before can still be read."""
        self._end(
            lambda: ConnectionClosed(
                f"the connection was closed ({code})", close_code=code, is_clean=True
            )
        )

    def abort(self) -> None:
        """Cut the connection, as a cable that is pulled: both ends see an unclean end."""
        self._end(lambda: ConnectionClosed("the connection was lost", close_code=1006))

    def _end(self, error: Callable[[], ConnectionClosed]) -> None:
        self._incoming.end(error)
        self._outgoing.end(error)


class MemoryListener:
    """Serves the connections that are dialled to one endpoint of a `MemoryNetwork`."""

    def __init__(
        self,
        endpoint: Endpoint,
        handler: ConnectionHandler,
        door: Door | None,
        on_close: Callable[[], None],
        on_refused: Callable[[Refusal, str], None] | None,
        subprotocols: Sequence[str],
    ) -> None:
        self._endpoint = endpoint
        self.subprotocols = subprotocols
        self._handler = handler
        self._door = door
        self._on_close = on_close
        self._on_refused = on_refused
        self._serving: dict[asyncio.Task[None], MemoryConnection] = {}

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where it listens, with the real port."""
        return (self._endpoint,)

    async def close(self) -> None:
        """Stop accepting, close the connections, wait for the handlers to end."""
        self._on_close()
        serving = dict(self._serving)
        for connection in serving.values():
            await connection.close(GOING_AWAY)
        await asyncio.gather(*serving, return_exceptions=True)

    def accept(self, connection: MemoryConnection) -> bool:
        """Serve a connection in a task of its own; False if the door refuses it."""
        host = connection.info.remote_host
        if self._door is not None and not self._door.admit(host):
            if self._on_refused is not None:
                self._on_refused(Refusal.BUSY, connection.info.remote_text)
            return False
        task = asyncio.get_running_loop().create_task(self._serve(connection))
        self._serving[task] = connection
        task.add_done_callback(lambda done: self._serving.pop(done, None))
        return True

    async def _serve(self, connection: MemoryConnection) -> None:
        try:
            with suppress(ConnectionClosed):
                await self._handler(connection)
        finally:
            await connection.close()


class MemoryNetwork:
    """A network of its own: listens and dials by endpoint, without sockets."""

    def __init__(self) -> None:
        self._listeners: dict[Endpoint, MemoryListener] = {}
        self._ports = itertools.count(FIRST_EPHEMERAL_PORT)

    async def listen(
        self,
        endpoint: Endpoint,
        handler: ConnectionHandler,
        *,
        door: Door | None = None,
        on_refused: Callable[[Refusal, str], None] | None = None,
        subprotocols: Sequence[str] = (),
    ) -> MemoryListener:
        """Accept connections at `endpoint`; port 0 = any free one.

        Args:
            subprotocols: what may be agreed on, best first.

        Raises:
            PortInUseError: somebody listens there.
        """
        if endpoint.port == 0:
            endpoint = Endpoint(endpoint.host, next(self._ports))
        if endpoint in self._listeners:
            raise PortInUseError(f"{endpoint} is in use", "choose another port")
        listener = MemoryListener(
            endpoint,
            handler,
            door,
            lambda: self._forget(endpoint, listener),
            on_refused,
            subprotocols,
        )
        self._listeners[endpoint] = listener
        return listener

    async def dial(self, endpoint: Endpoint, subprotocols: Sequence[str] = ()) -> MemoryConnection:
        """Connect to whoever listens at `endpoint`.

        Args:
            subprotocols: what to offer, best first.

        Raises:
            ConnectError: nobody does, or the door of the one who does is shut.
        """
        listener = self._listeners.get(endpoint)
        there, back = _Pipe(), _Pipe()
        ours = listener.subprotocols if listener is not None else ()
        agreed = next((name for name in ours if name in subprotocols), None)
        info = ConnectionInfo(
            "memory",
            "memory",
            endpoint.port,
            is_encrypted=False,
            is_outgoing=True,
            subprotocol=agreed,
            offered=tuple(subprotocols),
        )
        near = MemoryConnection(info, back, there)
        far_info = replace(info, remote_port=next(self._ports), is_outgoing=False)
        far = MemoryConnection(far_info, there, back)
        if listener is None or not listener.accept(far):
            raise ConnectError(
                f"nobody answers at {endpoint}",
                "check that the peer runs",
                failure=ConnectFailure.REFUSED,
            )
        return near

    def _forget(self, endpoint: Endpoint, listener: MemoryListener) -> None:
        if self._listeners.get(endpoint) is listener:
            del self._listeners[endpoint]

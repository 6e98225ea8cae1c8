"""A connection of our own wire whose units travel in frames of the 0.8 wire, over its relays."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from ironmesh.errors import ConnectionClosed, RemoteProtocolError
from ironmesh.node.clock import Clock
from ironmesh.node.link import Link
from ironmesh.node.pacing import Pacer
from ironmesh.transport.inbox import Inbox
from ironmesh.transport.interface import TUNNEL, ConnectionInfo, Receiver
from ironmesh.types import NodeId, Unit
from ironmesh.wire.legacy.tunnel import TunnelFrame, TunnelReader, TunnelWriter
from ironmesh.wire.native.constants import SUBPROTOCOL

FRAMES_PER_S: Final = 14.0
"""Of all tunnels over one neighbour: it takes 20 in all, and there are others."""
FRAME_BURST: Final = 40
MAX_WAITING_UNITS: Final = 1024
"""Units that wait for their reader before the tunnel is given up: no relay can be held up."""
MAX_WAITING_BYTES: Final = 4 * 1024 * 1024
NORMAL_CLOSURE: Final = 1000

Put = Callable[[bytes], None]
"""Sends one payload to the other end."""


class Pace:
    """Lets the tunnels over one neighbour take turns, one frame at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pacer = Pacer(FRAMES_PER_S, FRAME_BURST, clock.now().mono)
        self._turn = asyncio.Lock()

    async def wait(self) -> None:
        """Return when one more frame may go."""
        async with self._turn:
            while self._pacer.available(self._clock.now().mono) < 1:
                now = self._clock.now().mono
                await asyncio.sleep(max(self._pacer.next_at(now) - now, 0.001))
            self._pacer.spend(1, self._clock.now().mono)


class TunnelConnection:
    """One end of a tunnel.

    Args:
        link: leads to the published neighbour over which the tunnel goes.
        put: queues a payload for the other end on that link.
        on_end: told once that the tunnel is over.
    """

    def __init__(
        self,
        peer: NodeId,
        tunnel: bytes,
        link: Link,
        *,
        is_outgoing: bool,
        pace: Pace,
        put: Put,
        on_end: Callable[[TunnelConnection], None],
    ) -> None:
        self.peer = peer
        self.tunnel = tunnel
        self.link = link
        self._pace = pace
        self._put = put
        self._on_end = on_end
        self._writer = TunnelWriter(tunnel, is_dialler=is_outgoing)
        self._reader = TunnelReader()
        self._inbox = Inbox(
            self._overrun, lambda: None, max_units=MAX_WAITING_UNITS, max_bytes=MAX_WAITING_BYTES
        )
        self._end: Callable[[], ConnectionClosed] | None = None
        self.info = ConnectionInfo(
            transport=TUNNEL,
            remote_host=tunnel_host(link.peer),
            remote_port=0,
            is_encrypted=False,
            is_outgoing=is_outgoing,
            subprotocol=SUBPROTOCOL,
            offered=(SUBPROTOCOL,),
        )

    async def send(self, units: Sequence[Unit]) -> None:
        """Send units in order, as fast as relays take them.

        Raises:
            ConnectionClosed: the tunnel is over.
        """
        for unit in units:
            for payload in self._writer.frames(unit if isinstance(unit, bytes) else unit.encode()):
                await self._pace.wait()
                self._check_open()
                self._put(payload)
                await self.link.wait_for_room()
        self._check_open()

    def write(self, units: Sequence[Unit]) -> Awaitable[None]:
        """Send units in order; await what is returned, which is as fast as relays take them."""
        return self.send(units)

    def _check_open(self) -> None:
        if self._end is not None:
            raise self._end()

    async def receive(self) -> Unit:
        """Return the next unit.

        Raises:
            ConnectionClosed: the tunnel is over.
        """
        return await self._inbox.get()

    def give_to(self, receiver: Receiver) -> None:
        """Give what has arrived and what will to `receiver`, from now on."""
        self._inbox.give_to(receiver)

    def pause(self) -> None:
        """Keep what arrives; the tunnel is given up once it is too much."""
        self._inbox.pause()

    def resume(self) -> None:
        """Give on to the receiver, first what was kept."""
        self._inbox.resume()

    def feed(self, frame: TunnelFrame) -> None:
        """A frame of the other end arrived."""
        try:
            unit = self._reader.take(frame)
        except RemoteProtocolError as error:
            self.lose(error.what)
            return
        if unit is not None:
            self._inbox.put(unit)
            self._hand_over()
        elif self._reader.is_closed:
            self._finish(
                lambda: ConnectionClosed(
                    "the other end closed the tunnel", close_code=NORMAL_CLOSURE, is_clean=True
                )
            )

    async def close(self, code: int = NORMAL_CLOSURE) -> None:
        """Say that nothing follows."""
        self._finish(
            lambda: ConnectionClosed("the tunnel was closed", close_code=code, is_clean=True)
        )

    def abort(self) -> None:
        """Give the tunnel up."""
        self.lose("the tunnel was given up")

    def lose(self, why: str) -> None:
        """The tunnel carries nothing any more; `why` is for people."""
        self._finish(lambda: ConnectionClosed(why, close_code=1006))

    def _overrun(self) -> None:
        self.lose("more arrived through the tunnel than was read")

    def _finish(self, error: Callable[[], ConnectionClosed]) -> None:
        if self._end is not None:
            return
        self._end = error
        self._inbox.end(error)
        self._hand_over()
        if self.link.is_usable and not self._reader.is_closed:
            self._put(self._writer.close())
        self._on_end(self)

    def _hand_over(self) -> None:
        """Not at once: the link that carries the tunnel is at work."""
        asyncio.get_running_loop().call_soon(self._inbox.hand_over)


def tunnel_host(neighbour: NodeId) -> str:
    """Return what guesses and places are counted by: all that comes over one neighbour is one."""
    return f"{TUNNEL}/{neighbour}"

"""Writes one link: control traffic first, then the most urgent messages, as the peer takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final, Protocol

from ironmesh.errors import ConnectionClosed, RemoteProtocolError
from ironmesh.node.clock import Clock
from ironmesh.node.pacing import Pacer
from ironmesh.node.sendqueue import SendQueue
from ironmesh.session.interface import Channel, Piece
from ironmesh.transport.interface import Connection
from ironmesh.types import Message, Unit

COMPANY_S: Final = 0.001
"""How long what can wait waits for something to go with: a record of its own costs more than it."""
MAX_WAITING: Final = 16
"""With so many messages nothing waits any more."""


class WriterOwner(Protocol):
    """Whose link is written."""

    @property
    def is_usable(self) -> bool:
        """Messages may be written."""
        ...

    def written(self, messages: Sequence[Message], size_bytes: int) -> None:
        """The transport has these messages, or units of so many bytes without any."""
        ...

    def flushing(self) -> None:
        """Something may be written now."""
        ...

    def flushed(self) -> None:
        """All that may go now was written, or the peer is waited for."""
        ...

    def failed(self, error: BaseException) -> None:
        """Something went wrong that never should."""
        ...

    def broke(self, error: RemoteProtocolError) -> None:
        """The session must end."""
        ...


class LinkWriter:
    """The queue of a link and what empties it.

    What is put in during one turn of the loop goes in the next, in as few units as possible, unless
    somebody knows that nothing more will come.

    Args:
        opening: what is to be written first, before anything of the channel.
    """

    def __init__(
        self,
        connection: Connection,
        channel: Channel,
        owner: WriterOwner,
        clock: Clock,
        opening: Sequence[Unit],
    ) -> None:
        self.queue = SendQueue(channel.link.piece_bytes)
        self._connection = connection
        self._channel = channel
        self._owner = owner
        self._clock = clock
        self._opening = opening
        pace = channel.link
        self._pacer = Pacer(pace.frames_per_second, pace.frame_burst, clock.now().mono)
        self._is_running = self._is_flushing = self._is_scheduled = False
        self._company: asyncio.TimerHandle | None = None
        self._turn: asyncio.TimerHandle | None = None
        """When the peer takes the next frame."""
        self._waiting: asyncio.Future[None] | None = None
        """For the peer to read what was written."""
        self._goodbye: str | None = None
        self.has_parted = False
        """The goodbye was written, so nothing follows."""

    def start(self) -> None:
        """Write from now on."""
        self._is_running = True
        self.flush()

    async def stop(self) -> None:
        """Write nothing any more."""
        self._is_running = False
        self.queue.release()
        for timer in (self._company, self._turn):
            if timer is not None:
                timer.cancel()
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.wait([self._waiting])

    def put_now(self, messages: Sequence[Message]) -> None:
        """Queue messages, and write now what may go."""
        self.queue.put(messages)
        self.flush()

    def put(self, messages: Sequence[Message], *, can_wait: bool) -> None:
        """Queue messages.

        Args:
            can_wait: for `COMPANY_S`, so that others go in the same record.
        """
        self.queue.put(messages)
        if not can_wait or len(self.queue) > MAX_WAITING:
            self.schedule()
        elif self._company is None and not self._is_scheduled:
            self._company = asyncio.get_running_loop().call_later(COMPANY_S, self.flush)

    def part(self, reason: str) -> None:
        """Say goodbye once what is being written is written; what is queued stays."""
        self._goodbye = reason
        self.queue.release()
        self.schedule()

    def schedule(self) -> None:
        """Write in the next turn of the loop what may go then."""
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._take_turn)

    def flush(self) -> None:
        """Write what may go now."""
        if self._company is not None:
            self._company.cancel()
            self._company = None
        if self._is_flushing or self._waiting is not None or not self._is_running:
            return
        self._is_flushing = True
        try:
            self._owner.flushing()
            self._write_opening()
            self._drain()
        except ConnectionClosed:
            # What arrived before is read first; then the connection itself says why it ended.
            self._hang_up()
        except RemoteProtocolError as error:
            self._owner.broke(error)
            return
        except BaseException as error:
            self._owner.failed(error)  # better no session than one that has lost a batch
            raise
        finally:
            self._is_flushing = False
        self._owner.flushed()

    def _take_turn(self) -> None:
        self._is_scheduled = False
        self.flush()

    def _write_opening(self) -> None:
        if self._opening:
            opening, self._opening = self._opening, ()
            self._write(opening, [])

    def _drain(self) -> None:
        while self._waiting is None and self._goodbye is None:
            if not len(self.queue) and not self._channel.wants_write:
                return
            now = self._clock.now()
            batch, piece = self._next_batch(now.mono)
            if not batch and piece is None and not self._channel.wants_write:
                return
            units = self._channel.seal(batch, now, piece)
            self._pacer.spend(len(units), now.mono)
            if piece is not None and piece.is_last:
                batch = [piece.message]
            self._write(units, batch)
        if self._goodbye is not None and self._waiting is None and not self.has_parted:
            self.has_parted = True
            self._write(self._channel.goodbye(self._goodbye, self._clock.now()), [])

    def _next_batch(self, now: float) -> tuple[list[Message], Piece | None]:
        """Return messages to write, or the next piece of a large one."""
        if self._channel.is_holding or not self._owner.is_usable:
            return [], None
        piece = self.queue.take_piece()
        if piece is not None:
            return [], piece
        batch = self.queue.take_batch(self._pacer.available(now))
        if not batch and len(self.queue):
            self._wait_for_turn(now)
        return batch, None

    def _wait_for_turn(self, now: float) -> None:
        if self._turn is not None:
            self._turn.cancel()
        delay_s = max(0.0, self._pacer.next_at(now) - now)
        self._turn = asyncio.get_running_loop().call_later(delay_s, self.flush)

    def _write(self, units: Sequence[Unit], messages: Sequence[Message]) -> None:
        waiting = self._connection.write(units)
        size_bytes = sum(map(len, units))
        if waiting is None:
            self._owner.written(messages, size_bytes)
            return
        self._waiting = asyncio.ensure_future(waiting)
        self._waiting.add_done_callback(partial(self._go_on, messages, size_bytes))

    def _go_on(
        self, messages: Sequence[Message], size_bytes: int, waiting: asyncio.Future[None]
    ) -> None:
        """The peer has read on, or the connection ended."""
        if waiting.cancelled():
            return
        error = waiting.exception()
        if isinstance(error, ConnectionClosed):
            self._hang_up()
        elif error is not None:
            self._owner.failed(error)
        else:
            self._waiting = None
            self._owner.written(messages, size_bytes)
            self.flush()

    def _hang_up(self) -> None:
        self._waiting = asyncio.ensure_future(self._connection.close())

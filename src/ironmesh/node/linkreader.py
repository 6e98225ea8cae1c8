"""Reads one link: opens what arrives, and hands over in one go messages that follow one another."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from functools import partial
from typing import Final, Protocol

from ironmesh.errors import ConnectionClosed, RemoteProtocolError
from ironmesh.node.clock import Clock
from ironmesh.session.interface import Channel, Opened
from ironmesh.transport.interface import Connection
from ironmesh.types import Message, Unit

DEAF_S: Final = 1.0
"""Whoever holds the reader up for longer is slow."""


class ReaderOwner(Protocol):
    """Whose link is read."""

    @property
    def is_listening(self) -> bool:
        """What the peer sends is still taken."""
        ...

    def arrived(self, size_bytes: int) -> None:
        """So many bytes came."""
        ...

    def deliver(self, messages: list[Message]) -> Awaitable[None] | None:
        """Take messages; nothing more is read until what is returned, if anything, is over."""
        ...

    def take_control(self, opened: Opened) -> None:
        """Take what is not a message; messages that came with it follow.

        Called too when a unit leaves the channel something to write, such as the answer to a ping.
        """
        ...

    def refuse(self, error: RemoteProtocolError) -> None:
        """What arrived is wrong, and the session must end."""
        ...

    def ended(self, error: ConnectionClosed) -> None:
        """Nothing more arrives."""
        ...

    def failed(self, error: BaseException) -> None:
        """Something went wrong that never should."""
        ...


class LinkReader:
    """Takes what a connection gives, in the turn of the loop in which it comes.

    Only while the owner asks to wait is the connection paused, which slows the peer down.
    """

    def __init__(
        self, connection: Connection, channel: Channel, owner: ReaderOwner, clock: Clock
    ) -> None:
        self._connection = connection
        self._channel = channel
        self._owner = owner
        self._clock = clock
        self._arrived: deque[Unit] = deque()
        self._is_running = False
        self._waiting: asyncio.Future[None] | None = None
        """For the owner."""
        self._waiting_since: float | None = None
        self._deaf_until = clock.now().mono

    def start(self) -> None:
        """Read from now on."""
        self._is_running = True
        self._connection.give_to(self)

    async def stop(self) -> None:
        """Take nothing any more."""
        self._is_running = False
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.wait([self._waiting])

    def is_deaf(self, now: float) -> bool:
        """Tell whether the peer's silence is ours: who takes the messages keeps us from reading."""
        since = self._waiting_since
        return now < self._deaf_until or (since is not None and now - since > DEAF_S)

    # --- Receiver ----------------------------------------------------------------------------

    def units_received(self, units: list[Unit]) -> None:
        """Units arrived."""
        self._owner.arrived(sum(map(len, units)))
        self._arrived.extend(units)
        self._take(None)

    def connection_ended(self, error: ConnectionClosed) -> None:
        """The connection ended, and what it gave was taken."""
        self._owner.ended(error)

    # --- What arrived ------------------------------------------------------------------------

    def _take(self, then: Opened | RemoteProtocolError | None) -> None:
        """Take `then` and what has arrived, until the owner asks to wait."""
        try:
            messages = [] if then is None else self._go_on(then)
            while self._is_running:
                then = self._open(messages)
                waiting = self._owner.deliver(messages) if messages else None
                if waiting is not None:
                    self._wait(waiting, then)
                    return
                if then is None:
                    return
                messages = self._go_on(then)
        except BaseException as error:
            self._owner.failed(error)  # better no session than one that has lost a unit
            raise

    def _open(self, messages: list[Message]) -> Opened | RemoteProtocolError | None:
        """Open units and gather their messages, up to one with something else in it, or wrong."""
        now = self._clock.now()
        while self._arrived and self._owner.is_listening:
            try:
                opened = self._channel.open(self._arrived.popleft(), now)
            except RemoteProtocolError as error:
                return error
            if opened.events or not opened.messages or self._channel.wants_write:
                return opened  # its owner must hear of it, to write what the channel has to say
            messages += opened.messages
        return None

    def _go_on(self, then: Opened | RemoteProtocolError) -> list[Message]:
        """Take what is not a message; return the messages that came with it."""
        if isinstance(then, RemoteProtocolError):
            self._is_running = False
            self._owner.refuse(then)
            return []
        self._owner.take_control(then)
        return then.messages

    def _wait(self, waiting: Awaitable[None], then: Opened | RemoteProtocolError | None) -> None:
        self._connection.pause()
        self._waiting_since = self._clock.now().mono
        self._waiting = asyncio.ensure_future(waiting)
        self._waiting.add_done_callback(partial(self._caught_up, then))

    def _caught_up(
        self, then: Opened | RemoteProtocolError | None, waiting: asyncio.Future[None]
    ) -> None:
        """The owner took what it was given last."""
        since, self._waiting_since = self._waiting_since, None
        self._waiting = None
        if waiting.cancelled():
            return
        if (error := waiting.exception()) is not None:
            self._owner.failed(error)
            return
        now = self._clock.now().mono
        if since is not None and now - since > DEAF_S:
            # What arrived meanwhile is read first, then the peer's silence is judged.
            self._deaf_until = now + DEAF_S
        self._take(then)
        if self._waiting is None:
            self._connection.resume()

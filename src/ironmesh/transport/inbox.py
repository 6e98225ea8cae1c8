"""Units that arrived and wait for their reader: bounded, so that a fast peer fills no memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from ironmesh.errors import ConnectionClosed, LocalProtocolError
from ironmesh.transport.interface import Receiver
from ironmesh.types import Unit

MAX_UNITS: Final = 256
MAX_BYTES: Final = 256 * 1024
"""An inbox that holds this much is full. One unit always fits, whatever its size."""


class Inbox:
    """A queue with one reader, that says when it becomes full and when there is room again.

    The reader asks (`get`), or is a receiver to which the feeder hands over what waits.

    Args:
        on_full: stop feeding; what is put in regardless is kept.
        on_room: feed on.
    """

    def __init__(
        self,
        on_full: Callable[[], None],
        on_room: Callable[[], None],
        *,
        max_units: int = MAX_UNITS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._on_full = on_full
        self._on_room = on_room
        self._max_units = max_units
        self._max_bytes = max_bytes
        self._units: deque[Unit] = deque()
        self._size = 0
        self._is_full = False
        self._end: Callable[[], ConnectionClosed] | None = None
        self._reader: asyncio.Future[None] | None = None
        self._receiver: Receiver | None = None
        self._is_paused = False

    @property
    def is_full(self) -> bool:
        """Nothing more should be put in."""
        return self._is_full

    def put(self, unit: Unit) -> None:
        """Add a unit that arrived; ignored after `end`."""
        if self._end is not None:
            return
        self._units.append(unit)
        self._size += len(unit)
        self._wake()
        if not self._is_full and (
            self._size >= self._max_bytes or len(self._units) >= self._max_units
        ):
            self._is_full = True
            self._on_full()

    def end(self, error: Callable[[], ConnectionClosed]) -> None:
        """Nothing more will arrive: once what waits is read, `get` raises `error()`."""
        if self._end is None:
            self._end = error
            self._wake()

    async def get(self) -> Unit:
        """Return the next unit.

        Raises:
            ConnectionClosed: the connection ended and everything was read.
        """
        await self._wait()
        unit = self._units.popleft()
        self._size -= len(unit)
        self._tell_room()
        return unit

    def give_to(self, receiver: Receiver) -> None:
        """Let a receiver have what waits now, and later whatever `hand_over` finds."""
        self._receiver = receiver
        self.hand_over()

    def pause(self) -> None:
        """Hand nothing over for now."""
        self._is_paused = True

    def resume(self) -> None:
        """Hand over what was kept, and go on."""
        self._is_paused = False
        self.hand_over()

    def hand_over(self) -> None:
        """Give the receiver, if there is one, all that waits, and at last the end."""
        while self._receiver is not None and not self._is_paused and self._units:
            units = list(self._units)
            self._units.clear()
            self._size = 0
            self._tell_room()
            self._receiver.units_received(units)
        if self._receiver is not None and not self._is_paused and self._end is not None:
            receiver, self._receiver = self._receiver, None
            receiver.connection_ended(self._end())

    async def _wait(self) -> None:
        while not self._units:
            if self._end is not None:
                raise self._end()
            if self._reader is not None:
                raise LocalProtocolError("two tasks read one connection")
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None

    def _tell_room(self) -> None:
        if self._is_full and self._has_room():
            self._is_full = False
            self._on_room()

    def _has_room(self) -> bool:
        return self._size <= self._max_bytes // 2 and len(self._units) <= self._max_units // 2

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

"""A bounded queue of events between the node and one subscriber who may be slow."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Self

from ironmesh.control.api import MessageEvent, MissedEvent, OperatorEvent, SettledEvent

MAX_EVENTS: Final = 1000
MAX_BYTES: Final = 16 * 1024 * 1024
ID_BYTES: Final = 96
"""Of one message id as an object."""


class Subscription:
    """Events in order; when the subscriber is too slow, it is told where and how many it missed.

    Args:
        max_events: events that wait at most.
        max_bytes: bytes of payloads and ids that wait at most; a single event may be larger.
    """

    def __init__(self, *, max_events: int = MAX_EVENTS, max_bytes: int = MAX_BYTES) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._events: deque[OperatorEvent] = deque()
        self._waiting_bytes = 0
        self._missed = 0
        self._is_closed = False
        self._wake = asyncio.Event()

    def offer(self, event: OperatorEvent) -> None:
        """Queue `event`, or count it as missed; never waits."""
        if self._is_closed:
            return
        size = _size(event)
        is_full = len(self._events) >= self._max_events
        if is_full or (self._events and self._waiting_bytes + size > self._max_bytes):
            self._missed += 1
            return
        self._tell_missed()
        self._events.append(event)
        self._waiting_bytes += size
        self._wake.set()

    def close(self) -> None:
        """End the iteration once what waits has been read."""
        self._is_closed = True
        self._wake.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> OperatorEvent:
        while not self._events:
            if self._missed:
                self._tell_missed()
                break
            if self._is_closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        event = self._events.popleft()
        self._waiting_bytes -= _size(event)
        return event

    def _tell_missed(self) -> None:
        if self._missed:
            self._events.append(MissedEvent(count=self._missed))
            self._missed = 0


def _size(event: OperatorEvent) -> int:
    if isinstance(event, MessageEvent):
        return len(event.payload)
    return ID_BYTES * len(event.ids) if isinstance(event, SettledEvent) else 0

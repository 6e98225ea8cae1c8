"""What waits to be written on one link: a queue for each priority, with a high-water mark."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from ironmesh.types import PRIORITIES, Message

MAX_BATCH_MESSAGES: Final = 64
MAX_BATCH_BYTES: Final = 64 * 1024
HIGH_WATER_MESSAGES: Final = 1024
HIGH_WATER_BYTES: Final = 8 * 1024 * 1024


class SendQueue:
    """Messages by priority; above the high-water mark senders are asked to wait."""

    def __init__(self) -> None:
        self._queues: tuple[deque[Message], ...] = tuple(deque() for _ in PRIORITIES)
        self._queue_of = dict(zip(PRIORITIES, self._queues, strict=True))
        self._count = 0
        self._size_bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        self._is_released = False

    def __len__(self) -> int:
        return self._count

    @property
    def size_bytes(self) -> int:
        """Payload bytes that wait."""
        return self._size_bytes

    @property
    def is_full(self) -> bool:
        """Whoever has more to send waits for room."""
        return not self._room.is_set()

    def put(self, messages: Sequence[Message]) -> None:
        """Queue messages, above the high-water mark as well."""
        for message in messages:
            self._queue_of[message.priority].append(message)
            self._size_bytes += len(message.payload)
        self._count += len(messages)
        is_high = self._count >= HIGH_WATER_MESSAGES or self._size_bytes >= HIGH_WATER_BYTES
        if is_high and not self._is_released:
            self._room.clear()

    def take_batch(self, limit: int) -> list[Message]:
        """Return what is to be written next, at most `limit` messages, the most urgent first."""
        room = min(MAX_BATCH_MESSAGES, limit)
        batch: list[Message] = []
        size_bytes = 0
        for queue in self._queues:
            while queue and len(batch) < room and size_bytes < MAX_BATCH_BYTES:
                message = queue.popleft()
                size_bytes += len(message.payload)
                batch.append(message)
        self._count -= len(batch)
        self._size_bytes -= size_bytes
        if self._count <= HIGH_WATER_MESSAGES // 2 and self._size_bytes <= HIGH_WATER_BYTES // 2:
            self._room.set()
        return batch

    def take_all(self) -> list[Message]:
        """Return everything, the most urgent first."""
        messages = [message for queue in self._queues for message in queue]
        for queue in self._queues:
            queue.clear()
        self._count = self._size_bytes = 0
        self._room.set()
        return messages

    async def wait_for_room(self) -> None:
        """Return once there is room, or nobody has to wait any more."""
        await self._room.wait()

    def release(self) -> None:
        """Let nobody wait from now on: this queue is not written any more."""
        self._is_released = True
        self._room.set()

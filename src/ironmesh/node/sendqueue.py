"""What waits to be written on one link: a queue for each priority, with a high-water mark."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from typing import Final

from ironmesh.session.interface import Piece
from ironmesh.types import PRIORITIES, Message

MAX_BATCH_MESSAGES: Final = 256
MAX_BATCH_BYTES: Final = 64 * 1024
HIGH_WATER_MESSAGES: Final = 1024
HIGH_WATER_BYTES: Final = 8 * 1024 * 1024


class SendQueue:
    """Messages by priority; above the high-water mark senders are asked to wait.

    Args:
        piece_bytes: larger payloads are taken in pieces of so much, so that what is more urgent
            never waits for the whole of one; 0 = every message is taken as a whole.
    """

    def __init__(self, piece_bytes: int = 0) -> None:
        self._piece_bytes = piece_bytes
        self._offsets = [0] * len(PRIORITIES)
        """How much of the first message of each queue was taken."""
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
        """Return what is to be written next, at most `limit` messages, the most urgent first.

        A message that goes in pieces ends it: `take_piece` returns the first of them.
        """
        room = min(MAX_BATCH_MESSAGES, limit)
        most_bytes = self._piece_bytes or math.inf
        batch: list[Message] = []
        size_bytes = 0
        for queue in self._queues:
            while queue and len(batch) < room and size_bytes < MAX_BATCH_BYTES:
                more_bytes = len(queue[0].payload)
                if more_bytes > most_bytes:
                    room = 0
                    break
                size_bytes += more_bytes
                batch.append(queue.popleft())
        self._taken(len(batch), size_bytes)
        return batch

    def take_piece(self) -> Piece | None:
        """Return the next part of the most urgent message, if it is one that goes in pieces."""
        for place, queue in enumerate(self._queues):
            if not queue:
                continue
            message, offset = queue[0], self._offsets[place]
            if not self._is_large(message):
                return None
            piece = Piece(message, offset, min(self._piece_bytes, len(message.payload) - offset))
            self._offsets[place] = 0 if piece.is_last else offset + piece.size
            if piece.is_last:
                queue.popleft()
            self._taken(int(piece.is_last), piece.size)
            return piece
        return None

    def _is_large(self, message: Message) -> bool:
        return 0 < self._piece_bytes < len(message.payload)

    def _taken(self, count: int, size_bytes: int) -> None:
        self._count -= count
        self._size_bytes -= size_bytes
        if self._count <= HIGH_WATER_MESSAGES // 2 and self._size_bytes <= HIGH_WATER_BYTES // 2:
            self._room.set()

    def take_all(self) -> list[Message]:
        """Return everything, the most urgent first."""
        messages = [message for queue in self._queues for message in queue]
        for queue in self._queues:
            queue.clear()
        self._offsets = [0] * len(PRIORITIES)
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

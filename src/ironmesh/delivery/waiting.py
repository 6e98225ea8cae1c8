"""Messages that wait for a peer to come online: bounded, the most urgent first. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ironmesh.errors import QueueFullError
from ironmesh.types import PRIORITIES, Message, NodeId

_RANK: Final = {priority: rank for rank, priority in enumerate(PRIORITIES)}


@dataclass(frozen=True, slots=True)
class WaitingLimits:
    """How much may wait for one peer."""

    messages: int = 1000
    payload_bytes: int = 64 * 1024 * 1024


class WaitingRoom:
    """Holds messages by destination, in memory, until a link to it is up."""

    def __init__(self, limits: WaitingLimits | None = None) -> None:
        self._limits = limits or WaitingLimits()
        self._waiting: dict[NodeId, list[Message]] = {}

    def put(self, messages: Sequence[Message]) -> None:
        """Let messages of one destination wait.

        Raises:
            QueueFullError: they do not fit; none of them waits.
        """
        if not messages:
            return
        queue = self._waiting.get(messages[0].destination, [])
        size_bytes = sum(len(message.payload) for message in (*queue, *messages))
        if (
            len(queue) + len(messages) > self._limits.messages
            or size_bytes > self._limits.payload_bytes
        ):
            raise QueueFullError(
                f"{len(queue)} messages wait for this peer already",
                "wait until it is online, or send less",
            )
        self._waiting.setdefault(messages[0].destination, []).extend(messages)

    def put_back(self, messages: Sequence[Message]) -> None:
        """Take back messages that were accepted before: first in line, whatever the limits say."""
        for destination in dict.fromkeys(message.destination for message in messages):
            mine = [message for message in messages if message.destination == destination]
            self._waiting[destination] = mine + self._waiting.get(destination, [])

    def take(self, destination: NodeId) -> list[Message]:
        """Return and forget what waits for a peer: by priority, then by age."""
        return sorted(
            self._waiting.pop(destination, []), key=lambda message: _RANK[message.priority]
        )

    def count(self, destination: NodeId) -> int:
        """Return how many messages wait for a peer."""
        return len(self._waiting.get(destination, ()))

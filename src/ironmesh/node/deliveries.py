"""Messages for a handler that takes them itself, one after the other, in whichever thread it runs.

A change of threads costs more than most handlers do, so a blocking handler is given all that is
ready. The promise stays the same: that a handler begins is noted before it does, and that it ended
before the next one begins.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from ironmesh.delivery.records import DeliveryStore
from ironmesh.errors import StoreError
from ironmesh.node.clock import Clock
from ironmesh.node.events import MessageReceived

STRETCH_S: Final = 0.05
"""After so long no further message is handed out before the node has looked at what was done."""

Ready = tuple[MessageReceived, int | None]
"""A message that handlers may get; with its number in the inbox, if it is kept."""


class Deliveries:
    """Some messages on their way through their handlers. One thread uses it at a time.

    Args:
        is_over: tells whether no handler is to begin any more.
    """

    def __init__(
        self,
        ready: Iterable[Ready],
        store: DeliveryStore,
        clock: Clock,
        is_over: Callable[[], bool],
    ) -> None:
        self._waiting = deque(ready)
        self._store = store
        self._clock = clock
        self._is_over = is_over
        self._until = 0.0
        self._handling: int | None = None
        self._ended: list[int] = []
        self.error: StoreError | None = None
        """Why nothing more is handed out, although something waits."""

    @property
    def has_more(self) -> bool:
        """Something waits, or it is not noted yet that it was handled."""
        return bool(self._waiting) or self._handling is not None

    def resume(self) -> None:
        """Hand out messages again, for a while."""
        self.error = None
        self._until = self._clock.now().mono + STRETCH_S

    def next(self) -> MessageReceived | None:
        """Say that the message before is done, and take the next one; None = not now."""
        if self.error is not None:
            return None
        try:
            if self._waiting and not self._is_over() and self._clock.now().mono < self._until:
                return self._begin()
            self._note_ended()
        except StoreError as error:
            self.error = error
        return None

    def take_ended(self) -> list[int]:
        """Return the numbers of those that were handled since the last call."""
        ended, self._ended = self._ended, []
        return ended

    def _note_ended(self) -> None:
        if self._handling is not None:
            self._store.note_completed(self._handling)
            self._ended.append(self._handling)
            self._handling = None

    def _begin(self) -> MessageReceived:
        event, sequence = self._waiting[0]
        if sequence is None:
            self._note_ended()
        else:
            before = self._handling
            self._store.note_started(sequence, after=before)
            if before is not None:
                self._ended.append(before)
            self._handling = sequence
        self._waiting.popleft()
        return event

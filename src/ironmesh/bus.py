"""The message bus of a `BridgeDaemon`: callbacks by message type, and a short history."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

HISTORY: Final = 100
"""Events that `history` can give back."""
HISTORY_BYTES: Final = 8 * 1024 * 1024
"""Payload bytes that the history keeps at most."""

BusEvent = Mapping[str, Any]
"""Read-only: `peer_id` (who wrote it), `msg_id`, `type`, `payload` (bytes), as published; and of
ours `id` (= `msg_id`), `source` (= `peer_id`), `source_name`, `via` (the peer that handed it over),
`redelivered`, `is_legacy` (it was written for the 0.8 wire)."""

BusCallback = Callable[[BusEvent], object]
BusCall = tuple[BusCallback, BusEvent]
"""A callback, and what it is to be called with."""


class MessageBus:
    """Gives events to the callbacks of their type, in the order of their registration.

    Callbacks may be added and removed from any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: list[tuple[str | None, BusCallback]] = []
        self._of_type: dict[str, tuple[BusCallback, ...]] = {}
        self._of_others: tuple[BusCallback, ...] = ()
        self._history: deque[tuple[BusEvent, float]] = deque()
        self._history_bytes = 0

    def subscribe(self, event_type: str, callback: BusCallback) -> Callable[[], None]:
        """Call `callback` for each event of a message type; returns what ends it."""
        return self._add(str(event_type), callback)

    def on_any(self, callback: BusCallback) -> Callable[[], None]:
        """Call `callback` for every event; returns what ends it."""
        return self._add(None, callback)

    def history(self, limit: int = HISTORY) -> list[dict[str, Any]]:
        """Return the last events, oldest first, as `{type, data, timestamp}`."""
        with self._lock:
            last = list(self._history)[-limit:] if limit > 0 else []
        return [{"type": data["type"], "data": data, "timestamp": at} for data, at in last]

    def publish(self, event: dict[str, Any], timestamp: float) -> list[BusCall]:
        """Remember `event`, and return the calls of its callbacks, to be made one by one."""
        frozen = MappingProxyType(event)
        with self._lock:
            self._remember(frozen, timestamp)
            callbacks = self._of_type.get(event["type"], self._of_others)
        return [(callback, frozen) for callback in callbacks]

    def _add(self, event_type: str | None, callback: BusCallback) -> Callable[[], None]:
        entry = (event_type, callback)
        with self._lock:
            self._callbacks.append(entry)
            self._sort()

        def remove() -> None:
            with self._lock, contextlib.suppress(ValueError):  # removed before
                self._callbacks.remove(entry)
                self._sort()

        return remove

    def _sort(self) -> None:
        kinds = {kind for kind, _callback in self._callbacks if kind is not None}
        self._of_type = {
            kind: tuple(callback for of, callback in self._callbacks if of in (None, kind))
            for kind in kinds
        }
        self._of_others = tuple(callback for of, callback in self._callbacks if of is None)

    def _remember(self, event: BusEvent, timestamp: float) -> None:
        self._history.append((event, timestamp))
        self._history_bytes += len(event["payload"])
        while len(self._history) > HISTORY or self._history_bytes > HISTORY_BYTES:
            self._history_bytes -= len(self._history.popleft()[0]["payload"])

"""The message bus of a `BridgeDaemon`: callbacks by message type, and a short history."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

HISTORY: Final = 100
"""Events that `history` can give back."""
HISTORY_BYTES: Final = 8 * 1024 * 1024
"""Payload bytes that the history keeps at most."""

BusEvent = Mapping[str, Any]
"""Read-only: `peer_id` (who wrote it), `msg_id`, `type`, `payload` (bytes), as published; and of
ours `id` (= `msg_id`), `source` (= `peer_id`), `source_name`, `via` (the peer that handed it over),
`redelivered`."""

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
        self._history: deque[dict[str, Any]] = deque()
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
            return list(self._history)[-limit:] if limit > 0 else []

    def publish(self, event: dict[str, Any], timestamp: float) -> Iterator[BusCall]:
        """Remember `event`, and yield the calls of its callbacks, to be made one by one."""
        frozen = MappingProxyType(event)
        with self._lock:
            self._remember({"type": event["type"], "data": frozen, "timestamp": timestamp})
            wanted = (None, event["type"])
            callbacks = [callback for kind, callback in self._callbacks if kind in wanted]
        for callback in callbacks:
            yield callback, frozen

    def _add(self, event_type: str | None, callback: BusCallback) -> Callable[[], None]:
        entry = (event_type, callback)
        with self._lock:
            self._callbacks.append(entry)

        def remove() -> None:
            with self._lock, contextlib.suppress(ValueError):  # removed before
                self._callbacks.remove(entry)

        return remove

    def _remember(self, entry: dict[str, Any]) -> None:
        self._history.append(entry)
        self._history_bytes += len(entry["data"]["payload"])
        while len(self._history) > HISTORY or self._history_bytes > HISTORY_BYTES:
            self._history_bytes -= len(self._history.popleft()["data"]["payload"])

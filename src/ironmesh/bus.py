"""The message bus of a `BridgeDaemon`: callbacks by message type, and a short history."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

HISTORY: Final = 100
"""Events that `history` can give back."""

BusEvent = Mapping[str, Any]
"""Read-only: `peer_id` (who wrote it), `msg_id`, `type`, `payload` (bytes), as published; and of
ours `id` (= `msg_id`), `source` (= `peer_id`), `source_name`, `via` (the peer that handed it over),
`redelivered`."""

BusCallback = Callable[[BusEvent], object]
Runner = Callable[[BusCallback, BusEvent], Awaitable[None]]
"""Calls one callback and waits for it, whatever it raises."""


class MessageBus:
    """Gives events to the callbacks of their type, in the order of their registration."""

    def __init__(self) -> None:
        self._by_type: dict[str, list[BusCallback]] = {}
        self._for_any: list[BusCallback] = []
        self._history: deque[dict[str, Any]] = deque(maxlen=HISTORY)

    def subscribe(self, event_type: str, callback: BusCallback) -> Callable[[], None]:
        """Call `callback` for each event of a message type; returns what ends it."""
        callbacks = self._by_type.setdefault(str(event_type), [])
        callbacks.append(callback)
        return lambda: callbacks.remove(callback)

    def on_any(self, callback: BusCallback) -> Callable[[], None]:
        """Call `callback` for every event; returns what ends it."""
        self._for_any.append(callback)
        return lambda: self._for_any.remove(callback)

    def history(self, limit: int = HISTORY) -> list[dict[str, Any]]:
        """Return the last events, oldest first, as `{type, data, timestamp}`."""
        return list(self._history)[-limit:] if limit > 0 else []

    async def publish(self, event: dict[str, Any], timestamp: float, run: Runner) -> None:
        """Give `event` to its callbacks, one after the other."""
        frozen = MappingProxyType(event)
        self._history.append({"type": event["type"], "data": frozen, "timestamp": timestamp})
        for callback in (*self._by_type.get(event["type"], ()), *self._for_any):
            await run(callback, frozen)

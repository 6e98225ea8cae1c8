"""The message bus of a `BridgeDaemon`: callbacks by message type, and a short history."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from ironmesh.types import message_id_text

if TYPE_CHECKING:
    from ironmesh.node.events import MessageReceived

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


class MessageEvent(Mapping[str, Any]):
    """A message as callbacks get it; the mapping is made when somebody looks at it."""

    __slots__ = ("_fields", "received")

    def __init__(self, received: MessageReceived) -> None:
        self.received = received
        self._fields: dict[str, Any] | None = None

    def __getitem__(self, name: str) -> Any:
        return self._mapped()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._mapped())

    def __len__(self) -> int:
        return len(self._mapped())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._mapped()!r})"

    def _mapped(self) -> dict[str, Any]:
        if self._fields is None:
            received, message = self.received, self.received.message
            message_id = message_id_text(message.id)
            self._fields = {
                "peer_id": message.source,
                "msg_id": message_id,
                "type": message.type,
                "payload": message.payload,
                "id": message_id,
                "source": message.source,
                "source_name": received.source_name,
                "via": received.via,
                "redelivered": received.is_redelivered,
                "is_legacy": received.is_legacy,
            }
        return self._fields


class MessageBus:
    """Gives events to the callbacks of their type, in the order of their registration.

    Callbacks may be added and removed from any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: list[tuple[str | None, BusCallback]] = []
        self._of_type: dict[str, tuple[BusCallback, ...]] = {}
        self._of_others: tuple[BusCallback, ...] = ()
        self._history: deque[tuple[MessageEvent, float]] = deque()
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

    def publish(self, event: MessageEvent, timestamp: float) -> list[BusCall]:
        """Remember `event`, and return the calls of its callbacks, to be made one by one."""
        message = event.received.message
        with self._lock:
            self._remember(event, len(message.payload), timestamp)
            callbacks = self._of_type.get(message.type, self._of_others)
        return [(callback, event) for callback in callbacks]

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

    def _remember(self, event: MessageEvent, size_bytes: int, timestamp: float) -> None:
        self._history.append((event, timestamp))
        self._history_bytes += size_bytes
        while len(self._history) > HISTORY or self._history_bytes > HISTORY_BYTES:
            self._history_bytes -= len(self._history.popleft()[0].received.message.payload)

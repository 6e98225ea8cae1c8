"""The parcels of all sources, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from ironmesh.session.parcels.reader import ParcelReader, Taken
from ironmesh.types import NodeId


class ParcelLimits(msgspec.Struct, frozen=True):
    """How much is kept of sources that this node may never have met."""

    sources: int = 4096
    """With their place in a stream; the one that was silent longest makes room."""
    streams: int = 65_536
    """Sources of which only the last stream is still known: its parcels are not taken again."""
    waiting_bytes: int = 64 * 1024 * 1024
    """Parcels and parts of messages that wait; the source that has most waiting makes room."""


class ParcelInbox:
    """Puts what arrives in order, for each source by itself.

    Args:
        own_id: the destination of every parcel.
    """

    def __init__(self, own_id: NodeId, limits: ParcelLimits | None = None) -> None:
        self._own_id = own_id
        self._limits = limits or ParcelLimits()
        self._readers: OrderedDict[NodeId, ParcelReader] = OrderedDict()
        self._left: OrderedDict[NodeId, int] = OrderedDict()
        self._gaps: dict[NodeId, float] = {}
        self._size_bytes = 0

    @property
    def size_bytes(self) -> int:
        """Bytes that wait, of all sources."""
        return self._size_bytes

    @property
    def next_timer(self) -> float | None:
        """When to call `timer`, in monotonic seconds; None = no need."""
        return min(self._gaps.values(), default=None)

    def take(self, source: NodeId, content: bytes, now: float, *, is_fresh: bool = True) -> Taken:
        """Take what a parcel of `source` held; see `ParcelReader.take`.

        Raises:
            RemoteProtocolError: malformed, or with messages that do not belong there.
        """
        reader = self._reader(source)
        before = reader.size_bytes
        try:
            return reader.take(content, now, is_fresh=is_fresh)
        finally:
            self._judge(source, reader, before)

    def timer(self, now: float) -> list[tuple[NodeId, Taken]]:
        """Give up what waited too long; return what that leads to, by source."""
        due = [source for source, at in self._gaps.items() if at <= now]
        led_to = []
        for source in due:
            reader = self._readers[source]
            before = reader.size_bytes
            led_to.append((source, reader.timer(now)))
            self._judge(source, reader, before)
        return led_to

    def forget(self, source: NodeId) -> None:
        """Drop what waits of a source that may not be heard any more."""
        reader = self._readers.pop(source, None)
        if reader is not None:
            self._drop(source, reader)

    def _reader(self, source: NodeId) -> ParcelReader:
        reader = self._readers.get(source)
        if reader is not None:
            self._readers.move_to_end(source)
            return reader
        while len(self._readers) >= self._limits.sources:
            self._drop(*self._readers.popitem(last=False))
        reader = ParcelReader(source, self._own_id, self._left.pop(source, None))
        self._readers[source] = reader
        return reader

    def _drop(self, source: NodeId, reader: ParcelReader) -> None:
        self._size_bytes -= reader.size_bytes
        self._gaps.pop(source, None)
        if reader.stream is None:
            return
        self._left[source] = reader.stream
        while len(self._left) > self._limits.streams:
            self._left.popitem(last=False)

    def _judge(self, source: NodeId, reader: ParcelReader, before: int) -> None:
        """Note what a reader keeps now, and let the largest go if all keep too much."""
        self._size_bytes += reader.size_bytes - before
        if reader.next_timer is None:
            self._gaps.pop(source, None)
        else:
            self._gaps[source] = reader.next_timer
        while self._size_bytes > self._limits.waiting_bytes:
            largest = max(self._readers, key=lambda each: self._readers[each].size_bytes)
            self._size_bytes -= self._readers[largest].size_bytes
            self._readers[largest].give_up()
            self._gaps.pop(largest, None)

"""Which messages of others arrived: ids of our nodes by epoch and floor, of others for a day. Pure.

Epochs and floors need no clock: a source says which of its ids are settled, what lies above is
remembered. Ids that published nodes make say nothing of themselves, so time must do.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from enum import Enum
from typing import Final

from ironmesh.delivery.records import ForeignId, SourceRecord
from ironmesh.delivery.upkeep import EPOCH_LIFE_S, FOREIGN_LIFE_S
from ironmesh.types import Instant, MessageId, NodeId
from ironmesh.wire.receipts import MAX_NUMBER, Floor, split_id

MAX_IDS_ABOVE_FLOOR: Final = 65_536
MAX_EPOCHS: Final = 4
"""Of one source."""
MAX_FOREIGN_IDS: Final = 32_768
"""Of one source; beyond, the oldest are forgotten."""


class Standing(Enum):
    """What is known of an id."""

    NEW = "new"
    KNOWN = "known"
    """It arrived before."""
    SETTLED = "settled"
    """Its source said that it is over."""
    FULL = "full"
    """Its source must settle older ones first."""
    HALTED = "halted"
    """An older one was not taken, and its source has not started over since."""
    IMPOSSIBLE = "impossible"
    """Its source has too many epochs, or the number is out of range."""


class _Epoch:
    __slots__ = ("floor", "is_halted", "numbers", "used_at")

    def __init__(self, used_at: float, floor: int = 0, numbers: Iterable[int] = ()) -> None:
        self.used_at = used_at
        self.floor = floor
        self.numbers = set(numbers)
        self.is_halted = False


class OwnIds:
    """Ids of nodes that run this implementation."""

    def __init__(self) -> None:
        self._sources: dict[NodeId, dict[bytes, _Epoch]] = {}
        self._last: tuple[NodeId, bytes, Instant, _Epoch] | None = None
        """What was looked at last: the next id is mostly of the same list."""

    def restore(self, records: Iterable[SourceRecord], now: Instant) -> None:
        """Take over what was remembered."""
        for record in records:
            used_at = now.mono - max(0.0, now.wall - record.used_wall)
            epochs = self._sources.setdefault(record.source, {})
            epochs[record.epoch] = _Epoch(used_at, record.floor, record.numbers)

    def look(
        self, source: NodeId, message_id: MessageId, now: Instant, *, remembers: bool = False
    ) -> Standing:
        """Tell what is known of an id.

        Args:
            remembers: from now on it is known, if it is new.
        """
        name, number = split_id(message_id)
        last = self._last
        if last is not None and last[0] == source and last[1] == name and last[2] is now:
            epoch: _Epoch | None = last[3]
        else:
            epoch = self._epoch(source, name, now)
            self._last = (source, name, now, epoch) if epoch is not None else None
        if epoch is None or number > MAX_NUMBER:
            return Standing.IMPOSSIBLE
        if number < epoch.floor:
            return Standing.SETTLED
        if number in epoch.numbers:
            return Standing.KNOWN
        if epoch.is_halted:
            return Standing.HALTED
        if len(epoch.numbers) >= MAX_IDS_ABOVE_FLOOR:
            return Standing.FULL
        if remembers:
            epoch.numbers.add(number)
        return Standing.NEW

    def halt(self, source: NodeId, message_id: MessageId) -> None:
        """A message was not taken: its source must start over before newer ones are."""
        self._sources[source][split_id(message_id)[0]].is_halted = True

    def raise_floor(self, source: NodeId, floor: Floor, now: Instant) -> bool:
        """Forget what is settled; True if that is news."""
        epoch = self._epoch(source, floor.epoch, now)
        if epoch is None:
            return False
        if floor.is_restart:
            epoch.is_halted = False
        if floor.number <= epoch.floor:
            return False
        epoch.floor = floor.number
        epoch.numbers = {number for number in epoch.numbers if number >= floor.number}
        return True

    def _epoch(self, source: NodeId, name: bytes, now: Instant) -> _Epoch | None:
        """Return an epoch, made if need be; None if the source has too many."""
        epochs = self._sources.setdefault(source, {})
        epoch = epochs.get(name)
        if epoch is None:
            if len(epochs) >= MAX_EPOCHS:
                self._drop_unused(epochs, now.mono)
            if len(epochs) >= MAX_EPOCHS:
                return None
            epoch = epochs[name] = _Epoch(now.mono)
        epoch.used_at = now.mono
        return epoch

    def forget_old(self, now: Instant) -> None:
        """Forget epochs that were not used for 30 days."""
        for source, epochs in list(self._sources.items()):
            self._drop_unused(epochs, now.mono)
            if not epochs:
                del self._sources[source]

    def _drop_unused(self, epochs: dict[bytes, _Epoch], now: float) -> None:
        for name in [name for name, one in epochs.items() if now - one.used_at > EPOCH_LIFE_S]:
            del epochs[name]

    def __len__(self) -> int:
        return sum(len(one.numbers) for epochs in self._sources.values() for one in epochs.values())


class ForeignIds:
    """Ids that published nodes made."""

    def __init__(self) -> None:
        self._sources: dict[NodeId, OrderedDict[MessageId, float]] = {}

    def restore(self, records: Iterable[ForeignId], now: Instant) -> None:
        """Take over what was remembered, the oldest first."""
        for record in sorted(records, key=lambda one: one.arrived_wall):
            age_s = max(0.0, now.wall - record.arrived_wall)
            self._put(record.source, record.id, now.mono - age_s)

    def is_known(self, source: NodeId, message_id: MessageId) -> bool:
        """Tell whether an id arrived lately."""
        return message_id in self._sources.get(source, ())

    def add(self, source: NodeId, message_id: MessageId, now: Instant) -> None:
        """Remember an id."""
        self._put(source, message_id, now.mono)

    def _put(self, source: NodeId, message_id: MessageId, at: float) -> None:
        ids = self._sources.setdefault(source, OrderedDict())
        ids[message_id] = at
        if len(ids) > MAX_FOREIGN_IDS:
            ids.popitem(last=False)

    def forget_old(self, now: Instant) -> None:
        """Forget ids that arrived more than 25 hours ago."""
        for source, ids in list(self._sources.items()):
            while ids and now.mono - next(iter(ids.values())) > FOREIGN_LIFE_S:
                ids.popitem(last=False)
            if not ids:
                del self._sources[source]

    def __len__(self) -> int:
        return sum(map(len, self._sources.values()))

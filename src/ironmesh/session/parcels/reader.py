"""Takes the parcels of one source in their order, and never one twice (docs/protocol-mesh.md).

Parcels overtake each other where there are several ways. One that came too early waits a moment for
those before it. If they do not come, the stream is broken: what waited is dropped, and the source
is asked to begin a new stream. What it had sent without a receipt it then sends again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeGuard

from ironmesh.errors import RemoteProtocolError
from ironmesh.session.native.chunks import Reassembly
from ironmesh.types import PRIORITIES, Message, MessageType, NodeId, Refusal
from ironmesh.wire.native.messages import Control, decode
from ironmesh.wire.native.parcels import InOrder, Reset, Unordered, decode_content, encode_reset
from ironmesh.wire.native.registry import ControlType, is_for_destinations
from ironmesh.wire.receipts import Floor, is_live
from ironmesh.wire.receipts import decode as decode_receipts

GAP_S: Final = 1.0
"""How long parcels wait for one before them."""
MAX_WAITING: Final = 64
"""Parcels that wait, of one source."""
MAX_WAITING_BYTES: Final = 4 * 1024 * 1024
RESET_EVERY_S: Final = 1.0

_Items = list[Message | Control]


class Taken(NamedTuple):
    """What a parcel led to."""

    messages: Sequence[Message] = ()
    """In order, each once; receipts that stand before the others at once, in any order."""
    reset: bytes | None = None
    """The content of a parcel to send to the source: it is to begin a new stream."""
    peer_reset: Reset | None = None
    """The source asks us to begin a new stream toward it."""
    refused: Refusal | None = None
    """REPLAY: it was taken before, or its stream is over; ORDER: parcels before it are missing;
    BAD_BODY, TOO_LARGE: chunks that do not fit together."""


class _Waiting(NamedTuple):
    items: _Items
    size_bytes: int


class _Lane:
    """One priority of the present stream."""

    __slots__ = ("gap_until", "is_broken", "next", "waiting")

    def __init__(self, *, is_broken: bool = False) -> None:
        self.next = 0
        self.waiting: dict[int, _Waiting] = {}
        self.gap_until: float | None = None
        self.is_broken = is_broken

    def give_up(self) -> None:
        self.waiting.clear()
        self.gap_until = None
        self.is_broken = True


class ParcelReader:
    """The parcels of one source.

    Args:
        stream: a stream of which we know only that it was; None = nothing is known.
    """

    def __init__(self, source: NodeId, own_id: NodeId, stream: int | None = None) -> None:
        self._source = source
        self._own_id = own_id
        self._stream = stream
        self._lanes = {priority: _Lane(is_broken=stream is not None) for priority in PRIORITIES}
        self._chunks = Reassembly(source, own_id)
        self._next_reset_at = float("-inf")

    @property
    def stream(self) -> int | None:
        """The latest stream that was seen."""
        return self._stream

    @property
    def size_bytes(self) -> int:
        """Bytes that wait: for parcels before them, or for the rest of their message."""
        return self._waiting_bytes + self._chunks.size_bytes

    @property
    def _waiting_bytes(self) -> int:
        lanes = self._lanes.values()
        return sum(one.size_bytes for lane in lanes for one in lane.waiting.values())

    @property
    def next_timer(self) -> float | None:
        """When to call `timer`, in monotonic seconds; None = no need."""
        due = [lane.gap_until for lane in self._lanes.values() if lane.gap_until is not None]
        return min(due, default=None)

    def take(self, content: bytes, now: float, *, is_fresh: bool = True) -> Taken:
        """Take what an authenticated parcel held.

        Args:
            now: monotonic seconds.
            is_fresh: it cannot be of before this run; if it can, messages that nobody remembers
                are left out, for they may have been handled then.

        Raises:
            RemoteProtocolError: malformed, or with messages that do not belong there.
        """
        said = decode_content(content)
        if isinstance(said, Reset):
            return Taken(peer_reset=said)
        items = self._items(said, is_fresh=is_fresh)
        receipts = _leading_receipts(items)
        if self._stream is None or said.stream > self._stream:
            self._begin(said.stream)
        elif said.stream < self._stream:
            return self._refused(Refusal.REPLAY, said.stream, now)
        if isinstance(said, Unordered):
            return Taken(receipts)
        taken = self._place(said, _Waiting(items[len(receipts) :], len(content)), now)
        if receipts and taken.refused is not Refusal.REPLAY:
            return taken._replace(messages=[*receipts, *taken.messages])
        return taken

    def timer(self, now: float) -> Taken:
        """Give up what waited too long."""
        is_late = False
        for lane in self._lanes.values():
            if lane.gap_until is not None and lane.gap_until <= now:
                lane.give_up()
                is_late = True
        return self._refused(Refusal.ORDER, self._stream or 0, now) if is_late else Taken()

    def give_up(self) -> None:
        """Drop all that waits, to make room; the source starts over when it goes on."""
        for lane in self._lanes.values():
            lane.give_up()
        self._chunks.forget()

    # --- Placing -----------------------------------------------------------------------------

    def _begin(self, stream: int) -> None:
        self._stream = stream
        self._lanes = {priority: _Lane() for priority in PRIORITIES}
        self._chunks.forget()

    def _place(self, said: InOrder, parcel: _Waiting, now: float) -> Taken:
        lane = self._lanes[said.priority]
        if lane.is_broken:
            return self._refused(Refusal.ORDER, said.stream, now)
        if said.sequence < lane.next or said.sequence in lane.waiting:
            return Taken(refused=Refusal.REPLAY)
        if said.sequence > lane.next:
            count = sum(len(each.waiting) for each in self._lanes.values())
            is_over = self._waiting_bytes + parcel.size_bytes > MAX_WAITING_BYTES
            if count >= MAX_WAITING or is_over:
                lane.give_up()
                return self._refused(Refusal.ORDER, said.stream, now)
            lane.waiting[said.sequence] = parcel
            if lane.gap_until is None:
                lane.gap_until = now + GAP_S
            return Taken()
        lane.waiting[said.sequence] = parcel
        return self._drain(lane, now)

    def _drain(self, lane: _Lane, now: float) -> Taken:
        messages: list[Message] = []
        while (parcel := lane.waiting.pop(lane.next, None)) is not None:
            try:
                self._read(parcel.items, messages)
            except RemoteProtocolError as error:
                lane.give_up()
                return self._refused(error.reason, self._stream or 0, now, messages)
            lane.next += 1
        lane.gap_until = now + GAP_S if lane.waiting else None
        return Taken(messages)

    def _read(self, items: _Items, messages: list[Message]) -> None:
        for item in items:
            message = item if isinstance(item, Message) else self._chunks.take(item)
            if message is not None:
                messages.append(message)

    def _refused(
        self, why: Refusal, stream: int, now: float, messages: Sequence[Message] = ()
    ) -> Taken:
        """Say that a parcel was not taken, and now and then ask the source to start over."""
        reset = None
        if now >= self._next_reset_at and self._stream is not None:
            self._next_reset_at = now + RESET_EVERY_S
            reset = encode_reset(Reset(stream, self._stream))
        return Taken(messages, reset, refused=why)

    # --- Reading -----------------------------------------------------------------------------

    def _items(self, said: InOrder | Unordered, *, is_fresh: bool) -> _Items:
        items = decode(said.messages, self._source, self._own_id)
        is_fitting = _is_receipts if isinstance(said, Unordered) else _is_for_destinations
        if not all(map(is_fitting, items)):
            raise RemoteProtocolError(
                Refusal.PROTOCOL, "a parcel that holds what does not belong into one"
            )
        return items if is_fresh else [item for item in items if not _is_forgettable(item)]


def _is_for_destinations(item: Message | Control) -> bool:
    if isinstance(item, Message):
        return is_for_destinations(item.type)
    return item.kind is ControlType.CHUNK


def _is_receipts(item: Message | Control) -> TypeGuard[Message]:
    """Tell whether an item holds receipts alone, which need no place among others."""
    return (
        isinstance(item, Message)
        and item.type == MessageType.ACK
        and not any(isinstance(said, Floor) for said in decode_receipts(item.payload))
    )


def _leading_receipts(items: _Items) -> list[Message]:
    """Return the receipts before anything else."""
    receipts: list[Message] = []
    for item in items:
        if not _is_receipts(item):
            break
        receipts.append(item)
    return receipts


def _is_forgettable(item: Message | Control) -> bool:
    """Tell whether a message is one that nobody would recognise if it came again."""
    return isinstance(item, Message) and item.type != MessageType.ACK and is_live(item.id)

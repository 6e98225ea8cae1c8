"""What our nodes tell each other about messages: receipts and floors, the payload of type ACK.

    payload   version(1) = 1, then items up to its end
    FLOOR     kind(1) = 1, flags(1), epoch(8), number(varint)
    RECEIPT   kind(1) = 2, verdict(1), length(1) and UTF-8 of the reason, groups(varint), and each:
              epoch(8), runs(varint), and each run of numbers: gap(varint), further numbers(varint)

An id is epoch (8 bytes) and number (8 bytes, below 2**63). The gap of a run counts from the end of
the run before it, in the first run from 0. Varints are LEB128 in their shortest form. There is
one way to write what is said, but for the order of items and groups.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from struct import Struct
from typing import Final

import msgspec

from ironmesh.errors import RemoteProtocolError
from ironmesh.types import MessageId, Refusal

VERSION: Final = 1
MAX_PAYLOAD_BYTES: Final = 128 * 1024
MAX_IDS: Final = 4096
"""In all receipts of one payload."""
MAX_ITEMS: Final = 256
MAX_REASON_BYTES: Final = 200
EPOCH_BYTES: Final = 8
MESSAGE_ID_BYTES: Final = 16
LIVE_NUMBER_BYTES: Final = MESSAGE_ID_BYTES - EPOCH_BYTES
LIVE_EPOCH: Final = bytes(EPOCH_BYTES)
"""Of messages that are sent once, over a link that is up, and not kept."""
MAX_NUMBER: Final = 2**63 - 1

_ID: Final = Struct(">8sQ")
_MAX_VARINT_BYTES: Final = 9
_KIND_FLOOR: Final = 1
_KIND_RECEIPT: Final = 2
_FLAG_RESTART: Final = 0x01


class Verdict(IntEnum):
    """What a destination says about a message."""

    ACCEPTED = 1
    """It is on disk."""
    HELD = 2
    """It is on disk and waits for the operator."""
    REFUSED = 3
    """It will never be taken."""
    BUSY = 4
    """It was not taken now, nor is any other new one until its source starts over."""


class Receipt(msgspec.Struct, frozen=True):
    """One verdict on some messages of the node that it is sent to."""

    verdict: Verdict
    ids: tuple[MessageId, ...]
    reason: str = ""
    """Why, for people; at most 200 bytes of UTF-8."""


class Floor(msgspec.Struct, frozen=True, gc=False):
    """All ids of one epoch of the sender below a number are settled."""

    epoch: bytes
    number: int
    is_restart: bool = False
    """From here on the sender starts over with what is not settled, oldest first."""


Item = Receipt | Floor


def split_id(message_id: MessageId) -> tuple[bytes, int]:
    """Return epoch and number of an id."""
    epoch, number = _ID.unpack(message_id)
    return epoch, number


def live_id(number: int) -> MessageId:
    """Return the id of a message that is not kept: no epoch, and a number below 2**64."""
    return MessageId(LIVE_EPOCH + number.to_bytes(LIVE_NUMBER_BYTES, "big"))


def is_live(message_id: MessageId) -> bool:
    """Tell whether a message of ours is not kept: nobody remembers its id or receipts it."""
    return message_id.startswith(LIVE_EPOCH)


def join_id(epoch: bytes, number: int) -> MessageId:
    """Return the id of an epoch and a number."""
    return MessageId(epoch + number.to_bytes(8, "big"))


# --- Encoding ------------------------------------------------------------------------------------


def encode(items: Sequence[Item]) -> bytes:
    """Return the payload that says `items`.

    Raises:
        ValueError: more than a payload may hold, or a number out of range; a bug of ours.
    """
    if len(items) > MAX_ITEMS or _count_ids(items) > MAX_IDS:
        raise ValueError("more than one payload may hold")
    out = bytearray((VERSION,))
    for item in items:
        if isinstance(item, Floor):
            out += bytes((_KIND_FLOOR, _FLAG_RESTART if item.is_restart else 0))
            out += item.epoch
            _put_varint(out, item.number)
        else:
            _put_receipt(out, item)
    return bytes(out)


def share_out(items: Iterable[Item]) -> list[list[Item]]:
    """Return items in their order, in as many lists as payloads are needed to say them."""
    shares: list[list[Item]] = []
    count = 0
    for item in items:
        more = _count_ids([item])
        if not shares or len(shares[-1]) == MAX_ITEMS or count + more > MAX_IDS:
            shares.append([])
            count = 0
        shares[-1].append(item)
        count += more
    return shares


def _count_ids(items: Iterable[Item]) -> int:
    return sum(len(item.ids) for item in items if isinstance(item, Receipt))


def _put_receipt(out: bytearray, receipt: Receipt) -> None:
    reason = receipt.reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore").encode()
    out += bytes((_KIND_RECEIPT, receipt.verdict, len(reason)))
    out += reason
    groups: dict[bytes, set[int]] = {}
    for epoch, number in map(_ID.unpack, receipt.ids):
        groups.setdefault(epoch, set()).add(number)
    _put_varint(out, len(groups))
    for epoch, numbers in sorted(groups.items()):
        out += epoch
        runs = list(_runs(sorted(numbers)))
        _put_varint(out, len(runs))
        end = 0
        for first, last in runs:
            _put_varint(out, first - end)
            _put_varint(out, last - first)
            end = last + 1


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield first and last of each run of consecutive numbers; `numbers` ascend."""
    first = last = numbers[0]
    for number in numbers[1:]:
        if number != last + 1:
            yield first, last
            first = number
        last = number
    yield first, last


def _put_varint(out: bytearray, number: int) -> None:
    if not 0 <= number <= MAX_NUMBER:
        raise ValueError("a number out of range")
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


# --- Decoding ------------------------------------------------------------------------------------


def decode(payload: bytes) -> tuple[Item, ...]:
    """Return what a payload says.

    Raises:
        RemoteProtocolError: TOO_LARGE: more than a payload may hold; BAD_BODY: anything else.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise _too_large()
    reader = _Reader(payload)
    if reader.byte() != VERSION:
        raise RemoteProtocolError(Refusal.BAD_BODY, "receipts of an unknown version")
    items: list[Item] = []
    while not reader.is_at_end:
        if len(items) == MAX_ITEMS:
            raise _too_large()
        items.append(reader.item())
    return tuple(items)


def _too_large() -> RemoteProtocolError:
    return RemoteProtocolError(Refusal.TOO_LARGE, "more receipts than one message may hold")


def _bad(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(Refusal.BAD_BODY, f"malformed receipts: {what}")


class _Reader:
    """Walks through a payload."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._ids_left = MAX_IDS

    @property
    def is_at_end(self) -> bool:
        return self._at == len(self._data)

    def item(self) -> Item:
        kind = self.byte()
        if kind == _KIND_FLOOR:
            return self._floor()
        if kind == _KIND_RECEIPT:
            return self._receipt()
        raise _bad("an unknown kind")

    def byte(self) -> int:
        return self._take(1)[0]

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise _bad("cut off")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def _varint(self) -> int:
        value = 0
        for place in range(_MAX_VARINT_BYTES):
            byte = self.byte()
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                if byte == 0 and place:
                    raise _bad("a number in more bytes than it needs")
                return value
        raise _bad("a number out of range")

    def _floor(self) -> Floor:
        flags = self.byte()
        if flags & ~_FLAG_RESTART:
            raise _bad("an unknown flag")
        epoch = self._take(EPOCH_BYTES)
        return Floor(epoch, self._varint(), bool(flags & _FLAG_RESTART))

    def _receipt(self) -> Receipt:
        try:
            verdict = Verdict(self.byte())
            reason = self._reason()
        except ValueError as error:
            raise _bad("an unknown verdict, or a reason that is no UTF-8") from error
        ids: list[MessageId] = []
        seen: set[bytes] = set()
        for _ in range(self._count()):
            epoch = self._take(EPOCH_BYTES)
            if epoch in seen:
                raise _bad("one epoch twice")
            seen.add(epoch)
            ids.extend(self._group(epoch))
        if not ids:
            raise _bad("a receipt for nothing")
        return Receipt(verdict, tuple(ids), reason)

    def _reason(self) -> str:
        size = self.byte()
        if size > MAX_REASON_BYTES:
            raise _bad("a long reason")
        return self._take(size).decode()

    def _count(self) -> int:
        count = self._varint()
        if count > self._ids_left:
            raise _too_large()
        return count

    def _group(self, epoch: bytes) -> list[MessageId]:
        ids: list[MessageId] = []
        runs = self._count()
        if not runs:
            raise _bad("an epoch without numbers")
        end = 0
        for place in range(runs):
            gap, more = self._varint(), self._varint()
            if place and not gap:
                raise _bad("two runs that are one")
            first = end + gap
            end = first + more + 1
            if more >= self._ids_left:
                raise _too_large()
            if end > MAX_NUMBER + 1:
                raise _bad("a number out of range")
            self._ids_left -= more + 1
            ids += [MessageId(_ID.pack(epoch, number)) for number in range(first, end)]
        return ids

"""Fills parcels for one destination: everything that is ready goes into as few as can be.

A stream is what its reader takes in order. Whatever may have been lost, the writer begins a new one
and the outbox starts over with the oldest message, so a reader never has to guess.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from ironmesh.errors import LocalProtocolError
from ironmesh.session.interface import Piece
from ironmesh.session.native.chunks import CHUNK_HEAD_BYTES, split
from ironmesh.session.native.limits import PACK_MESSAGES
from ironmesh.types import PRIORITIES, Message, MessagePriority, MessageType, NodeId
from ironmesh.wire.native.messages import MAX_HEAD_BYTES, MAX_VARINT_BYTES, encode_prefix
from ironmesh.wire.native.parcels import (
    MAX_CONTENT_BYTES,
    MAX_STREAM,
    Reset,
    in_order_head,
    unordered_head,
)
from ironmesh.wire.native.registry import is_for_destinations
from ironmesh.wire.receipts import Floor, decode

MAX_HEAD: Final = 1 + 4 + 9
"""Of a content, before its messages."""
MIN_CONTENT_BYTES: Final = MAX_HEAD + CHUNK_HEAD_BYTES + MAX_HEAD_BYTES + MAX_VARINT_BYTES + 1
COMPANY_BYTES: Final = 2048
"""Receipts go with messages in a parcel of up to this; a larger one may be long on its way."""
_ACK: Final = MessageType.ACK.value
_SPARE_STREAMS: Final = 2**20
"""A reader cannot push us so close to the last number that we run out of them."""


class WrittenParcel(NamedTuple):
    """The content of one parcel, to be sealed."""

    priority: MessagePriority
    """How urgent it is on the way; the content says so itself to its destination."""
    content: bytes


class ParcelWriter:
    """Puts messages for one destination into parcels.

    Args:
        stream: larger than any before: from the own clock, when the node started.
    """

    def __init__(self, own_id: NodeId, destination: NodeId, stream: int) -> None:
        self._own_id = own_id
        self._destination = destination
        self._stream = min(stream, MAX_STREAM - 2 * _SPARE_STREAMS)
        self._sequences = dict.fromkeys(PRIORITIES, 0)

    @property
    def stream(self) -> int:
        """The number of the present stream."""
        return self._stream

    def restart(self) -> None:
        """Begin a new stream, since what was written may be lost; the outbox starts over."""
        self._stream += 1
        self._sequences = dict.fromkeys(PRIORITIES, 0)

    def reset(self, reset: Reset) -> bool:
        """Begin a new stream if the destination cannot go on with this one; True if so.

        Only the present stream counts, so a reset that is repeated does nothing.
        """
        if reset.stream != self._stream or reset.above > MAX_STREAM - _SPARE_STREAMS:
            return False
        self._stream = max(self._stream, reset.above)
        self.restart()
        return True

    def write(
        self,
        messages: Sequence[Message],
        piece: Piece | None = None,
        max_bytes: int = MAX_CONTENT_BYTES,
    ) -> list[WrittenParcel]:
        """Return the contents that hold the messages, then the piece; none waits for more.

        A message given up before its last piece is forgotten by the destination when the first
        piece of another one of its priority comes.

        Args:
            max_bytes: of each content, at least `MIN_CONTENT_BYTES`: what the first link carries.

        Raises:
            LocalProtocolError: a message that is not ours to send to this destination.
        """
        self._check(messages if piece is None else (*messages, piece.message))
        room = max_bytes - MAX_HEAD
        receipts: list[tuple[MessagePriority, bytes]] = []
        ordered: dict[MessagePriority, list[Message | Piece]] = {}
        for message in messages:
            body = _unordered(message, room)
            if body is None:
                ordered.setdefault(message.priority, []).append(message)
            else:
                receipts.append((message.priority, body))
        if piece is not None:
            ordered.setdefault(piece.message.priority, []).append(piece)
        bodies = [
            (priority, body)
            for priority in sorted(ordered, key=PRIORITIES.index)
            for body in _packed(ordered[priority], room)
        ]
        if bodies and _fit_together(receipts, bodies[0][1], room):
            priority, body = bodies[0]
            bodies[0] = priority, b"".join((*(one for _, one in receipts), body))
            receipts = []
        return [
            *(WrittenParcel(one, unordered_head(self._stream) + body) for one, body in receipts),
            *(WrittenParcel(one, self._next_head(one) + body) for one, body in bodies),
        ]

    def _next_head(self, priority: MessagePriority) -> bytes:
        sequence = self._sequences[priority]
        self._sequences[priority] += 1
        return in_order_head(priority, self._stream, sequence)

    def _check(self, messages: Iterable[Message]) -> None:
        own_id, destination = self._own_id, self._destination
        for message in messages:
            if message.source != own_id or message.destination != destination:
                raise LocalProtocolError("only messages of this node to this destination go here")
            if not is_for_destinations(message.type):
                raise LocalProtocolError(f"messages of type {message.type!a} are not sealed")


def _unordered(message: Message, room: int) -> bytes | None:
    """Return a message that needs no place among others, as it is written; else None."""
    if message.type != _ACK or len(message.payload) > room - MAX_HEAD_BYTES:
        return None
    if any(isinstance(item, Floor) for item in decode(message.payload)):
        return None
    return encode_prefix(message) + message.payload


def _fit_together(
    receipts: Sequence[tuple[MessagePriority, bytes]], body: bytes, room: int
) -> bool:
    """Tell whether receipts can stand before the messages of a parcel."""
    size = len(body) + sum(len(one) for _, one in receipts)
    return size <= min(room, COMPANY_BYTES)


def _packed(items: Iterable[Message | Piece], room: int) -> list[bytes]:
    """Return what fills one parcel each."""
    bodies: list[bytes] = []
    parts: list[bytes | memoryview] = []
    size = count = 0
    for item in items:
        for prefix, data in _parts(item, room):
            more = len(prefix) + len(data)
            if count == PACK_MESSAGES or (count and size + more > room):
                bodies.append(b"".join(parts))
                parts = []
                size = count = 0
            parts += (prefix, data)
            size += more
            count += 1
    bodies.append(b"".join(parts))
    return bodies


def _parts(item: Message | Piece, room: int) -> Iterable[tuple[bytes, bytes | memoryview]]:
    """Return what stands before a message and the message, or each of its chunks likewise."""
    if isinstance(item, Piece):
        return split(item, room)
    prefix, payload = encode_prefix(item), item.payload
    if len(prefix) + len(payload) <= room:
        return ((prefix, payload),)
    return split(Piece(item, 0, len(payload)), room)

"""Large messages in pieces, out and in: one stream for each priority, each bounded.

Nothing is allocated for what a peer only announces: a stream grows as its bytes come.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Final

from ironmesh.errors import RemoteProtocolError
from ironmesh.session.interface import Piece
from ironmesh.session.native.limits import CHUNK_BYTES, MAX_PAYLOAD_BYTES
from ironmesh.types import Message, NodeId, Refusal
from ironmesh.wire.native.messages import (
    FLAG_FIRST,
    MAX_VARINT_BYTES,
    PRIORITY_BITS,
    Control,
    Head,
    decode_head,
    encode_head,
    take_varint,
    varint,
)
from ironmesh.wire.native.registry import ControlType

CHUNK_HEAD_BYTES: Final = 2 + MAX_VARINT_BYTES


def split(piece: Piece, capacity: int) -> Iterator[tuple[bytes, memoryview]]:
    """Yield what stands before the data of each chunk of a piece, and the data.

    Args:
        capacity: bytes that both may have together, more than the longest head.
    """
    message, at, size = piece
    payload = memoryview(message.payload)
    head = encode_head(message)
    end = at + size
    while at < end:
        flags = head[1] & PRIORITY_BITS
        first = b""
        if not at:
            flags |= FLAG_FIRST
            first = varint(len(payload)) + head
        room = min(CHUNK_BYTES, capacity - CHUNK_HEAD_BYTES - len(first))
        data = payload[at : min(at + room, end)]
        prefix = bytes((ControlType.CHUNK, flags)) + varint(len(first) + len(data)) + first
        yield prefix, data
        at += len(data)


class _Stream:
    __slots__ = ("buffer", "head", "rest_bytes")

    def __init__(self, head: Head, total_bytes: int) -> None:
        self.head = head
        self.rest_bytes = total_bytes
        self.buffer = BytesIO()


class Reassembly:
    """Puts the pieces of one peer together; at most 64 MiB wait in it.

    Args:
        source: who writes the messages.
        destination: who reads them.
    """

    __slots__ = ("_destination", "_source", "_streams")

    def __init__(self, source: NodeId, destination: NodeId) -> None:
        self._source = source
        self._destination = destination
        self._streams: dict[int, _Stream] = {}

    @property
    def size_bytes(self) -> int:
        """Bytes that wait for the rest of their message."""
        return sum(stream.buffer.tell() for stream in self._streams.values())

    def take(self, chunk: Control) -> Message | None:
        """Take a CHUNK; return the message that it completes.

        Raises:
            RemoteProtocolError: malformed, over the limit, or it continues nothing.
        """
        place = chunk.flags & PRIORITY_BITS
        start = self._begin(chunk, place) if chunk.flags & FLAG_FIRST else 0
        stream = self._streams.get(place)
        if stream is None:
            raise _bad("a chunk that continues nothing")
        data = memoryview(chunk.body)[start:]
        if not data:
            raise _bad("a chunk with nothing in it")
        if len(data) > stream.rest_bytes:
            raise _bad("more in chunks than was announced")
        stream.buffer.write(data)
        stream.rest_bytes -= len(data)
        if stream.rest_bytes:
            return None
        del self._streams[place]
        # BytesIO gives its buffer away without a copy of what may be many megabytes.
        return stream.head.message(stream.buffer.getvalue(), self._source, self._destination)

    def forget(self) -> None:
        """Drop what waits."""
        self._streams.clear()

    def _begin(self, chunk: Control, place: int) -> int:
        """Begin a stream, in place of one that the peer gave up; return where its data begin."""
        try:
            total_bytes, at = take_varint(chunk.body, 0)
            head, at = decode_head(chunk.body, at)
        except IndexError as error:
            raise _bad("a chunk that is cut off") from error
        if total_bytes > MAX_PAYLOAD_BYTES:
            raise RemoteProtocolError(
                Refusal.TOO_LARGE,
                f"a message of {total_bytes} bytes, where {MAX_PAYLOAD_BYTES} are the most",
            )
        if head.flags & PRIORITY_BITS != place:
            raise _bad("a chunk of another priority than its message")
        self._streams[place] = _Stream(head, total_bytes)
        return at


def _bad(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(Refusal.BAD_BODY, what)

"""Fills records: as many messages in each as fit, and large messages in chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ironmesh.session.interface import Piece
from ironmesh.session.native.chunks import CHUNK_HEAD_BYTES, split
from ironmesh.session.native.limits import CHUNK_BYTES, PACK_BYTES, PACK_MESSAGES
from ironmesh.session.native.sealing import RecordWriter
from ironmesh.types import MeshType, Message, Secret, Unit
from ironmesh.wire.native.messages import MAX_VARINT_BYTES, encode_prefix
from ironmesh.wire.native.records import OVERHEAD_BYTES

_PARTS_OF_ONE: Final = 2
_USUAL_HEAD_BYTES: Final = CHUNK_HEAD_BYTES + MAX_VARINT_BYTES + 32


class Packer:
    """Puts messages into records, in the order in which they are given.

    Args:
        max_bytes: the largest record that the transport takes.
    """

    __slots__ = (
        "_capacity",
        "_count",
        "_is_signed",
        "_parts",
        "_room",
        "_size",
        "_writer",
        "units",
    )

    def __init__(self, writer: RecordWriter, max_bytes: int) -> None:
        self._writer = writer
        self._capacity = max_bytes - OVERHEAD_BYTES
        self._room = min(PACK_BYTES, self._capacity)
        self._parts: list[bytes | memoryview] = []
        self._size = self._count = 0
        self._is_signed = False
        self.units: list[Unit] = []
        """The records that are full."""

    def put_control(self, control: bytes, *, is_signed: bool = True) -> None:
        """Add a control message."""
        self._put(control, b"", is_signed=is_signed)

    def put_messages(self, messages: Sequence[Message]) -> None:
        """Add messages, in chunks those that are too large for one record."""
        capacity, parcel = self._capacity, MeshType.PARCEL
        for message in messages:
            prefix, payload = encode_prefix(message), message.payload
            size = len(prefix) + len(payload)
            if size > capacity or len(payload) > PACK_BYTES:
                self.put_piece(Piece(message, 0, len(payload)))
                continue
            if self._count and (self._count == PACK_MESSAGES or self._size + size > self._room):
                self.flush()
            self._parts += (prefix, payload)
            self._size += size
            self._count += 1
            self._is_signed = self._is_signed or message.type != parcel

    def put_piece(self, piece: Piece) -> None:
        """Add a part of a message, in as many chunks as it needs."""
        for prefix, data in split(piece, self._capacity):
            self._put(prefix, data)

    def flush(self) -> None:
        """Seal what is there."""
        if self._parts:
            # A large message is two parts, which are put together once; many small ones are quicker
            # to sign as a whole.
            parts = self._parts if len(self._parts) == _PARTS_OF_ONE else [b"".join(self._parts)]
            self.units.append(self._writer.seal(*parts, is_signed=self._is_signed))
            self._parts = []
            self._size = self._count = 0
            self._is_signed = False

    def switch(self, chain: Secret) -> None:
        """Seal what is there as the last record of the phase."""
        self.flush()
        self._writer.next_phase(chain)

    def _put(self, prefix: bytes, payload: bytes | memoryview, *, is_signed: bool = True) -> None:
        size = len(prefix) + len(payload)
        if self._count and (self._count == PACK_MESSAGES or self._size + size > self._room):
            self.flush()
        self._parts += (prefix, payload)
        self._size += size
        self._count += 1
        self._is_signed = self._is_signed or is_signed


def piece_bytes(max_bytes: int) -> int:
    """Return the largest part of a payload that a record of at most `max_bytes` is asked to hold.

    One that needs more, since its type has a long name, is divided once more when it is packed.
    """
    return min(CHUNK_BYTES, max_bytes - OVERHEAD_BYTES - _USUAL_HEAD_BYTES)

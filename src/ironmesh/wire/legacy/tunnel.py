"""Our own wire over published relays: the payload of frames of the type IM5.

    version(1) flags(1) tunnel(8) number(4) data

The tunnel's number is random, chosen by the dialling end. Frames of each direction count from 0; a
unit is cut into frames of at most 24 KiB, all but the last of which say MORE. What relays lose or
swap ends the tunnel, since the session in it allows no gap; what they repeat is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from ironmesh.errors import RemoteProtocolError
from ironmesh.types import Refusal

VERSION: Final = 1
HEAD_BYTES: Final = 1 + 1 + 8 + 4
TUNNEL_BYTES: Final = 8
MAX_DATA_BYTES: Final = 24 * 1024
MAX_UNIT_BYTES: Final = 1024 * 1024
"""As on every connection of our own wire."""
MAX_NUMBER: Final = 2**32 - 1

FLAG_DIALLER: Final = 0x01
"""The end that dialled wrote it."""
FLAG_MORE: Final = 0x02
"""The unit goes on in the next frame."""
FLAG_CLOSE: Final = 0x04
"""Nothing follows, or nobody knows the tunnel; without data, and counts whatever its number."""
_FLAGS: Final = FLAG_DIALLER | FLAG_MORE | FLAG_CLOSE


class TunnelFrame(NamedTuple):
    """What one frame carries."""

    tunnel: bytes
    number: int
    flags: int
    data: bytes

    @property
    def is_of_dialler(self) -> bool:
        """The end that dialled wrote it."""
        return bool(self.flags & FLAG_DIALLER)


def encode(frame: TunnelFrame) -> bytes:
    """Return the payload of a frame."""
    head = bytes((VERSION, frame.flags)) + frame.tunnel + frame.number.to_bytes(4, "big")
    return head + frame.data


def decode(payload: bytes) -> TunnelFrame:
    """Decode the payload of a frame.

    Raises:
        RemoteProtocolError: BAD_BODY or TOO_LARGE.
    """
    if len(payload) > HEAD_BYTES + MAX_DATA_BYTES:
        raise RemoteProtocolError(Refusal.TOO_LARGE, "a tunnel's frame is too large")
    if len(payload) < HEAD_BYTES or payload[0] != VERSION or payload[1] & ~_FLAGS:
        raise RemoteProtocolError(Refusal.BAD_BODY, "not a tunnel's frame that we know")
    frame = TunnelFrame(
        payload[2 : 2 + TUNNEL_BYTES],
        int.from_bytes(payload[2 + TUNNEL_BYTES : HEAD_BYTES], "big"),
        payload[1],
        payload[HEAD_BYTES:],
    )
    is_close = bool(frame.flags & FLAG_CLOSE)
    if is_close == bool(frame.data) or (is_close and frame.flags & FLAG_MORE):
        raise RemoteProtocolError(Refusal.BAD_BODY, "a tunnel's frame without sense")
    return frame


def unknown(frame: TunnelFrame) -> bytes:
    """Return what to answer to a frame of a tunnel that is not known here."""
    direction = 0 if frame.is_of_dialler else FLAG_DIALLER
    return encode(TunnelFrame(frame.tunnel, 0, direction | FLAG_CLOSE, b""))


class TunnelWriter:
    """Cuts units into frames.

    Args:
        is_dialler: this end dialled.
    """

    def __init__(self, tunnel: bytes, *, is_dialler: bool) -> None:
        self._tunnel = tunnel
        self._direction = FLAG_DIALLER if is_dialler else 0
        self._number = 0

    def frames(self, unit: bytes) -> Iterator[bytes]:
        """Yield the payloads that carry a unit, which is not empty."""
        for start in range(0, len(unit), MAX_DATA_BYTES):
            data = unit[start : start + MAX_DATA_BYTES]
            more = FLAG_MORE if start + len(data) < len(unit) else 0
            yield self._frame(more, data)

    def close(self) -> bytes:
        """Return the payload that says that nothing follows."""
        return self._frame(FLAG_CLOSE, b"")

    def _frame(self, flags: int, data: bytes) -> bytes:
        frame = TunnelFrame(self._tunnel, self._number, self._direction | flags, data)
        self._number += 1
        return encode(frame)


class TunnelReader:
    """Puts units together again."""

    def __init__(self) -> None:
        self._next = 0
        self._parts: list[bytes] = []
        self._size = 0
        self.is_closed = False
        """The other end said that nothing follows."""

    def take(self, frame: TunnelFrame) -> bytes | None:
        """Take a frame; return a unit if it is whole now.

        Raises:
            RemoteProtocolError: ORDER: something is missing, or came after the end; TOO_LARGE.
        """
        if frame.flags & FLAG_CLOSE:
            self.is_closed = True
            return None
        if frame.number < self._next:
            return None
        if frame.number > self._next or self.is_closed:
            raise RemoteProtocolError(Refusal.ORDER, "a relay lost a frame of the tunnel")
        self._next += 1
        self._size += len(frame.data)
        if self._size > MAX_UNIT_BYTES:
            raise RemoteProtocolError(Refusal.TOO_LARGE, "a unit in a tunnel is too large")
        self._parts.append(frame.data)
        if frame.flags & FLAG_MORE:
            return None
        unit = b"".join(self._parts)
        self._parts, self._size = [], 0
        return unit

"""What a router remembers across a restart: beacons, which are not verified again.

    version(1) = 1, then for each: beacon(141) hops(1)

Whoever keeps it sees to it that nobody else writes it. A remembered destination has no next hop
until a neighbour tells of it: a way from before the restart could lead in a circle, and neighbours
tell within 50 ms of a session. It is forgotten if nobody tells of it within the hold time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from ironmesh.errors import RemoteProtocolError
from ironmesh.types import Refusal
from ironmesh.wire.native.beacons import BEACON_BYTES, Beacon, decode_beacon, encode_beacon
from ironmesh.wire.native.routes import MAX_HOPS

_VERSION: Final = 1
_ITEM_BYTES: Final = BEACON_BYTES + 1


class Remembered(NamedTuple):
    """A destination as it was."""

    beacon: Beacon
    hops: int
    """How far it was away; 0 = it was lost."""


def encode_snapshot(items: Iterable[Remembered]) -> bytes:
    """Return what `decode_snapshot` reads."""
    pieces = [encode_beacon(item.beacon) + bytes((item.hops,)) for item in items]
    return bytes((_VERSION,)) + b"".join(pieces)


def decode_snapshot(data: bytes) -> list[Remembered]:
    """Return what a router remembered.

    Raises:
        RemoteProtocolError: BAD_BODY: not a snapshot of this version.
    """
    if not data or data[0] != _VERSION or (len(data) - 1) % _ITEM_BYTES:
        raise RemoteProtocolError(Refusal.BAD_BODY, "not a snapshot of routes")
    items = []
    for start in range(1, len(data), _ITEM_BYTES):
        hops = data[start + BEACON_BYTES]
        if hops > MAX_HOPS:
            raise RemoteProtocolError(Refusal.BAD_BODY, "a remembered route that is too long")
        items.append(Remembered(decode_beacon(data, start), hops))
    return items

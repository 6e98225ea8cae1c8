"""What neighbours tell each other about routes (docs/protocol-mesh.md, "Routes").

    ROUTES          part(1) [bucket(1)]
                    count(varint), and each: origin(16)                                 retracted
                    count(varint), and each: beacon(141) sequence(8) metric(3) hops(1)
                    count(varint), and each: origin(16) sequence(8) metric(3) hops(1)
    ROUTE_DIGEST    part(1), then hash(8) of all, or 256 times hash(4)
    ROUTE_REQUEST   count(varint), and each: origin(16) sequence(8) hops left(1)
                    count(varint), and each: origin(16)                           beacons wanted

The highest bit of `hops` says that one of them is radio. The origin of a beacon is that of its key.
There is one way to write each message.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from ironmesh.errors import RemoteProtocolError
from ironmesh.types import NodeId, Refusal
from ironmesh.wire.native.beacons import (
    BEACON_BYTES,
    MAX_SEQUENCE,
    Beacon,
    decode_beacon,
    encode_beacon,
)
from ironmesh.wire.native.messages import take_varint, varint

INFINITY: Final = 2**24 - 1
"""No metric reaches it."""
MAX_HOPS: Final = 127
BUCKETS: Final = 256
"""Destinations fall into buckets by the first byte of their id."""
MAX_ROUTES_BYTES: Final = 60 * 1024
MAX_REQUESTS: Final = 1024
"""Origins in one ROUTE_REQUEST, of each of its two lists."""
ORIGIN_BYTES: Final = 16
ALL: Final = -1
"""In place of a bucket: any destination."""

_RADIO: Final = 0x80
_FACTS: Final = struct.Struct(">QHBB")
_ENTRY: Final = struct.Struct(">16sQHBB")
_SEQUENCE_REQUEST: Final = struct.Struct(">16sQB")
ENTRY_BYTES: Final = _ENTRY.size
ANNOUNCED_BYTES: Final = BEACON_BYTES + _FACTS.size
"""Of a route with its beacon."""
_OF_ALL: Final = 0
_OF_BUCKETS: Final = 1


class RouteEntry(msgspec.Struct, frozen=True, gc=False):
    """How far a destination is from the node that says so."""

    origin: NodeId
    sequence: int
    """Of the beacon that this distance was measured with."""
    metric: int
    """Below INFINITY; 0 only where a node speaks of itself."""
    hops: int
    """As the metric: 0 only where a node speaks of itself."""
    is_radio: bool = False
    """At least one hop is radio."""


class Routes(msgspec.Struct, frozen=True, gc=False):
    """What changed in the routes that a neighbour tells us."""

    retracted: tuple[NodeId, ...] = ()
    """Destinations that it reaches no longer, or only through us."""
    routes: tuple[RouteEntry, ...] = ()
    beacons: tuple[Beacon, ...] = ()
    """Those of the first routes, in their order: what we have not been shown yet."""
    bucket: int = ALL
    """Of a bucket: this is all that the neighbour tells about its destinations."""


class RouteDigest(msgspec.Struct, frozen=True, gc=False):
    """What two neighbours agree on: by the teller of all, by the hearer of each bucket."""

    hashes: tuple[int, ...]
    """One of 64 bits over everything, or 256 of 32 bits, one for each bucket."""


class SequenceRequest(msgspec.Struct, frozen=True, gc=False):
    """Somebody needs a beacon of `origin` with at least this sequence."""

    origin: NodeId
    sequence: int
    hops_left: int
    """1 to 127: how much further it may be handed on."""


class RouteRequest(msgspec.Struct, frozen=True, gc=False):
    """What a neighbour asks us for."""

    sequences: tuple[SequenceRequest, ...] = ()
    beacons: tuple[NodeId, ...] = ()
    """Destinations whose beacons it lacks."""


# --- Encoding ------------------------------------------------------------------------------------


def encode_routes(routes: Routes) -> bytes:
    """Return a ROUTES body.

    Raises:
        ValueError: a value out of range; a bug of ours.
    """
    part = b"\0" if routes.bucket == ALL else bytes((1, routes.bucket))
    count = len(routes.beacons)
    announced, plain = routes.routes[:count], routes.routes[count:]
    pieces = [part, varint(len(routes.retracted)), *map(bytes.fromhex, routes.retracted)]
    pieces.append(varint(count))
    for beacon, entry in zip(routes.beacons, announced, strict=True):
        pieces += (encode_beacon(beacon), _facts(entry))
    pieces.append(varint(len(plain)))
    for entry in plain:
        pieces += (bytes.fromhex(entry.origin), _facts(entry))
    return b"".join(pieces)


def encode_digest(digest: RouteDigest) -> bytes:
    """Return a ROUTE_DIGEST body."""
    if len(digest.hashes) == 1:
        return bytes((_OF_ALL,)) + digest.hashes[0].to_bytes(8, "big")
    return struct.pack(f">B{BUCKETS}I", _OF_BUCKETS, *digest.hashes)


def encode_request(request: RouteRequest) -> bytes:
    """Return a ROUTE_REQUEST body."""
    pieces = [varint(len(request.sequences))]
    for each in request.sequences:
        origin = bytes.fromhex(each.origin)
        pieces.append(_SEQUENCE_REQUEST.pack(origin, each.sequence, each.hops_left))
    pieces.append(varint(len(request.beacons)))
    pieces += map(bytes.fromhex, request.beacons)
    return b"".join(pieces)


def entry_bytes(entry: RouteEntry) -> bytes:
    """Return what a route is on the wire without its beacon; digests are made of it."""
    metric, hops = entry.metric, entry.hops
    return _ENTRY.pack(
        bytes.fromhex(entry.origin),
        entry.sequence,
        metric >> 8,
        metric & 0xFF,
        hops | _RADIO if entry.is_radio else hops,
    )


def _facts(entry: RouteEntry) -> bytes:
    hops = entry.hops | _RADIO if entry.is_radio else entry.hops
    is_own = entry.metric == 0
    is_there = 0 <= entry.metric < INFINITY and 0 < entry.sequence <= MAX_SEQUENCE
    if not is_there or entry.hops > MAX_HOPS or is_own != (hops == 0):
        raise ValueError("not a route that can be written")
    return _FACTS.pack(entry.sequence, entry.metric >> 8, entry.metric & 0xFF, hops)


# --- Sizes ---------------------------------------------------------------------------------------


def size_of(value: Routes | RouteDigest | RouteRequest) -> int:
    """Return how many bytes a body has, without writing it."""
    if isinstance(value, Routes):
        retracted, announced = len(value.retracted), len(value.beacons)
        plain = len(value.routes) - announced
        return (
            (1 if value.bucket == ALL else 2)
            + sum(_varint_bytes(count) for count in (retracted, announced, plain))
            + retracted * ORIGIN_BYTES
            + announced * ANNOUNCED_BYTES
            + plain * ENTRY_BYTES
        )
    if isinstance(value, RouteDigest):
        return 1 + (8 if len(value.hashes) == 1 else 4 * BUCKETS)
    sequences, beacons = len(value.sequences), len(value.beacons)
    return (
        _varint_bytes(sequences)
        + sequences * _SEQUENCE_REQUEST.size
        + _varint_bytes(beacons)
        + beacons * ORIGIN_BYTES
    )


def _varint_bytes(number: int) -> int:
    return max(1, (number.bit_length() + 6) // 7)


# --- Decoding ------------------------------------------------------------------------------------


def decode_routes(data: bytes) -> Routes:
    """Return the value of a ROUTES body; signatures of beacons are not checked here.

    Raises:
        RemoteProtocolError: TOO_LARGE; TRUNCATED; BAD_BODY: a value that is not allowed.
    """
    if len(data) > MAX_ROUTES_BYTES:
        raise RemoteProtocolError(Refusal.TOO_LARGE, f"{len(data)} bytes of routes at once")
    try:
        bucket, at = _bucket(data)
        count, at = _count(data, at, ORIGIN_BYTES)
        retracted, at = _origins(data, at, count)
        count, at = _count(data, at, ANNOUNCED_BYTES)
        beacons: list[Beacon] = []
        routes: list[RouteEntry] = []
        for start in range(at, at + count * ANNOUNCED_BYTES, ANNOUNCED_BYTES):
            beacon = decode_beacon(data, start)
            beacons.append(beacon)
            facts = _FACTS.unpack_from(data, start + BEACON_BYTES)
            routes.append(_entry(beacon.origin, *facts))
        at += count * ANNOUNCED_BYTES
        count, at = _count(data, at, ENTRY_BYTES)
        for start in range(at, at + count * ENTRY_BYTES, ENTRY_BYTES):
            origin, *rest = _ENTRY.unpack_from(data, start)
            routes.append(_entry(NodeId(origin.hex()), *rest))
        _end(data, at + count * ENTRY_BYTES)
    except IndexError as error:
        raise _truncated() from error
    return Routes(retracted, tuple(routes), tuple(beacons), bucket)


def decode_digest(data: bytes) -> RouteDigest:
    """Return the value of a ROUTE_DIGEST body.

    Raises:
        RemoteProtocolError: TRUNCATED; BAD_BODY: another length, or part of something unknown.
    """
    if not data:
        raise _truncated()
    if data[0] == _OF_ALL and len(data) == 1 + 8:
        return RouteDigest((int.from_bytes(data[1:], "big"),))
    if data[0] == _OF_BUCKETS and len(data) == 1 + 4 * BUCKETS:
        return RouteDigest(struct.unpack(f">{BUCKETS}I", data[1:]))
    raise RemoteProtocolError(Refusal.BAD_BODY, "a digest of routes that is none")


def decode_request(data: bytes) -> RouteRequest:
    """Return the value of a ROUTE_REQUEST body.

    Raises:
        RemoteProtocolError: TOO_LARGE: too many requests; TRUNCATED; BAD_BODY.
    """
    try:
        count, at = _count(data, 0, _SEQUENCE_REQUEST.size)
        sequences = []
        for start in range(at, at + count * _SEQUENCE_REQUEST.size, _SEQUENCE_REQUEST.size):
            origin, sequence, hops_left = _SEQUENCE_REQUEST.unpack_from(data, start)
            if not sequence or not 0 < hops_left <= MAX_HOPS:
                raise _bad("a request that cannot be met")
            sequences.append(SequenceRequest(NodeId(origin.hex()), sequence, hops_left))
        at += count * _SEQUENCE_REQUEST.size
        wanted, at = _count(data, at, ORIGIN_BYTES)
        beacons, at = _origins(data, at, wanted)
        _end(data, at)
    except IndexError as error:
        raise _truncated() from error
    if max(count, wanted) > MAX_REQUESTS:
        raise RemoteProtocolError(Refusal.TOO_LARGE, "too many requests for routes at once")
    return RouteRequest(tuple(sequences), beacons)


def _bucket(data: bytes) -> tuple[int, int]:
    if data[0] == _OF_ALL:
        return ALL, 1
    if data[0] == _OF_BUCKETS:
        return data[1], 2
    raise _bad("routes of an unknown part")


def _count(data: bytes, at: int, size: int) -> tuple[int, int]:
    """Return how many things of `size` bytes follow and where they begin."""
    count, at = take_varint(data, at)
    if count * size > len(data) - at:
        raise _truncated()
    return count, at


def _origins(data: bytes, at: int, count: int) -> tuple[tuple[NodeId, ...], int]:
    end = at + count * ORIGIN_BYTES
    starts = range(at, end, ORIGIN_BYTES)
    return tuple(NodeId(data[start : start + ORIGIN_BYTES].hex()) for start in starts), end


def _entry(origin: NodeId, sequence: int, high: int, low: int, hops: int) -> RouteEntry:
    metric = high << 8 | low
    if not sequence or metric == INFINITY or (metric == 0) != (hops == 0):
        raise _bad("a route that cannot be")
    if hops & ~_RADIO == 0 and hops:
        raise _bad("radio on the way from a node to itself")
    return RouteEntry(origin, sequence, metric, hops & ~_RADIO, bool(hops & _RADIO))


def _end(data: bytes, at: int) -> None:
    if at != len(data):
        raise _bad("bytes after the end")


def _truncated() -> RemoteProtocolError:
    return RemoteProtocolError(Refusal.TRUNCATED, "routes that are cut off")


def _bad(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(Refusal.BAD_BODY, f"malformed routes: {what}")

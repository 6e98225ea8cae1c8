"""What neighbours say about parcels on their way (docs/protocol-mesh.md).

PARCEL        destination(16) hops left(1) parcel
UNREACHABLE   SHA-256 of the parcel(32) reason(1)
TRACE         trace(8) destination(16) hops left(1) hop(1)
TRACE_REPLY   trace(8) hop(1) node(16) outcome(1)
"""

from __future__ import annotations

import hashlib
import struct
from enum import IntEnum
from typing import Final, NamedTuple

from ironmesh.errors import RemoteProtocolError
from ironmesh.types import NodeId, Refusal

MAX_HOPS: Final = 128
"""Hops that a parcel may have left when its source sends it."""
HASH_BYTES: Final = 32
TRACE_BYTES: Final = 8
HEADER_BYTES: Final = 17

_UNREACHABLE: Final = struct.Struct(">32sB")
_TRACE: Final = struct.Struct(">8s16sBB")
_TRACE_REPLY: Final = struct.Struct(">8sB16sB")


class Header(NamedTuple):
    """What relays read of a parcel, beside its size."""

    destination: NodeId
    hops_left: int
    """So often it may still be handed on."""


class Obstacle(IntEnum):
    """Why a parcel came no further; the value is what travels."""

    NO_ROUTE = 1
    HOP_LIMIT = 2
    BUSY = 3
    """The next hop takes more than it can hand on; whoever sends through it slows down."""
    LINK_LOST = 4
    """The session that it was written to ended at once: it may have arrived all the same."""


class Unreachable(NamedTuple):
    """A parcel came no further. A hint: nothing is given up because of it."""

    parcel_hash: bytes
    obstacle: Obstacle


class Trace(NamedTuple):
    """Asks every node on the way to a destination to say that it is on it."""

    trace: bytes
    destination: NodeId
    hops_left: int
    hop: int
    """Which hop the reader is: 1 = a neighbour of whoever asked."""


class Outcome(IntEnum):
    """How it goes on behind a node that answers; the value is what travels."""

    ARRIVED = 0
    """It is the destination."""
    PASSED_ON = 1
    NO_ROUTE = 2
    HOP_LIMIT = 3
    DOES_NOT_RELAY = 4


class TraceReply(NamedTuple):
    """One node on the way, as it says itself; whoever hands the reply on can change it."""

    trace: bytes
    hop: int
    node: NodeId
    outcome: Outcome


# --- Parcels -------------------------------------------------------------------------------------


def encode_parcel(destination: NodeId, hops_left: int, parcel: bytes) -> bytes:
    """Return the body of a PARCEL."""
    return bytes.fromhex(destination) + bytes((hops_left,)) + parcel


def decode_header(body: bytes) -> Header:
    """Return what a relay reads of a PARCEL.

    Raises:
        RemoteProtocolError: BAD_BODY: it is cut off, or has more hops left than there may be.
    """
    if len(body) <= HEADER_BYTES or body[16] > MAX_HOPS:
        raise _bad("a parcel that is cut off, or goes too far")
    return Header(NodeId(body[:16].hex()), body[16])


def parcel_hash(body: bytes) -> bytes:
    """Return the SHA-256 of the parcel in the body of a PARCEL."""
    return hashlib.sha256(memoryview(body)[HEADER_BYTES:]).digest()


def handed_on(body: bytes) -> bytes:
    """Return the body of a PARCEL for the next hop: with one hop less."""
    return body[:16] + bytes((body[16] - 1,)) + body[HEADER_BYTES:]


def encode_unreachable(unreachable: Unreachable) -> bytes:
    """Return the body of an UNREACHABLE."""
    return _UNREACHABLE.pack(*unreachable)


def decode_unreachable(body: bytes) -> Unreachable:
    """Return what an UNREACHABLE says.

    Raises:
        RemoteProtocolError: BAD_BODY: of another size, or for an unknown reason.
    """
    if len(body) != _UNREACHABLE.size:
        raise _bad("an UNREACHABLE of another size")
    known, number = _UNREACHABLE.unpack(body)
    try:
        return Unreachable(known, Obstacle(number))
    except ValueError as error:
        raise _bad("an UNREACHABLE for an unknown reason") from error


# --- Traces --------------------------------------------------------------------------------------


def encode_trace(trace: Trace) -> bytes:
    """Return the body of a TRACE."""
    destination = bytes.fromhex(trace.destination)
    return _TRACE.pack(trace.trace, destination, trace.hops_left, trace.hop)


def decode_trace(body: bytes) -> Trace:
    """Return what a TRACE asks.

    Raises:
        RemoteProtocolError: BAD_BODY: of another size, or hops that cannot be.
    """
    if len(body) != _TRACE.size:
        raise _bad("a TRACE of another size")
    trace, destination, hops_left, hop = _TRACE.unpack(body)
    if not hop or hops_left + hop > MAX_HOPS:
        raise _bad("a TRACE with hops that cannot be")
    return Trace(trace, NodeId(destination.hex()), hops_left, hop)


def encode_trace_reply(reply: TraceReply) -> bytes:
    """Return the body of a TRACE_REPLY."""
    return _TRACE_REPLY.pack(reply.trace, reply.hop, bytes.fromhex(reply.node), reply.outcome)


def decode_trace_reply(body: bytes) -> TraceReply:
    """Return what a TRACE_REPLY says.

    Raises:
        RemoteProtocolError: BAD_BODY: of another size, or with an outcome or hop that cannot be.
    """
    if len(body) != _TRACE_REPLY.size:
        raise _bad("a TRACE_REPLY of another size")
    trace, hop, node, number = _TRACE_REPLY.unpack(body)
    if not 0 < hop <= MAX_HOPS:
        raise _bad("a TRACE_REPLY of a hop that cannot be")
    try:
        return TraceReply(trace, hop, NodeId(node.hex()), Outcome(number))
    except ValueError as error:
        raise _bad("a TRACE_REPLY with an unknown outcome") from error


def _bad(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(Refusal.BAD_BODY, what)

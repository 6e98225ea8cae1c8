"""The numbers of message types on our own wire (docs/protocol-records.md, "Type registry").

    0           a name follows
    1 - 15      the channel's own: they never reach the node
    16 - 63     of the mesh: no id and no time, since nobody receipts them
    64 - 127    of applications
    128 - 191   laid out like those of the mesh, and skipped by whoever does not know them
    192 - 255   never to be skipped

A number that is not listed is refused, but for those that are skipped.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ironmesh.types import BRIDGED, MeshType, MessageType

NAMED: Final = 0
"""A type that has no number: its name follows the flags."""


class ControlType(IntEnum):
    """What the two channels of a session say to each other."""

    READY = 1
    """The responder accepted the initiator; its first record."""
    PING = 2
    PONG = 3
    PAD = 4
    """Zeros that hide how much was said."""
    CLOSE = 5
    """The last message of a direction."""
    KEY_UPDATE = 6
    KEY_ANSWER = 7
    """The last message of its sender in the old phase."""
    KEY_UPDATED = 8
    """The last message of its sender in the old phase."""
    CHUNK = 9
    """A part of a message that is too large for one record."""


MESH_TYPES: Final = {
    16: MessageType.ACK.value,
    17: MessageType.CAPABILITY_ANNOUNCE.value,
    18: MessageType.CAPABILITY_QUERY.value,
    19: MessageType.ROUTE_ANNOUNCE.value,
    20: MessageType.ROUTE_UNREACHABLE.value,
    21: MessageType.REVOCATION.value,
    22: MeshType.NODE_RECORDS.value,
    23: MeshType.PARCEL.value,
    24: MeshType.ROUTES.value,
    25: MeshType.ROUTE_DIGEST.value,
    26: MeshType.ROUTE_REQUEST.value,
    27: MeshType.RECORD_REQUEST.value,
    28: MeshType.UNREACHABLE.value,
    29: MeshType.TRACE.value,
    30: MeshType.TRACE_REPLY.value,
}
"""16 is RECEIPT: `ironmesh.wire.receipts`."""

APPLICATION_TYPES: Final = {
    64: MessageType.MSG.value,
    65: MessageType.REQ.value,
    66: MessageType.RESP.value,
    67: MessageType.CONV.value,
    68: MessageType.HEARTBEAT.value,
    69: MessageType.HEALTH.value,
    70: MessageType.DISCOVER.value,
    71: MessageType.DISCOVER_RESP.value,
    72: MessageType.SYS.value,
    73: MessageType.ERROR.value,
    74: MessageType.PEER_INFO.value,
    75: BRIDGED,
}

SKIPPED: Final = range(128, 192)

MAX_NAME_CHARS: Final = 64

_NEIGHBOURLY: Final = frozenset(MESH_TYPES.values()) - {MessageType.ACK.value}

NUMBER_OF: Final = {name: number for number, name in (MESH_TYPES | APPLICATION_TYPES).items()}
"""The number of each type that has one; such a type is never written by its name."""

_RESERVED_NAMES: Final = frozenset(
    {
        MessageType.GOODBYE,
        MessageType.PING,
        MessageType.PONG,
        MessageType.KEY_ROTATE,
        MessageType.REKEY_REQUEST,
        MessageType.REKEY_RESPONSE,
        MessageType.RATE_LIMITED,
    }
)
"""Sessions of the 0.8 wire say these to each other; on neither wire an application may."""


def is_name(name: str) -> bool:
    """Tell whether a type that has no number may have this name."""
    is_text = name.isascii() or not any("\ud800" <= char <= "\udfff" for char in name)
    fits = 0 < len(name) <= MAX_NAME_CHARS
    return is_text and fits and name not in NUMBER_OF and name not in _RESERVED_NAMES


def is_for_destinations(kind: str) -> bool:
    """Tell whether messages of a type may go on to a node that is not the next one, in a parcel."""
    return kind not in _NEIGHBOURLY

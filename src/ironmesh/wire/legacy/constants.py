"""What the published 0.8 wire fixes, and the limits that we set where it sets none."""

from __future__ import annotations

from typing import Final

from ironmesh.config import parse_protocol_version

PROTOCOL_VERSION: Final = "ironmesh/0.6.5"
"""What we put into handshakes: published nodes read 0.6, ours recognise each other."""
IMPLIED_VERSION: Final = "ironmesh/0.3"
"""What a HELLO without a version counts as, for the version floor."""
REKEY_SINCE: Final = (0, 5)
CONTEXT_SINCE: Final = (0, 9)
"""From here on signatures carry a context and crossing key changes are resolved."""

FRAME_MAGIC: Final = b"\xe7\xf6"
FRAME_VERSION: Final = 4
FRAME_VERSIONS: Final = (3, 4)
MAX_UNIT_BYTES: Final = 1_048_576
"""A WebSocket message; a larger one makes the peer close with 1009."""
MAX_SEQUENCE: Final = 2**48
"""Our own limit, as in 0.9: one frame must not be able to use up the numbers."""

BROADCAST: Final = "*"
TUNNEL_TYPE: Final = "IM5"
"""Frames in which two nodes of ours speak their own wire over published relays."""
APPLICATION_TTL: Final = 5
CONTROL_TTL: Final = 3

MAX_HANDSHAKE_BYTES: Final = 64 * 1024
MAX_DEPTH: Final = 64
MAX_NAME_CHARS: Final = 256
MAX_TEXT_CHARS: Final = 256
"""Message types, ids and node ids of others."""
MAX_SENT_TYPE_CHARS: Final = 64
MAX_HOPS: Final = 256
MAX_INFLATED_BYTES: Final = 4 * 1024 * 1024
NONCE_BYTES: Final = 32


def both_since(since: tuple[int, int], own: str, peer: str) -> bool:
    """Tell whether two protocol versions have both reached `since`."""
    return parse_protocol_version(own) >= since and parse_protocol_version(peer) >= since

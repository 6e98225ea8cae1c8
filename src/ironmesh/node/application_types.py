"""Which types of messages applications may send, whatever wire carries them."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from ironmesh.errors import DeliveryError
from ironmesh.types import BRIDGED, MeshType, MessageType
from ironmesh.wire.legacy.constants import MAX_SENT_TYPE_CHARS, TUNNEL_TYPE
from ironmesh.wire.legacy.control import CHANNEL_TYPES, MESH_TYPES

_MESH_TYPES: Final = frozenset({MessageType.ACK, BRIDGED, TUNNEL_TYPE, *MeshType})
"""What nodes of ours say to each other."""


@lru_cache(maxsize=64)  # an application sends many messages of few types
def check_application_type(kind: str) -> None:
    """Accept a message type that an application may send.

    Raises:
        DeliveryError: it is reserved, empty, too long, or no text.
    """
    if kind in CHANNEL_TYPES or kind in MESH_TYPES or kind in _MESH_TYPES:
        raise DeliveryError(f"messages of type {kind} are the node's own", "use another type")
    is_text = not any("\ud800" <= character <= "\udfff" for character in kind)
    if not (is_text and 0 < len(kind) <= MAX_SENT_TYPE_CHARS):
        raise DeliveryError(
            f"{kind[:MAX_SENT_TYPE_CHARS]!a} is not a message type",
            f"use 1 to {MAX_SENT_TYPE_CHARS} characters",
        )

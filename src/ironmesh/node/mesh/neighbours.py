"""Messages from this node to a neighbour about the mesh."""

from __future__ import annotations

from collections.abc import Callable

from ironmesh.types import NO_ID, MeshType, Message, MessagePriority, MessageType, NodeId

Tell = Callable[[NodeId, MeshType | MessageType, bytes], None]
"""Sends a message of the mesh to a neighbour, if there is a session with it."""


def mesh_message(
    own_id: NodeId,
    peer: NodeId,
    kind: MeshType | MessageType,
    body: bytes,
    priority: MessagePriority = MessagePriority.HIGH,
) -> Message:
    """Return a message to a neighbour; it has no id, since nobody receipts it."""
    return Message(NO_ID, kind, body, own_id, peer, priority, 0)

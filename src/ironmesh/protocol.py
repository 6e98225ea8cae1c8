"""What a program needs to name when it speaks of messages and peers."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from ironmesh.bus import MessageBus
from ironmesh.types import MessagePriority, MessageType, NodeId

__all__ = ["ErrorCode", "MessageBus", "MessagePriority", "MessageType", "PeerState"]


class ErrorCode(StrEnum):
    """What an `ERROR` message of the 0.8 wire says in its `code`."""

    UNKNOWN = "UNKNOWN"
    AUTH_FAILED = "AUTH_FAILED"
    REPLAY_DETECTED = "REPLAY_DETECTED"
    INVALID_FRAME = "INVALID_FRAME"
    SCHEMA_VIOLATION = "SCHEMA_VIOLATION"
    RATE_LIMITED = "RATE_LIMITED"
    DECRYPTION_FAILED = "DECRYPTION_FAILED"
    INVALID_SIGNATURE = "INVALID_SIGNATURE"
    PEER_NOT_FOUND = "PEER_NOT_FOUND"
    INTERNAL = "INTERNAL"


class PeerState(msgspec.Struct, frozen=True):
    """An online peer, as it was when `BridgeDaemon.peers` was asked."""

    node_id: NodeId
    name: str
    status: str
    """`online`."""
    transport: str
    """`websocket` or `memory`; `mesh` where other nodes are between."""
    rtt_ms: float | None
    """The last round trip in milliseconds; None before the first."""
    messages_sent: int
    messages_received: int
    uptime: float
    """Seconds since its session came up."""

    @property
    def is_online(self) -> bool:
        """A session with it was up."""
        return self.status == "online"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a mapping."""
        return msgspec.structs.asdict(self)

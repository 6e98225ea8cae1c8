"""The names of messages and peers, as programs compare and print them."""

from __future__ import annotations

from ironmesh.protocol import ErrorCode, MessagePriority, MessageType, PeerState
from ironmesh.types import NodeId


def test_enums_are_their_texts() -> None:
    assert f"{ErrorCode.AUTH_FAILED} {MessageType.MSG} {MessagePriority.HIGH}" == (
        "AUTH_FAILED MSG HIGH"
    )
    for enum in (ErrorCode, MessageType, MessagePriority):
        assert all(member.value == member.name == str(member) for member in enum)


def test_there_are_as_many_as_in_the_published_package() -> None:
    assert (len(ErrorCode), len(MessageType), len(MessagePriority)) == (10, 28, 4)


def test_a_peer_is_shown_as_a_mapping() -> None:
    peer = PeerState(NodeId("a" * 32), "bob", "online", "websocket", 1.5, 2, 3, 4.0)
    assert peer.is_online
    assert peer.to_dict() == {
        "node_id": "a" * 32,
        "name": "bob",
        "status": "online",
        "transport": "websocket",
        "rtt_ms": 1.5,
        "messages_sent": 2,
        "messages_received": 3,
        "uptime": 4.0,
    }

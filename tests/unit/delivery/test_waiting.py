"""Messages that wait for an absent peer."""

from __future__ import annotations

import pytest

from ironmesh.delivery.waiting import WaitingLimits, WaitingRoom
from ironmesh.errors import QueueFullError
from ironmesh.types import Message, MessageId, MessagePriority, NodeId

BOB, CAROL = NodeId("b" * 32), NodeId("c" * 32)


def message(number: int, *, to: NodeId = BOB, priority: str = "NORMAL", size: int = 1) -> Message:
    return Message(
        id=MessageId(number.to_bytes(16, "big")),
        type="MSG",
        payload=bytes(size),
        source=NodeId("a" * 32),
        destination=to,
        priority=MessagePriority(priority),
    )


def test_what_waits_goes_by_priority_and_then_by_age():
    room = WaitingRoom()
    messages = [
        message(1, priority="LOW"),
        message(2),
        message(3, priority="CRITICAL"),
        message(4),
    ]
    for one in messages:
        room.put([one])
    assert [one.id[-1] for one in room.take(BOB)] == [3, 2, 4, 1]
    assert room.take(BOB) == []


def test_peers_wait_apart():
    room = WaitingRoom()
    room.put([message(1)])
    room.put([message(2, to=CAROL)])
    assert room.count(BOB) == room.count(CAROL) == 1
    assert [one.id[-1] for one in room.take(CAROL)] == [2]


def test_a_full_queue_refuses_and_keeps_what_it_has():
    room = WaitingRoom(WaitingLimits(messages=2, payload_bytes=100))
    room.put([message(1), message(2)])
    with pytest.raises(QueueFullError):
        room.put([message(3)])
    assert room.count(BOB) == 2


def test_the_size_of_what_waits_is_bounded_too():
    room = WaitingRoom(WaitingLimits(messages=100, payload_bytes=10))
    room.put([message(1, size=6)])
    with pytest.raises(QueueFullError):
        room.put([message(2, size=6)])


def test_what_was_accepted_before_is_taken_back_first_in_line():
    room = WaitingRoom(WaitingLimits(messages=1))
    room.put([message(3)])
    room.put_back([message(1), message(2), message(9, to=CAROL)])
    assert [one.id[-1] for one in room.take(BOB)] == [1, 2, 3]
    assert room.count(CAROL) == 1

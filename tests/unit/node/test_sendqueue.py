"""What waits on one link: by priority, in batches, and with a mark above which senders wait."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from ironmesh.node.sendqueue import (
    HIGH_WATER_BYTES,
    HIGH_WATER_MESSAGES,
    MAX_BATCH_BYTES,
    MAX_BATCH_MESSAGES,
    SendQueue,
)
from ironmesh.types import PRIORITIES, Message, MessageId, MessagePriority, NodeId

MANY = 1 << 30


def message(
    number: int, priority: MessagePriority = MessagePriority.NORMAL, size: int = 0
) -> Message:
    return Message(
        MessageId(number.to_bytes(16, "big")),
        "MSG",
        bytes(size),
        NodeId("a" * 32),
        NodeId("b" * 32),
        priority,
    )


@given(st.lists(st.tuples(st.sampled_from(PRIORITIES), st.integers(0, 40_000)), max_size=200))
def test_the_most_urgent_goes_first_and_the_order_of_each_priority_is_kept(
    drawn: list[tuple[MessagePriority, int]],
) -> None:
    queue = SendQueue()
    messages = [message(number, *what) for number, what in enumerate(drawn)]
    queue.put(messages)
    taken: list[Message] = []
    while batch := queue.take_batch(MANY):
        assert len(batch) <= MAX_BATCH_MESSAGES
        assert sum(len(m.payload) for m in batch[:-1]) < MAX_BATCH_BYTES
        taken += batch
    assert taken == sorted(messages, key=lambda m: PRIORITIES.index(m.priority))
    assert (len(queue), queue.size_bytes) == (0, 0)


@given(st.integers(-5, MAX_BATCH_MESSAGES + 36))
def test_no_more_is_taken_than_may_be_written(limit: int) -> None:
    queue = SendQueue()
    queue.put([message(number) for number in range(MAX_BATCH_MESSAGES + 16)])
    assert len(queue.take_batch(limit)) == max(0, min(limit, MAX_BATCH_MESSAGES))


def test_senders_wait_above_the_mark_until_half_of_it_is_written() -> None:
    queue = SendQueue()
    queue.put([message(number) for number in range(HIGH_WATER_MESSAGES)])
    assert queue.is_full
    while len(queue) > HIGH_WATER_MESSAGES // 2:
        assert queue.is_full
        queue.take_batch(MANY)
    assert not queue.is_full


def test_few_large_messages_fill_it_as_well() -> None:
    queue = SendQueue()
    queue.put([message(number, size=HIGH_WATER_BYTES // 8) for number in range(8)])
    assert queue.is_full


async def test_nobody_waits_for_a_queue_that_is_not_written_any_more() -> None:
    queue = SendQueue()
    queue.put([message(number) for number in range(HIGH_WATER_MESSAGES)])
    waiter = asyncio.create_task(queue.wait_for_room())
    await asyncio.sleep(0)
    assert not waiter.done()
    queue.release()
    await waiter
    queue.put([message(number) for number in range(HIGH_WATER_MESSAGES)])
    await queue.wait_for_room()


def test_everything_can_be_taken_back() -> None:
    queue = SendQueue()
    queue.put([message(1, MessagePriority.LOW), message(2, MessagePriority.CRITICAL)])
    assert [m.priority for m in queue.take_all()] == ["CRITICAL", "LOW"]
    assert queue.take_all() == []


@given(st.lists(st.tuples(st.sampled_from(PRIORITIES), st.integers(0, 400)), max_size=60))
def test_large_messages_are_taken_in_pieces_and_nothing_is_lost(
    drawn: list[tuple[MessagePriority, int]],
) -> None:
    queue = SendQueue(piece_bytes=100)
    messages = [message(number, *what) for number, what in enumerate(drawn)]
    queue.put(messages)
    taken: list[Message] = []
    at = 0
    while len(queue):
        piece = queue.take_piece()
        if piece is None:
            taken += queue.take_batch(MANY)
            continue
        assert (piece.offset, piece.size <= 100) == (at, True)
        at = 0 if piece.is_last else at + piece.size
        taken += [piece.message] if piece.is_last else []
    assert taken == sorted(messages, key=lambda m: PRIORITIES.index(m.priority))
    assert (len(queue), queue.size_bytes, queue.take_piece()) == (0, 0, None)


def test_an_urgent_message_overtakes_a_large_one_between_two_pieces() -> None:
    queue = SendQueue(piece_bytes=100)
    large, behind, urgent = (
        message(1, size=250),
        message(2),
        message(3, MessagePriority.CRITICAL),
    )
    queue.put([large, behind])
    assert queue.take_batch(MANY) == []
    assert queue.take_piece() == (large, 0, 100)
    queue.put([urgent])
    assert queue.take_piece() is None
    assert queue.take_batch(MANY) == [urgent]
    assert queue.take_piece() == (large, 100, 100)
    assert queue.take_piece() == (large, 200, 50)
    assert queue.take_batch(MANY) == [behind]


def test_a_message_that_was_taken_back_begins_anew() -> None:
    queue = SendQueue(piece_bytes=100)
    queue.put([message(1, size=250)])
    queue.take_piece()
    assert queue.take_all() == [message(1, size=250)]
    queue.put([message(2, size=250)])
    assert queue.take_piece() == (message(2, size=250), 0, 100)

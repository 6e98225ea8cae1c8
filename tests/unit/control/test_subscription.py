import asyncio

import pytest
from tests.support.fake_operator import message

from ironmesh.control.api import MissedEvent
from ironmesh.control.subscription import Subscription


async def read(subscription, count):
    return [await asyncio.wait_for(anext(subscription), 5) for _ in range(count)]


async def test_events_come_in_order():
    subscription = Subscription()
    events = [message(number=number) for number in range(3)]
    for event in events:
        subscription.offer(event)
    assert await read(subscription, 3) == events


async def test_a_reader_that_waits_is_woken():
    subscription = Subscription()
    reader = asyncio.create_task(anext(subscription))
    await asyncio.sleep(0)
    subscription.offer(message())
    assert await asyncio.wait_for(reader, 5) == message()


async def test_a_slow_reader_is_told_where_and_how_many_it_missed():
    subscription = Subscription(max_events=2)
    for number in range(5):
        subscription.offer(message(number=number))
    assert await read(subscription, 1) == [message(number=0)]
    subscription.offer(message(number=5))
    assert await read(subscription, 3) == [
        message(number=1),
        MissedEvent(count=3),
        message(number=5),
    ]


async def test_what_was_missed_last_is_told_without_a_further_event():
    subscription = Subscription(max_events=1)
    for number in range(3):
        subscription.offer(message(number=number))
    assert await read(subscription, 2) == [message(number=0), MissedEvent(count=2)]


async def test_waiting_payloads_are_bounded_in_bytes():
    subscription = Subscription(max_bytes=10)
    for payload in (b"12345678", b"12345678", b"1234"):
        subscription.offer(message(payload))
    assert await read(subscription, 2) == [message(b"12345678"), MissedEvent(count=2)]


async def test_a_single_event_over_the_byte_limit_still_arrives():
    subscription = Subscription(max_bytes=4)
    subscription.offer(message(b"123456"))
    assert await read(subscription, 1) == [message(b"123456")]


async def test_closing_ends_the_iteration_after_what_waits():
    subscription = Subscription()
    subscription.offer(message())
    subscription.close()
    subscription.offer(message(b"late"))
    assert [event async for event in subscription] == [message()]


async def test_closing_wakes_a_reader():
    subscription = Subscription()
    reader = asyncio.create_task(anext(subscription))
    await asyncio.sleep(0)
    subscription.close()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(reader, 5)

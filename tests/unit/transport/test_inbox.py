"""The bounded queue between a socket and its reader."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironmesh.errors import ConnectionClosed, LocalProtocolError
from ironmesh.transport.inbox import Inbox


def closed() -> ConnectionClosed:
    return ConnectionClosed("over", close_code=1000)


def make_inbox(events: list[str], **limits: int) -> Inbox:
    return Inbox(lambda: events.append("full"), lambda: events.append("room"), **limits)


async def test_units_come_out_in_the_order_they_went_in() -> None:
    inbox = make_inbox([])
    for unit in ("a", b"b", "c"):
        inbox.put(unit)
    assert [await inbox.get() for _ in range(3)] == ["a", b"b", "c"]


async def test_a_waiting_reader_gets_what_arrives() -> None:
    inbox = make_inbox([])
    reader = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    inbox.put(b"late")
    assert await reader == b"late"


async def test_what_arrived_before_the_end_can_still_be_read() -> None:
    inbox = make_inbox([])
    inbox.put(b"last")
    inbox.end(closed)
    inbox.put(b"after the end")
    assert await inbox.get() == b"last"
    for _ in range(2):
        with pytest.raises(ConnectionClosed, match="over"):
            await inbox.get()


async def test_the_end_wakes_a_waiting_reader() -> None:
    inbox = make_inbox([])
    reader = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    inbox.end(closed)
    with pytest.raises(ConnectionClosed):
        await reader


async def test_a_second_reader_is_a_mistake() -> None:
    inbox = make_inbox([])
    first = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    with pytest.raises(LocalProtocolError):
        await inbox.get()
    inbox.put(b"for the first")
    assert await first == b"for the first"


async def test_a_reader_that_gives_up_loses_nothing() -> None:
    inbox = make_inbox([])
    reader = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    inbox.put(b"kept")
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    assert await inbox.get() == b"kept"


async def test_it_says_once_that_it_is_full_and_once_that_there_is_room() -> None:
    events: list[str] = []
    inbox = make_inbox(events, max_units=4)
    for number in range(6):
        inbox.put(bytes([number]))
    assert events == ["full"]
    assert inbox.is_full
    for _ in range(3):
        await inbox.get()
    assert events == ["full"]
    await inbox.get()
    assert events == ["full", "room"]
    assert not inbox.is_full


@given(st.lists(st.one_of(st.binary(max_size=40), st.none()), max_size=60))
def test_full_and_room_alternate_and_full_is_true_to_the_limits(steps: list[bytes | None]) -> None:
    async def play() -> None:
        events: list[str] = []
        inbox = make_inbox(events, max_units=5, max_bytes=100)
        waiting: list[bytes] = []
        for step in steps:
            if step is not None:
                inbox.put(step)
                waiting.append(step)
            elif waiting:
                assert await inbox.get() == waiting.pop(0)
            size = sum(map(len, waiting))
            if len(waiting) >= 5 or size >= 100:
                assert inbox.is_full
            if len(waiting) <= 2 and size <= 50:
                assert not inbox.is_full
        assert events == (["full", "room"] * len(events))[: len(events)]

    asyncio.run(play())


async def test_all_that_waits_can_be_taken_at_once_and_makes_room() -> None:
    events: list[str] = []
    inbox = make_inbox(events, max_units=2)
    reader = asyncio.create_task(inbox.get_all())
    await asyncio.sleep(0)
    inbox.put(b"first")
    assert await reader == [b"first"]
    for unit in (b"a", b"b", "c"):
        inbox.put(unit)
    assert await inbox.get_all() == [b"a", b"b", "c"]
    assert events == ["full", "room"]
    assert not inbox.is_full
    inbox.put(b"last")
    inbox.end(closed)
    assert await inbox.get_all() == [b"last"]
    with pytest.raises(ConnectionClosed):
        await inbox.get_all()

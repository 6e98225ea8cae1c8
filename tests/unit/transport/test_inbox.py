"""The bounded queue between a socket and its reader."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironmesh.errors import ConnectionClosed, LocalProtocolError
from ironmesh.transport.inbox import Inbox
from ironmesh.types import Unit


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


class Taker:
    """Notes what it is given; may ask for a pause."""

    def __init__(self) -> None:
        self.given: list[list[Unit]] = []
        self.ends: list[ConnectionClosed] = []
        self.pause_after: Inbox | None = None

    def units_received(self, units: list[Unit]) -> None:
        self.given.append(units)
        if self.pause_after is not None:
            self.pause_after.pause()

    def connection_ended(self, error: ConnectionClosed) -> None:
        self.ends.append(error)


def test_a_receiver_is_given_what_waits_then_what_comes_and_at_last_the_end() -> None:
    events: list[str] = []
    inbox, taker = make_inbox(events, max_units=2), Taker()
    for unit in (b"a", b"b", "c"):
        inbox.put(unit)
    inbox.give_to(taker)
    assert taker.given == [[b"a", b"b", "c"]]
    assert events == ["full", "room"]
    inbox.put(b"last")
    inbox.end(closed)
    assert len(taker.given) == 1, "its feeder says when"
    inbox.hand_over()
    inbox.hand_over()
    assert taker.given[1:] == [[b"last"]]
    assert len(taker.ends) == 1


def test_a_receiver_that_pauses_is_given_nothing_not_even_the_end() -> None:
    events: list[str] = []
    inbox, taker = make_inbox(events, max_units=2), Taker()
    taker.pause_after = inbox
    inbox.give_to(taker)
    inbox.put(b"first")
    inbox.hand_over()
    for unit in (b"a", b"b"):
        inbox.put(unit)
    inbox.end(closed)
    inbox.hand_over()
    assert taker.given == [[b"first"]]
    assert inbox.is_full
    taker.pause_after = None
    inbox.resume()
    assert taker.given == [[b"first"], [b"a", b"b"]]
    assert len(taker.ends) == 1
    assert events == ["full", "room"]

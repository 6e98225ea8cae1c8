"""What a link reads: in order, at once, and no faster than its owner takes it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from ironmesh.errors import ConnectionClosed, RemoteProtocolError
from ironmesh.node.linkreader import DEAF_S, LinkReader
from ironmesh.session.interface import Opened, PeerAlive
from ironmesh.transport.inbox import Inbox
from ironmesh.types import Instant, Message, MessageId, NodeId, Refusal, Unit

ALICE, BOB = NodeId("a" * 32), NodeId("b" * 32)


class MovableClock:
    def __init__(self) -> None:
        self.mono = 100.0

    def now(self) -> Instant:
        return Instant(self.mono, 0.0)


class FakeChannel:
    """Opens units that say what is in them.

    Messages, `!` before them for control, `~` before them for a ping to answer, `?` = wrong.
    """

    wants_write = False

    def open(self, unit: Unit, now: Instant) -> Opened:
        assert isinstance(unit, str)
        if unit == "?":
            raise RemoteProtocolError(Refusal.REPLAY, "once more")
        self.wants_write = unit.startswith("~")
        texts = unit.lstrip("!~").split()
        messages = [
            Message(MessageId(bytes(16)), "MSG", text.encode(), BOB, ALICE) for text in texts
        ]
        return Opened(messages, [PeerAlive(0.1)] if unit.startswith("!") else [])


class Bench:
    """A reader over an inbox, and what its owner is told."""

    def __init__(self) -> None:
        self.clock = MovableClock()
        self.inbox = Inbox(lambda: None, lambda: None)
        self.is_listening = True
        self.told: list[str] = []
        self.lag: asyncio.Future[None] | None = None
        """What the next `deliver` returns."""
        self.fault: Exception | None = None
        """What `take_control` raises."""
        self.reader = LinkReader(
            cast("Any", self.inbox), cast("Any", FakeChannel()), self, self.clock
        )
        self.reader.start()

    def arrived(self, size_bytes: int) -> None:
        """Nobody counts them."""

    def deliver(self, messages: list[Message]) -> asyncio.Future[None] | None:
        self.told.append(" ".join(message.payload.decode() for message in messages))
        lag, self.lag = self.lag, None
        return lag

    def take_control(self, opened: Opened) -> None:
        if self.fault is not None:
            raise self.fault
        self.told.append("!" * len(opened.events) or "-")

    def refuse(self, error: RemoteProtocolError) -> None:
        self.told.append(f"refused: {error.reason.value}")

    def ended(self, error: ConnectionClosed) -> None:
        self.told.append(f"ended: {error.what}")

    def failed(self, error: BaseException) -> None:
        self.told.append(f"failed: {error!r}")

    def feed(self, *units: str) -> None:
        for unit in units:
            self.inbox.put(unit)
        self.inbox.hand_over()


async def test_messages_that_follow_one_another_are_handed_over_in_one_go() -> None:
    bench = Bench()
    bench.feed("a", "b c", "!", "d", "!e", "f")
    assert bench.told == ["a b c", "!", "d", "!", "e f"]


async def test_a_ping_beside_messages_is_answered_without_waiting_for_a_message_of_ours() -> None:
    bench = Bench()
    bench.feed("~one", "two", "~three")
    assert bench.told == ["-", "one two", "-", "three"]


async def test_what_is_wrong_comes_after_what_was_right_and_is_the_last() -> None:
    bench = Bench()
    bench.feed("a", "?", "b")
    bench.feed("c")
    assert bench.told == ["a", "refused: replay"]


async def test_while_the_owner_lags_behind_nothing_more_is_taken_in_the_same_order() -> None:
    bench = Bench()
    bench.lag = lag = asyncio.get_running_loop().create_future()
    bench.feed("a", "!b", "c")
    bench.feed("d")
    bench.inbox.end(lambda: ConnectionClosed("over", close_code=1000))
    bench.inbox.hand_over()
    assert bench.told == ["a"]
    lag.set_result(None)
    await asyncio.sleep(0)
    assert bench.told == ["a", "!", "b c", "d", "ended: over"]


async def test_an_owner_that_lags_again_is_waited_for_again() -> None:
    bench = Bench()
    loop = asyncio.get_running_loop()
    first = bench.lag = loop.create_future()
    bench.feed("a", "!", "b", "!", "c")
    second = bench.lag = loop.create_future()
    first.set_result(None)
    await asyncio.sleep(0)
    assert bench.told == ["a", "!", "b"]
    second.set_result(None)
    await asyncio.sleep(0)
    assert bench.told == ["a", "!", "b", "!", "c"]


async def test_a_slow_owner_makes_the_reader_deaf_and_a_little_longer() -> None:
    bench = Bench()
    assert not bench.reader.is_deaf(bench.clock.mono)
    bench.lag = lag = asyncio.get_running_loop().create_future()
    bench.feed("a")
    assert not bench.reader.is_deaf(bench.clock.mono)
    bench.clock.mono += 2 * DEAF_S
    assert bench.reader.is_deaf(bench.clock.mono)
    lag.set_result(None)
    await asyncio.sleep(0)
    assert bench.reader.is_deaf(bench.clock.mono)
    assert not bench.reader.is_deaf(bench.clock.mono + DEAF_S)


async def test_an_owner_that_does_not_listen_any_more_is_given_nothing() -> None:
    bench = Bench()
    bench.is_listening = False
    bench.feed("a", "?")
    assert bench.told == []


async def test_what_fails_while_the_owner_takes_it_reaches_the_owner() -> None:
    bench = Bench()
    bench.lag = lag = asyncio.get_running_loop().create_future()
    bench.feed("a", "b")
    lag.set_exception(ValueError("a bug"))
    await asyncio.sleep(0)
    assert bench.told == ["a b", "failed: ValueError('a bug')"]


async def test_a_fault_of_ours_while_something_is_taken_ends_the_session() -> None:
    bench = Bench()
    lag = bench.lag = asyncio.get_running_loop().create_future()
    bench.feed("a", "!", "b")
    bench.fault = ValueError("a bug")
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: failures.append(context["exception"])
    )
    lag.set_result(None)
    await asyncio.sleep(0)
    assert bench.told == ["a", "failed: ValueError('a bug')"]
    assert failures == [bench.fault], "and it is not hidden"


async def test_after_the_stop_nothing_is_taken() -> None:
    bench = Bench()
    bench.lag = lag = asyncio.get_running_loop().create_future()
    bench.feed("a")
    await bench.reader.stop()
    assert lag.cancelled()
    bench.inbox.resume()
    bench.feed("b")
    assert bench.told == ["a"]

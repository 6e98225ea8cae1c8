"""What a link writes when: in turns, at once, as the peer reads, and last of all a goodbye."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from ironmesh.errors import ConnectionClosed, RemoteProtocolError
from ironmesh.node.linkwriter import LinkWriter
from ironmesh.session.interface import Piece
from ironmesh.types import Instant, LinkInfo, Message, MessageId, NodeId, Refusal, Unit, WireKind

ALICE, BOB = NodeId("a" * 32), NodeId("b" * 32)


def message(text: str) -> Message:
    return Message(MessageId(bytes(16)), "MSG", text.encode(), ALICE, BOB)


class FakeClock:
    def now(self) -> Instant:
        return Instant(asyncio.get_running_loop().time(), 0.0)


class FakeChannel:
    """Seals a batch into one unit: its payloads with commas between them."""

    def __init__(self, frames_per_second: float = 0.0) -> None:
        self.link = LinkInfo(
            peer=BOB,
            peer_name="bob",
            wire=WireKind.NATIVE,
            protocol_version="0.9",
            max_payload_bytes=1000,
            frames_per_second=frames_per_second,
            frame_burst=1,
        )
        self.wants_write = self.is_holding = False
        self.error: Exception | None = None

    def seal(
        self, messages: Sequence[Message], now: Instant, piece: Piece | None = None
    ) -> list[Unit]:
        assert piece is None
        if self.error is not None:
            raise self.error
        self.wants_write = False
        return [b",".join([message.payload for message in messages]) or b"control"]

    def goodbye(self, reason: str, now: Instant) -> list[Unit]:
        return [f"goodbye: {reason}"]


class FakeConnection:
    def __init__(self) -> None:
        self.written: list[Unit] = []
        self.room: asyncio.Future[None] | None = None
        """What the next `write` returns."""
        self.is_closed = False

    def write(self, units: Sequence[Unit]) -> asyncio.Future[None] | None:
        if self.is_closed:
            raise ConnectionClosed("it was lost", close_code=1006)
        self.written += units
        return self.room

    async def close(self) -> None:
        self.is_closed = True


class Bench:
    """A writer, and what its owner is told."""

    def __init__(self, opening: Sequence[Unit] = (), frames_per_second: float = 0.0) -> None:
        self.connection = FakeConnection()
        self.channel = FakeChannel(frames_per_second)
        self.is_usable = True
        self.told: list[str] = []
        self.writer = LinkWriter(
            cast("Any", self.connection), cast("Any", self.channel), self, FakeClock(), opening
        )

    def written(self, messages: Sequence[Message], size_bytes: int) -> None:
        self.told += [message.payload.decode() for message in messages]

    def flushing(self) -> None:
        """Nothing is ever due."""

    def flushed(self) -> None:
        """Nobody waits for it."""

    def broke(self, error: RemoteProtocolError) -> None:
        self.told.append(f"broke: {error.reason.value}")

    def failed(self, error: BaseException) -> None:
        self.told.append(f"failed: {error!r}")

    def put(self, *texts: str, can_wait: bool = False) -> None:
        self.writer.put([message(text) for text in texts], can_wait=can_wait)

    @property
    def units(self) -> list[Unit]:
        return self.connection.written


async def turn() -> None:
    await asyncio.sleep(0)


async def test_the_opening_comes_first_and_nothing_before_the_start() -> None:
    bench = Bench(opening=[b"opening"])
    bench.put("early")
    await turn()
    assert bench.units == []
    bench.writer.start()
    assert bench.units == [b"opening", b"early"]
    assert bench.told == ["early"]


async def test_what_comes_in_one_turn_goes_together_in_the_next() -> None:
    bench = Bench()
    bench.writer.start()
    bench.put("one")
    bench.put("two", "three")
    assert bench.units == []
    await turn()
    assert bench.units == [b"one,two,three"]


async def test_a_batch_that_nothing_joins_goes_at_once() -> None:
    bench = Bench()
    bench.writer.start()
    bench.put("waits")
    bench.writer.put_now([message("now")])
    assert bench.units == [b"waits,now"]
    await turn()
    assert len(bench.units) == 1


async def test_what_can_wait_goes_with_the_next_or_soon() -> None:
    bench = Bench()
    bench.writer.start()
    bench.put("receipt", can_wait=True)
    await turn()
    assert bench.units == []
    bench.put("message")
    await turn()
    assert bench.units == [b"receipt,message"]
    bench.put("another", can_wait=True)
    while len(bench.units) == 1:
        await turn()
    assert bench.units[1:] == [b"another"]


async def test_while_the_peer_does_not_read_nothing_more_is_written() -> None:
    bench = Bench()
    bench.writer.start()
    bench.connection.room = asyncio.get_running_loop().create_future()
    bench.writer.put_now([message("one")])
    bench.writer.put_now([message("two")])
    assert bench.units == [b"one"]
    assert bench.told == [], "it may still be lost"
    room, bench.connection.room = bench.connection.room, None
    room.set_result(None)
    await turn()
    assert bench.units == [b"one", b"two"]
    assert bench.told == ["one", "two"]


async def test_a_peer_that_never_reads_is_hung_up_on() -> None:
    bench = Bench()
    bench.writer.start()
    bench.connection.room = asyncio.get_running_loop().create_future()
    bench.writer.put_now([message("one")])
    bench.connection.room.set_exception(ConnectionClosed("unread", close_code=1006))
    for _ in range(3):
        await turn()
    assert bench.connection.is_closed
    assert bench.told == []


async def test_a_connection_that_was_lost_is_closed_and_says_why_itself() -> None:
    bench = Bench()
    bench.writer.start()
    bench.connection.is_closed = True
    bench.writer.put_now([message("one")])
    await turn()
    assert bench.told == []
    await bench.writer.stop()


async def test_an_error_that_never_should_be_reaches_the_owner() -> None:
    bench = Bench()
    bench.writer.start()
    bench.connection.room = asyncio.get_running_loop().create_future()
    bench.writer.put_now([message("one")])
    bench.connection.room.set_exception(ValueError("a bug"))
    await turn()
    assert bench.told == ["failed: ValueError('a bug')"]


async def test_a_batch_that_cannot_be_sealed_by_a_fault_of_ours_ends_the_session() -> None:
    bench = Bench()
    bench.writer.start()
    bench.channel.error = ValueError("a bug")
    with pytest.raises(ValueError, match="a bug"):
        bench.writer.put_now([message("one")])
    assert bench.told == ["failed: ValueError('a bug')"]


async def test_a_session_that_cannot_go_on_breaks() -> None:
    bench = Bench()
    bench.writer.start()
    bench.channel.error = RemoteProtocolError(Refusal.LIMIT, "no key change")
    bench.writer.put_now([message("one")])
    assert bench.told == ["broke: limit"]


async def test_messages_wait_while_the_link_is_not_usable_but_control_traffic_goes() -> None:
    bench = Bench()
    bench.writer.start()
    bench.is_usable = False
    bench.channel.wants_write = True
    bench.writer.put_now([message("one")])
    assert bench.units == [b"control"]
    bench.is_usable = True
    bench.writer.flush()
    assert bench.units[1:] == [b"one"]


async def test_the_goodbye_is_the_last_and_what_is_queued_stays() -> None:
    bench = Bench()
    bench.writer.start()
    bench.put("never")
    bench.writer.part("enough")
    await turn()
    bench.writer.flush()
    assert bench.units == ["goodbye: enough"]
    assert bench.writer.has_parted
    assert len(bench.writer.queue) == 1


async def test_frames_go_as_often_as_the_peer_takes_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(frames_per_second=500.0)
    monkeypatch.setattr("ironmesh.node.sendqueue.MAX_BATCH_MESSAGES", 1)
    bench.writer.start()
    bench.put("one", "two", "three")
    await turn()
    assert bench.units == [b"one"]
    while len(bench.units) < 3:
        await turn()
    assert bench.units == [b"one", b"two", b"three"]


async def test_after_the_stop_nothing_is_written() -> None:
    bench = Bench()
    bench.writer.start()
    bench.put("one", can_wait=True)
    bench.put("two")
    await bench.writer.stop()
    await turn()
    assert bench.units == []

"""When a silent peer is asked for a sign of life, and when it is given up; time is virtual."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.support.virtual import VirtualLoop
from tests.support.websocket import UPGRADE
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from ironmesh.transport.websocket.connection import SILENT, WebSocketConnection
from ironmesh.transport.websocket.heartbeat import Heartbeat
from ironmesh.transport.websocket.limits import ACCEPTING, DIALLING, Timing
from ironmesh.types import Endpoint


class Watched:
    """A peer under watch, and what was done about it."""

    def __init__(self, timing: Timing = ACCEPTING) -> None:
        self.pings: list[float] = []
        self.given_up: list[float] = []
        self.is_deaf = False
        self._loop = asyncio.get_running_loop()
        self.heartbeat = Heartbeat(
            lambda: self.pings.append(self.now),
            lambda: self.given_up.append(self.now),
            lambda: self.is_deaf,
        )
        self._began = self._loop.time()
        self.heartbeat.start(timing)

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return round(self._loop.time() - self._began, 2)

    async def until(self, second: float) -> None:
        """Let time pass."""
        await asyncio.sleep(self._began + second - self._loop.time())


def in_virtual_time(live: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(live())


def test_a_peer_that_is_silent_is_asked_and_then_given_up() -> None:
    async def live() -> None:
        peer = Watched()
        await peer.until(100)
        assert peer.pings == [8.0]
        assert peer.given_up == [15.0]

    in_virtual_time(live)


def test_who_vanishes_is_missed_within_fifteen_seconds_and_not_before_seven() -> None:
    async def live() -> None:
        for last_heard in (0.1, 3.0, 7.9):
            peer = Watched()
            await peer.until(last_heard)
            peer.heartbeat.heard()
            await peer.until(100)
            assert peer.given_up == [pytest.approx(last_heard + 15.0, abs=0.02)]

    in_virtual_time(live)


def test_a_peer_that_speaks_is_not_pinged() -> None:
    async def live() -> None:
        peer = Watched()
        for second in range(5, 200, 5):
            await peer.until(second)
            peer.heartbeat.heard()
        assert not peer.pings

    in_virtual_time(live)


def test_any_sign_of_life_before_the_end_of_the_patience_will_do() -> None:
    async def live() -> None:
        peer = Watched()
        await peer.until(14.9)
        peer.heartbeat.heard()
        await peer.until(22)
        assert peer.pings == [8.0]
        assert not peer.given_up
        await peer.until(40)
        assert peer.pings == [8.0, pytest.approx(22.9, abs=0.02)]
        assert peer.given_up == [pytest.approx(29.9, abs=0.02)]

    in_virtual_time(live)


def test_one_ping_and_its_answer_do_for_both_ends() -> None:
    async def live() -> None:
        dialling, accepting = Watched(DIALLING), Watched(ACCEPTING)
        for _ in range(300):
            before = len(dialling.pings)
            await asyncio.sleep(1.0)
            if len(dialling.pings) > before:
                accepting.heartbeat.heard()
                dialling.heartbeat.heard()
        assert 300 / 9 < len(dialling.pings) < 300 / 7
        assert not accepting.pings

    in_virtual_time(live)


def test_who_cannot_read_judges_nobody_and_shows_that_it_lives() -> None:
    async def live() -> None:
        peer = Watched()
        peer.is_deaf = True
        await peer.until(49)
        assert not peer.given_up
        assert peer.pings == [8.0, 15.0, 22.0, 29.0, 36.0, 43.0]
        peer.is_deaf = False
        await peer.until(60)
        assert peer.given_up == [50.0]

    in_virtual_time(live)


def test_after_the_end_nothing_happens() -> None:
    async def live() -> None:
        peer = Watched()
        peer.heartbeat.stop()
        peer.heartbeat.stop()
        await peer.until(100)
        assert not peer.pings
        assert not peer.given_up

    in_virtual_time(live)


class Socket(asyncio.Transport):
    """Notes when something is written to it, and when it is given up."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[float] = []
        self.aborted: list[float] = []

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return bool(self.aborted)

    def write(self, data: Any) -> None:
        assert data
        self.written.append(round(asyncio.get_running_loop().time()))

    def abort(self) -> None:
        self.aborted.append(round(asyncio.get_running_loop().time()))


@pytest.mark.parametrize(("subprotocol", "asked", "gone"), [("ours", 8, 15), ("", 20, 30)])
def test_who_speaks_our_own_wire_is_missed_sooner(subprotocol: str, asked: int, gone: int) -> None:
    async def live() -> None:
        names = [Subprotocol(subprotocol)] if subprotocol else None
        engine = ServerProtocol(origins=[None], subprotocols=names, logger=SILENT)
        connection, socket = WebSocketConnection(engine, Endpoint("192.0.2.9", 4711)), Socket()
        connection.connection_made(socket)
        offer = f"Sec-WebSocket-Protocol: {subprotocol}\r\n\r\n" if subprotocol else "\r\n"
        request = UPGRADE.removesuffix(b"\r\n") + offer.encode()
        connection.get_buffer(-1)[: len(request)] = request
        connection.buffer_updated(len(request))
        await asyncio.sleep(100)
        assert socket.written == [0, asked]
        assert socket.aborted == [gone]
        connection.connection_lost(None)

    in_virtual_time(live)

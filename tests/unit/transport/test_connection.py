"""The WebSocket connection, fed byte by byte without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.websocket import UPGRADE
from websockets.client import ClientProtocol
from websockets.frames import Opcode
from websockets.server import ServerProtocol
from websockets.uri import WebSocketURI

from ironmesh.errors import ConnectionClosed
from ironmesh.transport.websocket.connection import (
    MAX_REQUEST_BYTES,
    MAX_UNREAD_ANSWER_BYTES,
    SILENT,
    WebSocketConnection,
)
from ironmesh.transport.websocket.limits import Timing
from ironmesh.types import Endpoint


class FakeTransport(asyncio.Transport):
    """Remembers what was written; ends the protocol when it is closed."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.written = bytearray()
        self.is_reading_paused = False
        self._protocol = protocol
        self._is_closing = False

    def write(self, data: Any) -> None:
        assert not self._is_closing
        self.written += data

    def can_write_eof(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        self.is_reading_paused = True

    def resume_reading(self) -> None:
        self.is_reading_paused = False

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    abort = close


def frame(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    """Build a client's frame by hand, the forbidden ones too; its mask is zero."""
    size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
    return bytes([fin << 7 | opcode]) + size + bytes(4) + data


def arrive(connection: WebSocketConnection, data: bytes) -> None:
    """Let bytes arrive as asyncio does it."""
    while data:
        buffer = connection.get_buffer(-1)
        part, data = data[: len(buffer)], data[len(buffer) :]
        buffer[: len(part)] = part
        connection.buffer_updated(len(part))


async def hang_up(connection: WebSocketConnection) -> None:
    connection.abort()
    await connection.lost()


async def read_to_the_end(connection: WebSocketConnection) -> None:
    while True:
        await connection.receive()


def serve(timing: Timing | None = None) -> tuple[WebSocketConnection, FakeTransport]:
    """Return a server connection that nobody has spoken to yet."""
    engine = ServerProtocol(origins=[None], max_size=1000, logger=SILENT)
    connection = WebSocketConnection(engine, Endpoint("192.0.2.9", 4711), timing)
    transport = FakeTransport(connection)
    connection.connection_made(transport)
    return connection, transport


def serve_opened(timing: Timing | None = None) -> tuple[WebSocketConnection, FakeTransport]:
    connection, transport = serve(timing)
    arrive(connection, UPGRADE)
    transport.written.clear()
    return connection, transport


async def test_an_upgrade_is_answered_and_describes_the_peer() -> None:
    connection, transport = serve()
    arrive(connection, UPGRADE)
    assert await connection.opened()
    assert transport.written.startswith(b"HTTP/1.1 101 ")
    assert connection.info.remote_text == "192.0.2.9:4711"
    assert not connection.info.is_outgoing
    assert not connection.info.is_encrypted
    await hang_up(connection)


@pytest.mark.parametrize("size", [1, 7, 64])
async def test_an_upgrade_may_come_in_pieces(size: int) -> None:
    connection, _ = serve()
    for start in range(0, len(UPGRADE), size):
        arrive(connection, UPGRADE[start : start + size])
    assert await connection.opened()
    await hang_up(connection)


@pytest.mark.parametrize(
    "first",
    [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x00" * 40, b"\r\nGET", b" "],
)
async def test_what_cannot_be_http_is_hung_up_on_without_an_answer(first: bytes) -> None:
    connection, transport = serve()
    arrive(connection, first)
    assert not await connection.opened()
    await connection.lost()
    assert not transport.written


async def test_a_request_that_grows_without_end_is_hung_up_on() -> None:
    connection, transport = serve()
    sent = 0
    while not transport.is_closing():
        arrive(connection, b"GET / HTTP/1.1\r\n" if not sent else b"A: b\r\n")
        sent += 6
        assert sent <= MAX_REQUEST_BYTES + 6
    assert not await connection.opened()


async def test_a_browser_gets_an_answer_that_says_what_is_missing() -> None:
    connection, transport = serve()
    arrive(connection, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert not await connection.opened()
    assert transport.written.startswith(b"HTTP/1.1 426 ")
    await connection.lost()


async def test_a_page_of_another_site_may_not_connect() -> None:
    connection, transport = serve()
    arrive(connection, UPGRADE.replace(b"Host: x", b"Host: x\r\nOrigin: https://evil"))
    assert not await connection.opened()
    assert transport.written.startswith(b"HTTP/1.1 403 ")
    await connection.lost()


@pytest.mark.parametrize(
    "early", [frame(Opcode.PING, b""), frame(Opcode.CLOSE, b""), frame(Opcode.TEXT, b"x")]
)
async def test_who_does_not_wait_for_the_answer_is_hung_up_on(early: bytes) -> None:
    connection, _ = serve()
    arrive(connection, UPGRADE + early)
    assert not await connection.opened()
    await connection.lost()


async def test_fragments_become_one_unit() -> None:
    connection, _ = serve_opened()
    arrive(connection, frame(Opcode.TEXT, b"h\xc3", fin=False))
    arrive(connection, frame(Opcode.PING, b"between"))
    arrive(connection, frame(Opcode.CONT, b"\xa9", fin=False) + frame(Opcode.CONT, b"!"))
    arrive(connection, frame(Opcode.BINARY, b"\x00\x01"))
    assert await connection.receive() == "hé!"
    assert await connection.receive() == b"\x00\x01"
    await hang_up(connection)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(Opcode.TEXT, b"\xff\xff"), 1007),
        (frame(Opcode.BINARY, b"x" * 1001), 1009),
        (frame(Opcode.BINARY, b"x" * 600, fin=False) + frame(Opcode.CONT, b"x" * 600), 1009),
        (frame(Opcode.CONT, b"of nothing"), 1002),
        (b"\x82\x05hello", 1002),
    ],
    ids=["not-utf8", "oversize", "oversize-in-parts", "stray-continuation", "unmasked"],
)
async def test_a_broken_message_ends_the_connection_with_the_code(sent: bytes, code: int) -> None:
    connection, transport = serve_opened()
    arrive(connection, sent)
    assert transport.written[:1] == b"\x88"
    assert int.from_bytes(transport.written[2:4], "big") == code
    with pytest.raises(ConnectionClosed) as closed:
        await connection.receive()
    assert closed.value.close_code == code
    assert not closed.value.is_clean


async def test_the_peers_close_is_clean_and_later_sends_fail() -> None:
    connection, _ = serve_opened()
    arrive(connection, frame(Opcode.BINARY, b"last") + frame(Opcode.CLOSE, b"\x03\xe8"))
    assert await connection.receive() == b"last"
    with pytest.raises(ConnectionClosed) as closed:
        await connection.receive()
    assert (closed.value.close_code, closed.value.is_clean) == (1000, True)
    with pytest.raises(ConnectionClosed):
        await connection.send([b"too late"])
    await hang_up(connection)


async def test_a_batch_is_one_write_in_order() -> None:
    connection, transport = serve_opened()
    await connection.send(["one", b"two"])
    assert bytes(transport.written) == b"\x81\x03one\x82\x03two"
    await hang_up(connection)


async def test_reading_pauses_while_nobody_takes_what_arrived() -> None:
    connection, transport = serve_opened()
    while not transport.is_reading_paused:
        arrive(connection, frame(Opcode.BINARY, b"x" * 900))
    for _ in range(200):
        await connection.receive()
    assert not transport.is_reading_paused
    await hang_up(connection)


async def test_a_send_waits_for_room_and_gives_up_after_the_limit() -> None:
    connection, transport = serve_opened(Timing(send_timeout_s=0.01))
    connection.pause_writing()
    sending = asyncio.create_task(connection.send([b"x"]))
    await asyncio.sleep(0)
    assert not sending.done()
    connection.resume_writing()
    await sending
    connection.pause_writing()
    with pytest.raises(ConnectionClosed, match="does not read"):
        await connection.send([b"x"])
    assert transport.is_closing()


async def test_who_pings_without_reading_the_answers_is_hung_up_on() -> None:
    connection, transport = serve_opened()
    connection.pause_writing()
    ping = frame(Opcode.PING, b"x" * 125) * 100
    while not transport.is_closing():
        arrive(connection, ping)
        assert len(transport.written) < MAX_UNREAD_ANSWER_BYTES + 2 * len(ping)
    await connection.lost()


async def test_a_silent_peer_is_pinged_and_then_given_up() -> None:
    connection, transport = serve_opened(Timing(ping_interval_s=0.02, ping_timeout_s=0.01))
    with pytest.raises(ConnectionClosed, match="does not answer"):
        await connection.receive()
    assert bytes(transport.written).startswith(b"\x89\x00")


async def test_a_close_that_is_not_answered_ends_all_the_same() -> None:
    connection, transport = serve_opened()
    async with asyncio.timeout(1.0):
        await connection.close()
    assert transport.is_closing()


def fresh_client() -> tuple[WebSocketConnection, FakeTransport]:
    uri = WebSocketURI(secure=False, host="x", port=80, path="/", query="")
    engine = ClientProtocol(uri, max_size=1000, logger=SILENT)
    engine.send_request(engine.connect())
    connection = WebSocketConnection(engine, Endpoint("192.0.2.9", 80))
    transport = FakeTransport(connection)
    connection.connection_made(transport)
    return connection, transport


@pytest.mark.parametrize("make", [serve, serve_opened, fresh_client])
def test_whatever_arrives_nothing_fails_but_the_connection(
    make: Callable[[], tuple[WebSocketConnection, FakeTransport]],
) -> None:
    piece = st.one_of(
        st.binary(max_size=300),
        st.builds(frame, st.sampled_from(Opcode), st.binary(max_size=125), fin=st.booleans()),
        st.sampled_from([UPGRADE, UPGRADE[:40], b"HTTP/1.1 101 X\r\n\r\n", b"GET / HTTP/1.1\r\n"]),
    )

    @given(st.lists(piece, max_size=8))
    def feed(pieces: list[bytes]) -> None:
        async def play() -> None:
            connection, transport = make()
            for data in pieces:
                if not transport.is_closing():
                    arrive(connection, data)
            connection.eof_received()
            transport.close()
            await connection.lost()
            with pytest.raises(ConnectionClosed):
                await read_to_the_end(connection)

        asyncio.run(play())

    feed()

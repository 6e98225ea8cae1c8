"""What reaches a listener besides nodes: scanners, browsers, TLS on a plain port, slow-loris."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

import pytest
from tests.support.websocket import UPGRADE, hung_up, server_tls, serving
from websockets.http11 import Request
from websockets.server import ServerProtocol

from ironmesh.errors import ConnectError, ConnectionClosed
from ironmesh.transport import tls
from ironmesh.transport.websocket import dial
from ironmesh.types import Endpoint, Refusal

QUICK = 0.2


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Strangers must not be able to write into our log."""
    caplog.set_level(logging.DEBUG)
    yield
    shown = [r.getMessage() for r in caplog.records if r.name != "asyncio" or r.levelno > 10]
    assert shown == []


async def test_a_tls_hello_on_a_plain_port_is_dropped_at_once_and_counted_once() -> None:
    async with serving() as server:
        async with asyncio.timeout(1.0):
            with pytest.raises(ConnectError):
                await dial(server.endpoint, use_tls=True)
        reason, remote = await server.refused.get()
        assert reason is Refusal.NOT_WEBSOCKET
        assert remote.startswith("127.0.0.1:")
        assert server.refused.empty()
        assert server.door.half_open == 0
        assert server.accepted.empty()


async def test_plain_websocket_on_a_tls_port_is_refused(tmp_path: Path) -> None:
    async with serving(tls=server_tls(tmp_path)) as server:
        with pytest.raises(ConnectError):
            await dial(server.endpoint, use_tls=False)
        assert (await server.refused.get())[0] is Refusal.NOT_WEBSOCKET
        assert server.door.half_open == 0


@pytest.mark.parametrize("with_tls", [False, True])
async def test_a_browser_is_told_what_this_is(with_tls: bool, tmp_path: Path) -> None:
    context = server_tls(tmp_path) if with_tls else None
    async with serving(tls=context) as server:
        reader, writer = await server.raw(tls.client_context() if with_tls else None)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n\r\n")
        answer = await hung_up(reader)
        assert answer.startswith(b"HTTP/1.1 426 Upgrade Required\r\n")
        assert b"ironmesh" not in answer.lower()
        writer.close()
        assert (await server.refused.get())[0] is Refusal.NOT_WEBSOCKET


@pytest.mark.parametrize("with_tls", [False, True])
@pytest.mark.parametrize(
    "garbage", [bytes(range(256)) * 40, b"\x00" * 10_000, b"A" * 10_000, b"\n" * 10_000]
)
async def test_ten_thousand_bytes_of_garbage_are_hung_up_on(
    garbage: bytes, with_tls: bool, tmp_path: Path
) -> None:
    context = server_tls(tmp_path) if with_tls else None
    async with serving(tls=context) as server:
        reader, writer = await server.raw()
        writer.write(garbage)
        await hung_up(reader)
        writer.close()
        assert (await server.refused.get())[0] is Refusal.NOT_WEBSOCKET
        assert server.refused.empty()
        assert server.door.half_open == 0


async def test_who_connects_and_leaves_is_counted_once() -> None:
    async with serving() as server:
        _, writer = await server.raw()
        writer.close()
        assert (await server.refused.get())[0] is Refusal.NOT_WEBSOCKET
        assert server.door.half_open == 0


@pytest.mark.parametrize("stage", ["tcp", "http", "tls", "http in tls"])
async def test_who_dawdles_is_half_open_until_the_time_is_up(stage: str, tmp_path: Path) -> None:
    is_tls = "tls" in stage
    context = server_tls(tmp_path) if is_tls else None
    async with serving(tls=context, opening_timeout_s=QUICK) as server:
        reader, writer = await server.raw(tls.client_context() if stage == "http in tls" else None)
        if stage.startswith("http"):
            writer.write(UPGRADE[:20])
        if stage == "tls":
            writer.write(client_hello()[:50])
        reason, _ = await server.refused.get()
        assert reason is Refusal.TIMEOUT
        assert len(server.door.asked) == 1
        assert server.door.half_open == 0
        await hung_up(reader)
        writer.close()


async def test_a_trickle_does_not_buy_more_time() -> None:
    async with serving(opening_timeout_s=QUICK) as server:
        reader, writer = await server.raw()
        gone = asyncio.create_task(hung_up(reader))
        for byte in UPGRADE[:-1]:
            if gone.done():
                break
            writer.write(bytes([byte]))
            await asyncio.wait([gone], timeout=QUICK / 20)
        await gone
        assert (await server.refused.get())[0] is Refusal.TIMEOUT
        writer.close()


async def test_a_full_door_closes_at_once_without_reading_and_others_notice_nothing() -> None:
    async with serving(capacity=3, echo=True) as server:
        served = await dial(server.endpoint, use_tls=False)
        loris = [await server.raw() for _ in range(3)]
        late = [await server.raw() for _ in range(5)]
        for reader, writer in late:
            assert await hung_up(reader) == b""
            writer.close()
            assert (await server.refused.get())[0] is Refusal.BUSY
        await served.send([b"still here"])
        assert await served.receive() == b"still here"
        for _, writer in loris:
            writer.close()
        for _ in loris:
            assert (await server.refused.get())[0] is Refusal.NOT_WEBSOCKET
        await (await dial(server.endpoint, use_tls=False)).close()
        await served.close()


async def test_a_flood_of_connections_is_bounded() -> None:
    async with serving(capacity=8) as server:
        flood = [await server.raw() for _ in range(200)]
        for _ in range(192):
            assert (await server.refused.get())[0] is Refusal.BUSY
        assert server.door.half_open == 8
        for _, writer in flood:
            writer.close()


def client_hello() -> bytes:
    """Return the first bytes that a TLS client sends."""
    outgoing = ssl.MemoryBIO()
    client = tls.client_context().wrap_bio(ssl.MemoryBIO(), outgoing)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


async def test_a_farewell_that_comes_with_the_opening_is_one() -> None:
    """A node that turns a connection away at once says why, although both arrive together."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        engine = ServerProtocol()
        engine.receive_data(await reader.readuntil(b"\r\n\r\n"))
        (request,) = engine.events_received()
        assert isinstance(request, Request)
        engine.send_response(engine.accept(request))
        engine.send_close(4004)
        writer.write(b"".join(engine.data_to_send()))
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connection = await dial(Endpoint("127.0.0.1", port), use_tls=False)
        with pytest.raises(ConnectionClosed) as closed:
            await connection.receive()
        assert closed.value.close_code == 4004

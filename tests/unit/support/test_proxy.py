from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from tests.support.proxy import FaultProxy, fault_proxy

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send everything back."""
    with suppress(OSError):
        while data := await reader.read(1024):
            writer.write(data)
    await close(writer)


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


@pytest.fixture
async def proxy() -> AsyncIterator[FaultProxy]:
    """A proxy in front of an echo server."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, fault_proxy("127.0.0.1", server.sockets[0].getsockname()[1]) as running:
        yield running


@pytest.fixture
async def streams(proxy: FaultProxy) -> AsyncIterator[Streams]:
    """A connection through the proxy."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    yield reader, writer
    await close(writer)


async def test_bytes_pass_both_ways(streams: Streams) -> None:
    reader, writer = streams
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"


async def test_one_byte_is_damaged(proxy: FaultProxy, streams: Streams) -> None:
    proxy.to_server.corrupt_after = 2
    reader, writer = streams
    writer.write(b"aaaa")
    assert await reader.readexactly(4) == b"aa`a"


async def test_a_stall_holds_everything_back_until_it_ends(
    proxy: FaultProxy, streams: Streams
) -> None:
    proxy.to_client.stall()
    reader, writer = streams
    writer.write(b"late")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(4), 0.05)
    proxy.to_client.resume()
    assert await reader.readexactly(4) == b"late"


async def test_a_half_close_ends_one_direction(proxy: FaultProxy, streams: Streams) -> None:
    proxy.to_client.end_after = 3
    reader, writer = streams
    writer.write(b"abcdef")
    assert await reader.read() == b"abc"


async def test_a_drop_resets_the_client(proxy: FaultProxy, streams: Streams) -> None:
    reader, writer = streams
    writer.write(b"x")
    await reader.readexactly(1)
    proxy.drop()
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)


async def test_a_refusing_proxy_closes_at_once(proxy: FaultProxy) -> None:
    proxy.refusing = True
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await reader.read() == b""
    await close(writer)

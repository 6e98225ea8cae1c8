"""A TCP proxy that misbehaves on order: what networks do to connections, without needing root."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

CHUNK_BYTES = 65_536


@dataclass(slots=True)
class Faults:
    """What one direction suffers; change it at any time."""

    delay_s: float = 0.0
    """Added to every chunk; order is kept."""
    bytes_per_second: float = 0.0
    """0 = no limit."""
    corrupt_after: int | None = None
    """Flip one bit of the byte with this number, counted from 0 over the connection."""
    end_after: int | None = None
    """Send no more than this many bytes, then close this direction (a half-close)."""
    flowing: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared: nothing passes, and nothing is lost either."""

    def __post_init__(self) -> None:
        self.flowing.set()

    def stall(self) -> None:
        """Let nothing pass from now on."""
        self.flowing.clear()

    def resume(self) -> None:
        """Let everything pass again, what was held back first."""
        self.flowing.set()


@dataclass(frozen=True, slots=True)
class _Pipe:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter

    def reset(self) -> None:
        for writer in (self.client, self.server):
            # Without lingering, a close is a reset and not an orderly end.
            with suppress(OSError):  # it is closed already
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            writer.transport.abort()

    async def close(self) -> None:
        for writer in (self.client, self.server):
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()


class FaultProxy:
    """Listens on loopback and passes every connection on to one address.

    Args:
        host, port: where connections are passed on to.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._pipes: set[_Pipe] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.accepted = 0
        """Connections so far."""
        self.refusing = False
        """Close new connections at once."""
        self.to_server = Faults()
        self.to_client = Faults()

    async def start(self) -> None:
        """Listen on a free port, then in `port`."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the listener and everything that runs through it."""
        if self._server is not None:
            self._server.close()
        self.drop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def drop(self) -> None:
        """Reset all live connections, both ends."""
        for pipe in list(self._pipes):
            pipe.reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.accepted += 1
        try:
            if self.refusing:
                return
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            await self._join(reader, writer, far_reader, far_writer)
        except OSError:
            return
        finally:
            writer.close()

    async def _join(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> None:
        pipe = _Pipe(writer, far_writer)
        self._pipes.add(pipe)
        try:
            await asyncio.gather(
                _pump(reader, far_writer, self.to_server),
                _pump(far_reader, writer, self.to_client),
            )
        finally:
            self._pipes.discard(pipe)
            await pipe.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, faults: Faults) -> None:
    """Carry one direction until it ends, then half-close the far side."""
    passed = 0
    while chunk := await reader.read(CHUNK_BYTES):
        await _wait(faults, len(chunk))
        if faults.end_after is not None:
            chunk = chunk[: max(0, faults.end_after - passed)]
        writer.write(_corrupted(chunk, faults.corrupt_after, passed))
        await writer.drain()
        passed += len(chunk)
        if faults.end_after is not None and passed >= faults.end_after:
            break
    with suppress(OSError):
        writer.write_eof()


async def _wait(faults: Faults, size: int) -> None:
    await faults.flowing.wait()
    seconds = faults.delay_s
    if faults.bytes_per_second:
        seconds += size / faults.bytes_per_second
    if seconds:
        await asyncio.sleep(seconds)
    await faults.flowing.wait()


def _corrupted(chunk: bytes, position: int | None, passed: int) -> bytes:
    if position is None or not passed <= position < passed + len(chunk):
        return chunk
    damaged = bytearray(chunk)
    damaged[position - passed] ^= 0x01
    return bytes(damaged)


@asynccontextmanager
async def fault_proxy(host: str, port: int) -> AsyncIterator[FaultProxy]:
    """Run a proxy in front of an address for the length of a `with` block."""
    proxy = FaultProxy(host, port)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()

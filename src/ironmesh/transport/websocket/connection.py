"""One WebSocket connection: the library's engine does the protocol, this feeds and drains it.

The engine (`websockets`, its sans-I/O layer) parses and builds frames and has no clock and no
socket. Here are the socket's side of asyncio, the opening, the limits and the end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, cast

from websockets.exceptions import PayloadTooBig
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import CONNECTING, OPEN, SEND_EOF, Protocol, Side
from websockets.server import ServerProtocol

from ironmesh.errors import ConnectionClosed
from ironmesh.transport.inbox import Inbox
from ironmesh.transport.interface import ConnectionInfo, Endpoint, Receiver
from ironmesh.transport.tls import fingerprint
from ironmesh.transport.websocket.heartbeat import Heartbeat
from ironmesh.transport.websocket.limits import ACCEPTING, DIALLING, SEND_TIMEOUT_S, Timing
from ironmesh.transport.websocket.reassembly import Reassembly
from ironmesh.types import Unit

MAX_REQUEST_BYTES: Final = 16 * 1024
"""An opening HTTP request larger than this is not one of a node."""
MAX_UNREAD_ANSWER_BYTES: Final = 64 * 1024
"""Pongs that may wait for a peer that pings and does not read."""
WRITE_BUFFER_BYTES: Final = 128 * 1024
FIRST_READ_BYTES: Final = 4 * 1024
"""What is read at once; eight times as much each time that it was not enough."""
MAX_READ_BYTES: Final = 256 * 1024
SLOWEST_PEER_BYTES_PER_S: Final = 64 * 1024
"""What a large batch may need above the time that each one has."""
CLOSE_TIMEOUT_S: Final = 0.8

_CLEAN_CODES: Final = frozenset({1000, 1001, 1005})

SILENT: Final = logging.Logger("ironmesh.websocket")  # noqa: LOG001 - outside the tree
"""Logs nothing: what the library would say, our errors say."""
SILENT.disabled = True


class WebSocketConnection(asyncio.BufferedProtocol):
    """A `Connection` over WebSocket, for either role.

    Args:
        engine: the protocol engine of our role, fresh, with `SILENT` as its logger.
        offered: returns the subprotocols that the dialling end offered; asked once it is open.
        remote: the peer's address, without zone.
        timing: pings and timeouts; if there is none, those that suit the wire.
    """

    def __init__(
        self,
        engine: Protocol,
        remote: Endpoint,
        timing: Timing | None = None,
        offered: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._engine = engine
        self._offered = offered
        self._remote = remote
        self._timing = timing
        self._send_timeout_s = timing.send_timeout_s if timing is not None else SEND_TIMEOUT_S
        self._read_buffer = memoryview(bytearray(FIRST_READ_BYTES))
        self._inbox = Inbox(self._pause_reading, self._resume_reading)
        self._reassembly = Reassembly()
        self._heartbeat = Heartbeat(
            self._ping,
            lambda: self._abort("the peer does not answer any more"),
            lambda: self._inbox.is_full,
        )
        self._transport: asyncio.Transport | None = None
        self._info: ConnectionInfo | None = None
        self._opening: asyncio.Future[bool] = loop.create_future()
        self._request_bytes = 0
        self._can_write = asyncio.Event()
        self._can_write.set()
        self._unread_answer_bytes = 0
        self._is_closing = False
        self._why = ""
        self._abort_timer: asyncio.TimerHandle | None = None
        self._lost: asyncio.Future[None] = loop.create_future()

    # --- The `Connection` that others see ---

    @property
    def info(self) -> ConnectionInfo:
        """Where it leads and how; only of a connection that opened."""
        assert self._info is not None
        return self._info

    async def send(self, units: Sequence[Unit]) -> None:
        """Write units in order, in one go; waits until the peer made room.

        Raises:
            ConnectionClosed: the connection ended, or the peer did not read within the limit.
        """
        if (waiting := self.write(units)) is not None:
            await waiting

    def write(self, units: Sequence[Unit]) -> Awaitable[None] | None:
        """Write units in order, in one go; await what is returned until the peer made room.

        Raises:
            ConnectionClosed: the connection ended, or the peer did not read within the limit.
        """
        if self._engine.state is not OPEN or self._is_gone:
            raise self._closed()
        size = 0
        for unit in units:
            size += len(unit)
            if isinstance(unit, str):
                self._engine.send_text(unit.encode())
            else:
                self._engine.send_binary(unit)
        self._flush()
        return None if self._can_write.is_set() else self._drain(size)

    async def receive(self) -> Unit:
        """Return the next unit.

        Raises:
            ConnectionClosed: the connection ended, and what arrived before was read.
        """
        return await self._inbox.get()

    def give_to(self, receiver: Receiver) -> None:
        """Give what has arrived and what will to `receiver`, from now on."""
        self._inbox.give_to(receiver)

    def pause(self) -> None:
        """Keep what arrives; once it is too much, the peer is not read any more."""
        self._inbox.pause()

    def resume(self) -> None:
        """Give on to the receiver, first what was kept."""
        self._inbox.resume()

    async def close(self, code: int = CloseCode.NORMAL_CLOSURE) -> None:
        """Say goodbye in WebSocket's way, and hang up within `CLOSE_TIMEOUT_S` in any case."""
        if self._engine.state is OPEN:
            self._why = self._why or "we closed the connection"
            self._engine.send_close(code)
            self._flush()
        self._is_closing = True
        self._resume_reading()
        await self.lost()

    # --- What the listener and the dialler use ---

    async def opened(self) -> bool:
        """Wait for the end of the opening; False if the other side speaks no WebSocket.

        One task waits, and whoever cancels it hangs up.
        """
        return await self._opening

    async def lost(self) -> None:
        """Wait until the socket is closed."""
        if self._transport is not None:
            await asyncio.shield(self._lost)

    def abort(self) -> None:
        """Hang up at once."""
        self._abort("we gave it up")

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected, and TLS stands where it is wanted."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio names it
        """The socket is closed, by whomever."""
        self._engine.receive_eof()
        self._heartbeat.stop()
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        if not self._opening.done():
            self._opening.set_result(False)
        self._inbox.end(self._closed)
        self._can_write.set()
        self._lost.set_result(None)
        self._inbox.hand_over()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio names it
        """Return where the next bytes belong."""
        return self._read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes arrived there."""
        if self._is_gone:
            return
        data = bytes(self._read_buffer[:nbytes])
        if nbytes == len(self._read_buffer) < MAX_READ_BYTES:
            self._read_buffer = memoryview(bytearray(8 * nbytes))
        self._heartbeat.heard()
        if not self._opening.done() and not self._may_be_http(data):
            self._abort("the other side speaks no WebSocket")
            return
        self._engine.receive_data(data)
        self._take_events()
        answered = self._flush()
        if not self._can_write.is_set():
            self._unread_answer_bytes += answered
            if self._unread_answer_bytes > MAX_UNREAD_ANSWER_BYTES:
                self._abort("the peer pings and does not read the answers")
        self._inbox.hand_over()

    def eof_received(self) -> None:
        """The peer sends nothing more; asyncio hangs up after this."""
        self._engine.receive_eof()
        self._flush()

    def pause_writing(self) -> None:
        """The peer reads too slowly."""
        self._can_write.clear()

    def resume_writing(self) -> None:
        """The peer caught up."""
        self._unread_answer_bytes = 0
        self._can_write.set()

    # --- Opening ---

    def _may_be_http(self, data: bytes) -> bool:
        """Judge the first bytes: a TLS hello would have us wait for a line that never ends."""
        is_first = self._request_bytes == 0
        self._request_bytes += len(data)
        if self._engine.side is Side.SERVER and self._request_bytes > MAX_REQUEST_BYTES:
            return False
        return not is_first or data[:1].isalpha()

    def _take_events(self) -> None:
        events = self._engine.events_received()
        if isinstance(self._engine, ServerProtocol) and events and isinstance(events[0], Request):
            if len(events) > 1 or self._engine.eof_sent:
                self._abort("the other side did not wait for our answer")
                return
            self._engine.send_response(self._engine.accept(events[0]))
        if not self._opening.done():
            self._judge_opening()
        for event in events:
            if isinstance(event, Frame):
                self._take_frame(event)

    def _judge_opening(self) -> None:
        if self._engine.handshake_exc is not None:
            self._why = "the other side speaks no WebSocket"
            self._opening.set_result(False)
        elif self._engine.state is not CONNECTING:  # its farewell may have come along
            self._info = self._describe()
            self._heartbeat.start(self._timing or self._usual_timing())
            self._opening.set_result(True)

    def _usual_timing(self) -> Timing:
        if self._engine.subprotocol is None:
            return Timing()
        return DIALLING if self._engine.side is Side.CLIENT else ACCEPTING

    def _describe(self) -> ConnectionInfo:
        assert self._transport is not None
        is_outgoing = self._engine.side is Side.CLIENT
        tls = self._transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if tls and is_outgoing else None
        return ConnectionInfo(
            transport="websocket",
            remote_host=self._remote.host,
            remote_port=self._remote.port,
            is_encrypted=tls is not None,
            is_outgoing=is_outgoing,
            tls_fingerprint=fingerprint(certificate) if certificate else None,
            subprotocol=self._engine.subprotocol,
            offered=tuple(self._offered()),
        )

    # --- Reading and writing ---

    def _take_frame(self, frame: Frame) -> None:
        if frame.opcode not in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT} or self._is_closing:
            return
        try:
            unit = self._reassembly.feed(frame)
        except UnicodeDecodeError:
            self._why = "the peer sent text that is not UTF-8"
            self._engine.fail(CloseCode.INVALID_DATA)
            return
        if unit is not None:
            self._inbox.put(unit)

    def _flush(self) -> int:
        """Write what the engine has for the peer; return its size."""
        chunks = self._engine.data_to_send()
        data = b"".join(chunks)
        transport = self._transport
        if transport is None or transport.is_closing():
            return 0
        if data:
            transport.write(data)
        if SEND_EOF in chunks:
            if transport.can_write_eof():
                transport.write_eof()
            else:
                transport.close()
        if self._engine.close_expected() and self._abort_timer is None:
            loop = asyncio.get_running_loop()
            self._abort_timer = loop.call_later(CLOSE_TIMEOUT_S, transport.abort)
        return len(data)

    async def _drain(self, size: int) -> None:
        try:
            async with asyncio.timeout(self._send_timeout_s + size / SLOWEST_PEER_BYTES_PER_S):
                await self._can_write.wait()
        except TimeoutError:
            self._abort("the peer does not read")
            raise self._closed() from None
        if self._is_gone:
            raise self._closed()

    def _ping(self) -> None:
        if self._engine.state is OPEN:
            self._engine.send_ping(b"")
            self._flush()

    def _pause_reading(self) -> None:
        if self._transport is not None and not self._is_closing:
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._transport is not None and not self._is_gone:
            self._transport.resume_reading()

    # --- The end ---

    @property
    def _is_gone(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def _abort(self, why: str) -> None:
        self._why = self._why or why
        if self._transport is not None:
            self._transport.abort()

    def _closed(self) -> ConnectionClosed:
        received, sent = self._engine.close_rcvd, self._engine.close_sent
        first = received if self._engine.close_rcvd_then_sent or sent is None else sent
        code = int(first.code) if first is not None else int(CloseCode.ABNORMAL_CLOSURE)
        is_clean = (
            received is not None
            and sent is not None
            and {int(received.code), int(sent.code)} <= _CLEAN_CODES
        )
        return ConnectionClosed(self._reason(code), close_code=code, is_clean=is_clean)

    def _reason(self, code: int) -> str:
        if self._why:
            return self._why
        if isinstance(self._engine.parser_exc, PayloadTooBig):
            return "the peer sent a message that is too large"
        if self._engine.close_rcvd is not None:
            return f"the peer closed the connection ({code})"
        if code == CloseCode.PROTOCOL_ERROR:
            return "the peer broke the WebSocket protocol"
        return "the connection was lost"

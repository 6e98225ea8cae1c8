"""WebSocket over real sockets: what both sides of a connection may rely on."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import warnings
from pathlib import Path

import pytest
from tests.support.leftovers import Leftovers
from tests.support.pace import slowdown
from tests.support.websocket import LOOPBACK, CountingDoor, Serving, hung_up, server_tls, serving

from ironmesh.errors import (
    ConfigError,
    ConnectError,
    ConnectFailure,
    ConnectionClosed,
    PortInUseError,
)
from ironmesh.transport import tls
from ironmesh.transport.interface import Connection
from ironmesh.transport.websocket import Timing, dial, listen
from ironmesh.transport.websocket.connection import WebSocketConnection
from ironmesh.transport.websocket.limits import MAX_UNIT_BYTES
from ironmesh.types import Endpoint, Refusal

IPV6_LOOPBACK = Endpoint("::1", 0)


@pytest.fixture(params=["ws", "wss"])
def context(request: pytest.FixtureRequest, tmp_path: Path) -> ssl.SSLContext | None:
    return server_tls(tmp_path) if request.param == "wss" else None


async def connect(server: Serving, context: ssl.SSLContext | None) -> tuple[Connection, Connection]:
    """Return both ends of a new connection, ours first."""
    near = await dial(server.endpoint, use_tls=context is not None)
    return near, await server.accepted.get()


async def test_units_cross_in_order_both_ways(context: ssl.SSLContext | None) -> None:
    units = ["héllo", b"", b"x" * MAX_UNIT_BYTES, "", b"\x00"]
    async with serving(tls=context, echo=True) as server:
        connection = await dial(server.endpoint, use_tls=context is not None)
        await connection.send(units)
        assert [await connection.receive() for _ in units] == units
        await connection.close()


async def test_a_small_unit_never_waits_for_an_acknowledgement(
    context: ssl.SSLContext | None,
) -> None:
    async with serving(tls=context) as server:
        for end in await connect(server, context):
            assert isinstance(end, WebSocketConnection)
            sock = end._transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_both_ends_know_what_connects_them(context: ssl.SSLContext | None) -> None:
    async with serving(tls=context) as server:
        near, far = await connect(server, context)
        assert near.info.is_outgoing
        assert not far.info.is_outgoing
        assert near.info.is_encrypted is far.info.is_encrypted is (context is not None)
        assert near.info.remote_text == str(server.endpoint)
        assert far.info.remote_host == "127.0.0.1"
        assert (near.info.tls_fingerprint is not None) == (context is not None)
        assert far.info.tls_fingerprint is None


async def test_the_fingerprint_is_that_of_the_servers_certificate(tmp_path: Path) -> None:
    async with serving(tls=server_tls(tmp_path)) as server:
        near = await dial(server.endpoint, use_tls=True)
        der = ssl.PEM_cert_to_DER_cert((tmp_path / "cert.pem").read_text())
        assert near.info.tls_fingerprint == tls.fingerprint(der)
        await near.close()


async def test_a_listener_may_speak_ipv6() -> None:
    async with serving(IPV6_LOOPBACK, echo=True) as server:
        connection = await dial(server.endpoint, use_tls=False)
        assert connection.info.remote_text == str(server.endpoint)
        await connection.send(["over IPv6"])
        assert await connection.receive() == "over IPv6"
        await connection.close()


async def test_a_listener_on_all_addresses_sees_ipv4_as_ipv4() -> None:
    async with serving(Endpoint("::", 0)) as server:
        near = await dial(Endpoint("127.0.0.1", server.endpoint.port), use_tls=False)
        far = await server.accepted.get()
        assert far.info.remote_host == "127.0.0.1"
        assert server.door.asked == ["127.0.0.1"]
        await near.close()


async def test_several_addresses_share_one_free_port() -> None:
    door = CountingDoor()

    async def handler(connection: Connection) -> None:
        door.settle(connection.info.remote_host)

    listener = await listen(
        [LOOPBACK, IPV6_LOOPBACK], handler, tls=None, door=door, on_refused=lambda *_: None
    )
    assert [e.host for e in listener.endpoints] == ["127.0.0.1", "::1"]
    assert len({e.port for e in listener.endpoints}) == 1
    for endpoint in listener.endpoints:
        await (await dial(endpoint, use_tls=False)).close()
    await listener.close()


async def test_a_host_name_is_dialled_at_each_of_its_addresses() -> None:
    async with serving() as server:
        connection = await dial(Endpoint("localhost", server.endpoint.port), use_tls=False)
        assert connection.info.remote_host == "127.0.0.1"
        await connection.close()


@pytest.mark.parametrize(
    ("offered", "agreed"), [(("ironmesh.v5",), "ironmesh.v5"), ((), None), (("other",), None)]
)
async def test_a_subprotocol_is_agreed_on_where_both_know_it(
    offered: tuple[str, ...], agreed: str | None
) -> None:
    async with serving(subprotocols=["ironmesh.v5"]) as server:
        near = await dial(server.endpoint, use_tls=False, subprotocols=offered)
        far = await server.accepted.get()
        assert near.info.subprotocol == far.info.subprotocol == agreed
        assert near.info.offered == far.info.offered == tuple(offered)
        await near.close()


async def test_the_server_refuses_an_oversize_message(context: ssl.SSLContext | None) -> None:
    async with serving(tls=context, max_unit_bytes=1000) as server:
        near, far = await connect(server, context)
        await near.send([b"x" * 1000, b"x" * 1001])
        assert await far.receive() == b"x" * 1000
        for end in (far, near):
            with pytest.raises(ConnectionClosed) as closed:
                await end.receive()
            assert closed.value.close_code == 1009


async def test_the_client_refuses_an_oversize_message(context: ssl.SSLContext | None) -> None:
    async with serving(tls=context) as server:
        near = await dial(server.endpoint, use_tls=context is not None, max_unit_bytes=1000)
        far = await server.accepted.get()
        await far.send([b"x" * 1001])
        for end in (near, far):
            with pytest.raises(ConnectionClosed) as closed:
                await end.receive()
            assert closed.value.close_code == 1009


async def test_a_reader_that_stops_holds_the_sender_back_and_is_dropped_in_the_end(
    context: ssl.SSLContext | None,
) -> None:
    async with serving(tls=context, timing=Timing(send_timeout_s=0.1)) as server:
        near, far = await connect(server, context)
        sent = 0
        batch = [b"x" * 1000] * 8

        async def send_until_refused() -> None:
            nonlocal sent
            while True:
                await far.send(batch)
                sent += 8000

        with pytest.raises(ConnectionClosed, match="does not read"):
            await send_until_refused()
        assert sent < 32 * 1024 * 1024
        await near.close()


async def test_a_slow_reader_gets_everything(context: ssl.SSLContext | None) -> None:
    async with serving(tls=context) as server:
        near, far = await connect(server, context)
        sending = asyncio.create_task(far.send([bytes([n % 251]) * 5000 for n in range(2000)]))
        for n in range(2000):
            assert await near.receive() == bytes([n % 251]) * 5000
        await sending
        await near.close()


async def test_a_close_is_clean_at_both_ends_and_quick(context: ssl.SSLContext | None) -> None:
    async with serving(tls=context) as server:
        near, far = await connect(server, context)
        await near.send([b"last words"])
        async with asyncio.timeout(0.5):
            await near.close()
            await near.close()
        assert await far.receive() == b"last words"
        with pytest.raises(ConnectionClosed) as closed:
            await far.receive()
        assert (closed.value.close_code, closed.value.is_clean) == (1000, True)
        with pytest.raises(ConnectionClosed):
            await near.send([b"too late"])


async def test_a_listener_closes_what_is_open_within_a_second(
    context: ssl.SSLContext | None,
) -> None:
    async with serving(tls=context) as server:
        ends = [await dial(server.endpoint, use_tls=context is not None) for _ in range(5)]
        # These never say a word: neither TLS nor HTTP begins.
        silent = [await server.raw() for _ in range(5)]
        loop = asyncio.get_running_loop()
        started = loop.time()
        await server.listener.close()
        assert loop.time() - started < slowdown()
        assert server.door.half_open == 0
        for end in ends:
            with pytest.raises(ConnectionClosed):
                await end.receive()
            await end.close()
        for reader, writer in silent:
            assert await hung_up(reader) == b""
            writer.close()


async def test_a_handler_that_does_not_end_is_cancelled() -> None:
    stubborn = asyncio.Event()

    async def handler(connection: Connection) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stubborn.set()

    listener = await listen(
        LOOPBACK, handler, tls=None, door=CountingDoor(), on_refused=lambda *_: None
    )
    near = await dial(listener.endpoints[0], use_tls=False)
    await listener.close()
    assert stubborn.is_set()
    await near.close()


async def test_a_handler_that_fails_is_reported_and_others_are_served() -> None:
    reported: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(context))

    async def handler(connection: Connection) -> None:
        if await connection.receive() == "fail":
            raise ValueError("a bug of the handler")
        await connection.send(["served"])

    listener = await listen(
        LOOPBACK, handler, tls=None, door=CountingDoor(), on_refused=lambda *_: None
    )
    failing = await dial(listener.endpoints[0], use_tls=False)
    await failing.send(["fail"])
    with pytest.raises(ConnectionClosed):
        await failing.receive()
    other = await dial(listener.endpoints[0], use_tls=False)
    await other.send(["hello"])
    assert await other.receive() == "served"
    await other.close()
    await failing.close()
    await listener.close()
    assert [str(context["exception"]) for context in reported] == ["a bug of the handler"]


async def test_a_machine_out_of_descriptors_accepts_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    real = loop.sock_accept
    failures = iter([OSError(errno.EMFILE, "Too many open files")])

    async def accept(sock: socket.socket) -> tuple[socket.socket, object]:
        for failure in failures:
            raise failure
        return await real(sock)

    monkeypatch.setattr(loop, "sock_accept", accept)
    async with serving() as server:
        await (await dial(server.endpoint, use_tls=False)).close()


async def test_a_port_in_use_is_a_named_error_and_the_port_is_free_after_close() -> None:
    async with serving() as server:
        with pytest.raises(PortInUseError, match="--port"):
            await listen(
                server.endpoint, None, tls=None, door=CountingDoor(), on_refused=lambda *_: None
            )
        endpoint = server.endpoint
    async with serving(endpoint):
        pass


async def test_an_address_of_another_machine_cannot_be_bound() -> None:
    with pytest.raises(ConfigError, match="--bind"):
        await listen(
            Endpoint("192.0.2.77", 0),
            None,
            tls=None,
            door=CountingDoor(),
            on_refused=lambda *_: None,
        )


async def test_twenty_rounds_leave_nothing(context: ssl.SSLContext | None) -> None:
    async def one_round() -> None:
        async with serving(tls=context, echo=True) as server:
            connection = await dial(server.endpoint, use_tls=context is not None)
            await connection.send([b"x"])
            await connection.receive()
            await connection.close()
        with pytest.raises(ConnectError):
            await dial(server.endpoint, use_tls=context is not None)

    await one_round()
    before = await Leftovers.now()
    for _ in range(20):
        await one_round()
    assert await Leftovers.now() == before


# --- Dials that fail ---------------------------------------------------------------------------


async def test_nobody_there_is_told_apart() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectError, match="nobody listens") as error:
            await dial(Endpoint(*taken.getsockname()), use_tls=True)
    assert error.value.failure is ConnectFailure.REFUSED


async def test_an_unknown_host_is_told_apart() -> None:
    with pytest.raises(ConnectError, match="no host") as error:
        await dial(Endpoint("no-such-host.invalid", 1), use_tls=True)
    assert error.value.failure is ConnectFailure.UNREACHABLE


@pytest.mark.parametrize("use_tls", [True, False])
async def test_a_server_that_says_nothing_times_out(use_tls: bool) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        pytest.raises(ConnectError, match="did not answer") as error,
    ):
        await dial(Endpoint(*mute.getsockname()), use_tls=use_tls, timeout_s=0.2)
    assert error.value.failure is ConnectFailure.TIMED_OUT


async def test_a_server_without_tls_is_told_apart() -> None:
    async with serving() as server:
        with pytest.raises(ConnectError) as error:
            await dial(server.endpoint, use_tls=True)
        assert error.value.failure is ConnectFailure.NOT_TLS


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"\x00" * 9])
async def test_a_server_that_speaks_something_else_is_told_apart(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        with pytest.raises(ConnectError) as error:
            await dial(Endpoint(*server.sockets[0].getsockname()), use_tls=False)
    assert error.value.failure is ConnectFailure.NOT_WEBSOCKET


async def test_a_dial_that_is_given_up_leaves_nothing() -> None:
    before = await Leftovers.now()
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.setblocking(False)
        for use_tls in (True, False):
            dialling = asyncio.create_task(
                dial(Endpoint(*mute.getsockname()), use_tls=use_tls, timeout_s=5)
            )
            accepted, _ = await loop.sock_accept(mute)
            assert await loop.sock_recv(accepted, 1)
            dialling.cancel()
            await asyncio.gather(dialling, return_exceptions=True)
            accepted.close()
    assert await Leftovers.now() == before


async def test_tls_1_1_is_refused(tmp_path: Path) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    async with serving(tls=server_tls(tmp_path)) as server:
        with pytest.raises(OSError):
            await server.raw(old)
        assert (await server.refused.get())[0] is Refusal.NOT_WEBSOCKET
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        _, writer = await server.raw(old)
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.2"
        writer.close()
        await writer.wait_closed()

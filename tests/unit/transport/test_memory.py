"""The in-memory twin behaves as the real transports do."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.websocket import CountingDoor

from ironmesh.errors import ConnectError, ConnectFailure, ConnectionClosed, PortInUseError
from ironmesh.transport.interface import Connection
from ironmesh.transport.memory import MemoryConnection, MemoryNetwork
from ironmesh.types import Endpoint, Refusal

HERE = Endpoint("node", 8765)


class Accepting:
    """A handler that hands its connections to the test and keeps them open."""

    def __init__(self) -> None:
        self.connections: asyncio.Queue[Connection] = asyncio.Queue()

    async def __call__(self, connection: Connection) -> None:
        self.connections.put_nowait(connection)
        await asyncio.Event().wait()


async def make_pair(network: MemoryNetwork) -> tuple[MemoryConnection, Connection]:
    handler = Accepting()
    listener = await network.listen(HERE, handler)
    near = await network.dial(listener.endpoints[0])
    return near, await handler.connections.get()


async def test_units_cross_in_order_both_ways() -> None:
    near, far = await make_pair(MemoryNetwork())
    await near.send(["hello", b"1"])
    await far.send([b"2"])
    assert [await far.receive(), await far.receive(), await near.receive()] == ["hello", b"1", b"2"]


async def test_both_ends_know_their_role() -> None:
    near, far = await make_pair(MemoryNetwork())
    assert near.info.is_outgoing
    assert not far.info.is_outgoing
    assert near.info.remote_text == "memory:8765"
    assert not near.info.is_encrypted


async def test_a_reader_that_stops_holds_the_sender_back() -> None:
    network = MemoryNetwork()  # kept: nothing else keeps the tasks that serve
    near, far = await make_pair(network)
    sender = asyncio.create_task(near.send([b"x" * 1000] * 10_000))
    await asyncio.sleep(0)
    assert not sender.done()
    for _ in range(10_000):
        assert await far.receive() == b"x" * 1000
    await sender


async def test_what_was_sent_before_a_close_is_read_and_then_the_end_is_clean() -> None:
    near, far = await make_pair(MemoryNetwork())
    await near.send([b"last words"])
    await near.close(1000)
    await near.close()
    assert await far.receive() == b"last words"
    with pytest.raises(ConnectionClosed) as end:
        await far.receive()
    assert (end.value.close_code, end.value.is_clean) == (1000, True)
    with pytest.raises(ConnectionClosed):
        await far.send([b"too late"])


async def test_a_cut_connection_ends_uncleanly_at_both_ends() -> None:
    near, far = await make_pair(MemoryNetwork())
    near.abort()
    for end in (near, far):
        with pytest.raises(ConnectionClosed) as closed:
            await end.receive()
        assert not closed.value.is_clean


async def test_a_close_frees_a_sender_that_waits() -> None:
    network = MemoryNetwork()  # kept: nothing else keeps the tasks that serve
    near, far = await make_pair(network)
    sender = asyncio.create_task(near.send([b"x"] * 10_000))
    await asyncio.sleep(0)
    await far.close()
    with pytest.raises(ConnectionClosed):
        await sender


async def test_nobody_there_is_a_connect_error() -> None:
    with pytest.raises(ConnectError) as error:
        await MemoryNetwork().dial(HERE)
    assert error.value.failure is ConnectFailure.REFUSED


async def test_an_endpoint_is_taken_until_its_listener_closes() -> None:
    network = MemoryNetwork()
    listener = await network.listen(HERE, Accepting())
    with pytest.raises(PortInUseError):
        await network.listen(HERE, Accepting())
    await listener.close()
    await (await network.listen(HERE, Accepting())).close()


async def test_port_zero_gives_each_listener_a_port_of_its_own() -> None:
    network = MemoryNetwork()
    listeners = [await network.listen(Endpoint("node", 0), Accepting()) for _ in range(3)]
    assert len({listener.endpoints[0].port for listener in listeners} - {0}) == 3


async def test_closing_a_listener_ends_its_handlers() -> None:
    network = MemoryNetwork()
    ended = asyncio.Event()

    async def handler(connection: Connection) -> None:
        try:
            await connection.receive()
        finally:
            ended.set()

    listener = await network.listen(HERE, handler)
    near = await network.dial(HERE)
    await asyncio.sleep(0)
    await listener.close()
    assert ended.is_set()
    with pytest.raises(ConnectionClosed):
        await near.receive()


async def test_a_shut_door_refuses_and_says_so() -> None:
    network = MemoryNetwork()
    refused: list[Refusal] = []
    await network.listen(
        HERE,
        Accepting(),
        door=CountingDoor(capacity=0),
        on_refused=lambda reason, remote: refused.append(reason),
    )
    with pytest.raises(ConnectError):
        await network.dial(HERE)
    assert refused == [Refusal.BUSY]

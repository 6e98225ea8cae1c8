"""A handshake over a connection that may end at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.support import legacy
from tests.support.nodes import MovableClock

from ironmesh.errors import HandshakeError
from ironmesh.node import handshaking
from ironmesh.node.handshaking import shake_hands
from ironmesh.session.legacy.server import ServerHandshake
from ironmesh.transport.interface import Connection
from ironmesh.transport.memory import MemoryNetwork
from ironmesh.types import Endpoint, Refusal

HERE = Endpoint("here", 1)


Ends = tuple[Connection, Connection]


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    """Both ends of a connection: who dialled, who was dialled."""
    network = MemoryNetwork()
    far: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def keep(connection: Connection) -> None:
        far.set_result(connection)
        await over.wait()

    listener = await network.listen(HERE, keep)
    near = await network.dial(HERE)
    yield near, await far
    over.set()
    await listener.close()


async def test_a_wrong_proof_is_one_although_its_sender_hung_up_at_once(ends: Ends) -> None:
    near, far = ends
    server = ServerHandshake(legacy.settings("server"))
    shaking = asyncio.create_task(shake_hands(far, server, MovableClock()))
    await near.receive()
    await near.send(['{"type": "PASSPHRASE_CHALLENGE", "from": "x", "proof": "00"}'])
    near.abort()
    with pytest.raises(HandshakeError) as refused:
        await shaking
    assert refused.value.reason is Refusal.AUTH_FAILED


async def test_a_peer_that_hangs_up_is_told_so(ends: Ends) -> None:
    near, far = ends
    server = ServerHandshake(legacy.settings("server"))
    near.abort()
    with pytest.raises(HandshakeError, match="hung up") as refused:
        await shake_hands(far, server, MovableClock())
    assert refused.value.reason is Refusal.PROTOCOL


async def test_silence_ends_a_handshake(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshaking, "HANDSHAKE_LIMIT_S", 0.02)
    _, far = ends
    server = ServerHandshake(legacy.settings("server"))
    with pytest.raises(HandshakeError) as refused:
        await shake_hands(far, server, MovableClock())
    assert refused.value.reason is Refusal.TIMEOUT

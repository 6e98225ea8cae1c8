"""Attackers on our own wire: one who dials, one who is dialled, one in the middle.

They speak WebSocket over loopback with real nodes. A stranger does not know the passphrase of the
mesh, an insider does.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import websockets.asyncio.client as client
import websockets.asyncio.server as server
from tests.support.mallory import ADDRESS
from tests.support.nodes import PASSPHRASE, Live, PatientTransport
from tests.support.outer import OUTER
from websockets.exceptions import ConnectionClosed

from ironmesh.config import DEFAULT_MESH, MINIMAL_KDF
from ironmesh.crypto import meshkey
from ironmesh.crypto.identity import Identity
from ironmesh.errors import HandshakeError
from ironmesh.node.clock import SystemClock
from ironmesh.session.native.channel import NativeChannel
from ironmesh.session.native.initiator import InitiatorHandshake
from ironmesh.session.native.responder import ResponderHandshake
from ironmesh.session.native.schedule import Negotiated
from ironmesh.session.native.settings import NativeSettings
from ironmesh.types import Endpoint, Message, MessageId, NodeId, Refusal, Secret, Unit
from ironmesh.wire.native.constants import SUBPROTOCOL

NEGOTIATED = Negotiated("websocket", (SUBPROTOCOL,), SUBPROTOCOL)
WRONG = Secret("a guess that is as wrong as guesses are")
CLOCK = SystemClock()
MIDDLE = "127.0.0.5"
"""Where the man in the middle dials from."""
LIMIT_S = 15.0
"""How long an attacker waits for a word."""

PLAIN: dict[str, Any] = {"transport": PatientTransport()}
"""Nodes without TLS: on our own wire it keeps nobody out, so attackers need not break it. Where it
may make a difference, the fixture `outer` puts it beneath them."""


@functools.cache
def _stretched(passphrase: bytes, mesh: str) -> Secret:
    return meshkey.mesh_secret(Secret(passphrase), mesh, MINIMAL_KDF)


def party(
    name: str = "mallory",
    *,
    passphrase: Secret = PASSPHRASE,
    identity: Any = None,
    mesh: str = DEFAULT_MESH,
) -> NativeSettings:
    """Return what an attacker has: an identity of their own, a name, and a passphrase to try."""
    return NativeSettings(
        identity=identity or Identity.generate(os.urandom),
        name=name,
        prs={0: _stretched(passphrase.reveal(), mesh)},
        random=os.urandom,
    )


def message(sender: NativeSettings, receiver: NodeId, payload: bytes, **changes: Any) -> Message:
    """Return a message of an insider."""
    values: dict[str, Any] = {
        "id": MessageId(os.urandom(8) + bytes(1) + os.urandom(7)),
        "type": "MSG",
        "payload": payload,
        "source": sender.identity.node_id,
        "destination": receiver,
        "timestamp_ms": 1_767_225_600_000,
    }
    return Message(**(values | changes))


class Peer:
    """One end of a WebSocket connection with a node."""

    def __init__(self, socket: client.ClientConnection | server.ServerConnection) -> None:
        self.socket = socket
        self.greeting: list[Message] = []
        """What the node said together with READY."""

    async def say(self, *units: Unit) -> None:
        """Send units as they are."""
        for unit in units:
            await self.socket.send(unit)

    async def hear(self) -> Any:
        """Return the next unit."""
        async with asyncio.timeout(LIMIT_S):
            return await self.socket.recv()

    async def hear_end(self) -> tuple[list[Unit], int | None]:
        """Wait until the node hangs up; return its last words and its close code."""
        words: list[Unit] = []
        async with asyncio.timeout(LIMIT_S):
            try:
                while True:
                    words.append(await self.socket.recv())
            except ConnectionClosed:
                return words, self.socket.close_code

    async def join(self, own: NativeSettings, *, resume: NodeId | None = None) -> NativeChannel:
        """Go through the whole handshake as the one who dialled, and hear READY.

        What the node said in the same record is in `greeting`.
        """
        machine = InitiatorHandshake(own, NEGOTIATED, resume=resume)
        await self.say(*machine.start(CLOCK.now()))
        while machine.claim is None:
            await self.say(*machine.receive(await self.hear(), CLOCK.now()))
        established = machine.accept(CLOCK.now())
        await self.say(*established.units)
        assert isinstance(established.channel, NativeChannel)
        self.greeting = established.channel.open(await self.hear(), CLOCK.now()).messages
        return established.channel


@asynccontextmanager
async def dialling(
    target: Live | Endpoint,
    address: str = ADDRESS,
    protocols: Sequence[str] = (SUBPROTOCOL,),
) -> AsyncIterator[Peer]:
    """Connect to a node."""
    host, port = target.endpoint if isinstance(target, Live) else target
    async with client.connect(
        f"{OUTER.scheme}://{host}:{port}",
        ssl=OUTER.client,
        local_addr=(address, 0),
        subprotocols=protocols or None,  # type: ignore[arg-type]
        compression=None,
        max_size=None,
        close_timeout=0.2,
    ) as connection:
        yield Peer(connection)


@asynccontextmanager
async def dialled(
    answer: Callable[[Peer], Awaitable[None]], *, protocol: str = SUBPROTOCOL
) -> AsyncIterator[Endpoint]:
    """Be somebody whom nodes dial; gives the address.

    Args:
        protocol: what is chosen, whatever was offered; empty for none.
    """

    async def serve(connection: server.ServerConnection) -> None:
        with suppress(ConnectionClosed, TimeoutError):
            await answer(Peer(connection))

    async with server.serve(
        serve,
        "127.0.0.1",
        0,
        ssl=OUTER.attackers,
        select_subprotocol=lambda _, offered: protocol if protocol in offered else None,  # type: ignore[arg-type,return-value]
        subprotocols=[protocol] if protocol else None,  # type: ignore[list-item]
        compression=None,
        max_size=None,
        close_timeout=0.2,
    ) as listening:
        yield Endpoint("127.0.0.1", next(iter(listening.sockets)).getsockname()[1])


async def refusal_of_dial(alice: Live, endpoint: Endpoint) -> Refusal:
    """Let a node dial, and return why it refuses whom it meets."""
    try:
        await alice.node.connect(*endpoint)
    except HandshakeError as error:
        return error.reason
    raise AssertionError("the dial succeeded")


def answering(own: NativeSettings) -> ResponderHandshake:
    """Return the answering side of an attacker's handshake."""
    machine = ResponderHandshake(own, NEGOTIATED, lambda: None)
    machine.start(CLOCK.now())
    return machine


# --- In the middle -------------------------------------------------------------------------------

Way = Literal["up", "down"]
"""`up` is what the dialling node says, `down` what it hears."""
Tamper = Callable[[Way, int, Unit], Sequence[Unit]]
"""What becomes of unit number n of a direction of one connection."""


def untouched(way: Way, number: int, unit: Unit) -> Sequence[Unit]:
    """Pass everything on."""
    return [unit]


@dataclass
class Middle:
    """A man in the middle, between whoever dials him and one node."""

    endpoint: Endpoint = field(default=Endpoint("", 0))
    tamper: Tamper = untouched
    heard: list[tuple[Way, Unit]] = field(default_factory=list)
    """All that passed, as it was sent."""
    connections: list[tuple[Peer, Peer]] = field(default_factory=list)
    """The ends towards the one who dialled, and towards the target."""
    offered: list[tuple[str, ...]] = field(default_factory=list)

    def said(self, way: Way) -> list[bytes]:
        """Return the binary units of one direction."""
        return [unit for each, unit in self.heard if each == way and isinstance(unit, bytes)]

    async def cut(self) -> None:
        """End all connections without a word to either end."""
        for ends in self.connections:
            for end in ends:
                end.socket.transport.abort()

    async def join(self, near: Peer, far: Peer) -> None:
        """Carry both directions until one ends."""
        self.connections.append((near, far))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._carry(near, far, "up"))
            tasks.create_task(self._carry(far, near, "down"))

    async def _carry(self, source: Peer, target: Peer, way: Way) -> None:
        number = 0
        with suppress(ConnectionClosed):
            async for unit in source.socket:
                self.heard.append((way, unit))
                for passed in self.tamper(way, number, unit):
                    await target.socket.send(passed)
                number += 1
        code = source.socket.close_code
        await target.socket.close(code if code is not None and code != 1006 else 1000)


@asynccontextmanager
async def in_the_middle(
    target: Live,
    tamper: Tamper = untouched,
    *,
    protocols: Sequence[str] = (SUBPROTOCOL,),
    chosen: str | None = SUBPROTOCOL,
) -> AsyncIterator[Middle]:
    """Stand between a node and whoever dials; gives the middle, with the address to dial.

    Args:
        protocols: what is offered to the target, whatever the dialling node offered.
        chosen: what the dialling node is told to have been chosen; None for nothing.
    """
    middle = Middle(tamper=tamper)

    async def relay(near: Peer) -> None:
        headers = near.socket.request.headers  # type: ignore[union-attr]
        middle.offered.append(tuple(headers.get_all("Sec-WebSocket-Protocol")))
        with suppress(OSError):
            async with dialling(target, MIDDLE, protocols) as far:
                await middle.join(near, far)

    async with dialled(relay, protocol=chosen or "") as endpoint:
        middle.endpoint = endpoint
        yield middle

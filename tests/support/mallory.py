"""Somebody who speaks to a node what it should not hear, from an address of their own."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import websockets.asyncio.client as client
from tests.support import legacy
from tests.support.nodes import PASSPHRASE, Live
from tests.support.outer import OUTER
from websockets.exceptions import ConnectionClosed

from ironmesh.crypto import sodium
from ironmesh.node.clock import SystemClock
from ironmesh.session.interface import Channel
from ironmesh.session.legacy.client import ClientHandshake
from ironmesh.types import Message, Unit

ADDRESS = "127.0.0.3"
"""On loopback every address of 127.0.0.0/8 is a source of its own."""


async def tcp(
    target: Live, address: str = ADDRESS
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a node's port, and say nothing."""
    return await asyncio.open_connection(*target.endpoint, local_addr=(address, 0))


async def is_hung_up(reader: asyncio.StreamReader) -> bool:
    """Wait until the node hangs up; return whether it said nothing before."""
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


class Mallory:
    """One WebSocket connection to a node, in whatever state a test wants."""

    def __init__(self, connection: client.ClientConnection) -> None:
        self._connection = connection
        self.challenge: dict[str, Any] = {}

    async def say(self, *units: Unit | dict[str, Any]) -> None:
        """Send units; a dictionary as JSON."""
        for unit in units:
            await self._connection.send(json.dumps(unit) if isinstance(unit, dict) else unit)

    async def hear(self) -> dict[str, Any]:
        """Return the next handshake message."""
        heard: dict[str, Any] = json.loads(await self._connection.recv())
        return heard

    async def hear_unit(self) -> Unit:
        """Return the next unit."""
        return await self._connection.recv()

    async def hear_end(self) -> list[Unit]:
        """Wait until the node hangs up; return its last words."""
        words: list[Unit] = []
        try:
            while True:
                words.append(await self._connection.recv())
        except ConnectionClosed:
            return words

    async def hear_challenge(self) -> bytes:
        """Return the nonce of the node's challenge."""
        self.challenge = await self.hear()
        return bytes.fromhex(self.challenge["nonce"])

    async def prove(self, *, secret: bytes = PASSPHRASE.reveal()) -> None:
        """Answer the challenge; with another secret, wrongly."""
        nonce = await self.hear_challenge()
        proof = sodium.hmac_sha256(secret, nonce).hex()
        await self.say({"type": "PASSPHRASE_CHALLENGE", "from": "0" * 32, "proof": proof})

    async def open_session(self, name: str = "mallory", **settings: Any) -> Session:
        """Go through the whole handshake, as a member of the mesh.

        Args:
            settings: further ones of `LegacySettings`.
        """
        clock = SystemClock()
        party = legacy.settings(
            name, passphrase=PASSPHRASE, protocol_version="ironmesh/0.6", **settings
        )
        machine = ClientHandshake(party)
        spoken = machine.start(clock.now())
        said: list[Unit] = []
        while machine.claim is None:
            await self.say(*spoken)
            said.extend(spoken)
            spoken = machine.receive(await self.hear_unit(), clock.now())
        channel = machine.accept(clock.now()).channel
        return Session(self, party, machine.claim.node_id, channel, said)

    def reset(self) -> None:
        """Hang up without a word."""
        sock = self._connection.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.transport.abort()


class Session:
    """An established session, from its other end."""

    def __init__(
        self, mallory: Mallory, party: Any, peer: str, channel: Channel, spoken: list[Unit]
    ) -> None:
        self.mallory = mallory
        self.party = party
        self.peer = peer
        self.channel = channel
        self.spoken = spoken
        """What was said in the handshake."""

    def seal(self, *payloads: bytes) -> list[Unit]:
        """Return what the channel writes for messages with these payloads."""
        messages: Sequence[Message] = [
            legacy.message(self.party, self.party, payload, destination=self.peer)
            for payload in payloads
        ]
        return self.channel.seal(messages, SystemClock().now())

    async def send(self, *payloads: bytes) -> None:
        """Send messages as an honest peer does."""
        await self.mallory.say(*self.seal(*payloads))


@asynccontextmanager
async def mallory(target: Live, address: str = ADDRESS) -> AsyncIterator[Mallory]:
    """Connect to a node."""
    host, port = target.endpoint
    async with client.connect(
        f"{OUTER.scheme}://{host}:{port}",
        ssl=OUTER.client,
        local_addr=(address, 0),
        compression=None,
        max_size=None,
        close_timeout=0.2,
    ) as connection:
        yield Mallory(connection)

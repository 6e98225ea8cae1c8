"""A relay of the 0.8 wire that is a member of the mesh, records what it passes on, and may lie."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import msgspec
from tests.support import legacy
from tests.support.mallory import Session, mallory
from tests.support.nodes import Live, eventually
from websockets.exceptions import ConnectionClosed

from ironmesh.node.clock import SystemClock
from ironmesh.types import Message, MessageId, NodeId
from ironmesh.wire.legacy import inner
from ironmesh.wire.legacy.inner import Inner
from ironmesh.wire.legacy.mesh import RouteAnnounce, RouteEntry, encode_route_announce
from ironmesh.wire.legacy.transit import Transit

CLOCK = SystemClock()
NAME = "mallory"

Tamper = Callable[[Inner], Sequence[Inner]]
"""What becomes of a frame that is to be passed on."""


class HostileRelay:
    """Sessions with several nodes, all under one identity.

    It announces to each of them a way to all others, and passes on what they write to each other.
    """

    def __init__(self, name: str = NAME) -> None:
        self.name = name
        self.identity = legacy.identity(name)
        self.node_id = self.identity.node_id
        self.sessions: dict[NodeId, Session] = {}
        self.heard: list[Inner] = []
        """Every frame for others, as it was opened here."""
        self.said: list[Message] = []
        """Every message for this relay."""
        self.keys: dict[NodeId, bytes] = {}
        """Keys of sources that are not its direct peers."""
        self.tamper: Tamper = lambda said: [said]
        self._tasks: list[asyncio.Task[None]] = []

    async def join(self, stack: AsyncExitStack, node: Live) -> None:
        """Open a session with a node."""
        peer = await stack.enter_async_context(mallory(node))
        session = await peer.open_session(self.name, takes_transit=True, known_keys=self.keys.get)
        self.sessions[node.id] = session
        self._tasks.append(asyncio.create_task(self._listen(session)))
        await node.seen.until(lambda: node.node.links.get(self.node_id) is not None, self.name)

    async def announce(self, *further: NodeId) -> None:
        """Tell each node of a way to all others, and to some that are farther away."""
        for node_id in self.sessions:
            others = [other for other in self.sessions if other != node_id]
            routes = [RouteEntry(self.node_id, 0)]
            routes += [RouteEntry(other, 1) for other in (*others, *further)]
            await self.say_routes(node_id, *routes)

    async def say_routes(
        self, node_id: NodeId, *routes: RouteEntry, origin: NodeId | None = None
    ) -> None:
        """Announce routes to a node."""
        announce = RouteAnnounce(origin or self.node_id, routes, 1)
        await self.tell(node_id, "ROUTE_ANNOUNCE", encode_route_announce(announce))

    async def tell(self, node_id: NodeId, kind: str, payload: bytes, **changes: Any) -> None:
        """Say something to a node as its direct peer."""
        session = self.sessions[node_id]
        said = legacy.message(
            session.party, session.party, payload, destination=node_id, type=kind, **changes
        )
        await session.mallory.say(*session.channel.seal([said], CLOCK.now()))

    async def hand(self, node_id: NodeId, said: Inner) -> None:
        """Give a node a frame that somebody else is said to have written."""
        session = self.sessions[node_id]
        passed = Transit(
            id=MessageId(bytes(16)),
            type=said.type,
            payload=said.payload,
            source=NodeId(said.source),
            destination=NodeId(said.destination),
            said=said,
        )
        with suppress(ConnectionClosed):
            await session.mallory.say(*session.channel.seal([passed], CLOCK.now()))

    def recorded(self) -> bytes:
        """Return all that it opened on its way, in one piece."""
        return b"\n".join(inner.encode(said) + said.payload for said in self.heard)

    async def heard_for(self, node_id: NodeId, kind: str, count: int = 1) -> list[Inner]:
        """Wait until so many frames of a type for a node passed here; return them."""

        def found() -> list[Inner]:
            return [one for one in self.heard if (one.destination, one.type) == (node_id, kind)]

        await eventually(lambda: len(found()) >= count, f"{count} of {kind}")
        return found()

    async def _listen(self, session: Session) -> None:
        with suppress(ConnectionClosed):
            while True:
                unit = await session.mallory.hear_unit()
                for message in session.channel.open(unit, CLOCK.now()).messages:
                    if isinstance(message, Transit):
                        self.heard.append(message.said)
                        await self._pass_on(message.said)
                    else:
                        self.said.append(message)
                if session.channel.wants_write:
                    await session.mallory.say(*session.channel.seal([], CLOCK.now()))

    async def _pass_on(self, said: Inner) -> None:
        for passed in self.tamper(said):
            if passed.destination in self.sessions:
                hops = (*passed.hops, self.node_id)
                onward = msgspec.structs.replace(passed, ttl=int(passed.ttl) - 1, hops=hops)
                await self.hand(NodeId(passed.destination), onward)

    async def close(self) -> None:
        """Stop listening."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def hostile_relay(*nodes: Live, name: str = NAME) -> AsyncIterator[HostileRelay]:
    """Stand between some nodes."""
    relay = HostileRelay(name)
    async with AsyncExitStack() as stack:
        try:
            for node in nodes:
                await relay.join(stack, node)
            yield relay
        finally:
            await relay.close()

"""A relay that means harm: an insider with sessions to several nodes, between which it lies.

It hands on what nodes say about routes, records and parcels as an honest relay would, except for
what a test changes. It keeps all that it saw.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.support.attacker import CLOCK, Peer, dialling, party
from tests.support.nodes import Live, eventually
from websockets.exceptions import ConnectionClosed

from ironmesh.crypto.identity import Identity
from ironmesh.session.native.channel import NativeChannel
from ironmesh.session.native.settings import NativeSettings
from ironmesh.types import (
    NO_ID,
    MeshType,
    Message,
    MessagePriority,
    MessageType,
    NodeId,
)
from ironmesh.wire.native import noderecords, relaying, routes
from ironmesh.wire.native.beacons import Beacon
from ironmesh.wire.native.routes import RouteEntry, Routes

HOP_COST = 64


@dataclass
class Parcel:
    """A parcel on its way."""

    came_from: NodeId
    destination: NodeId
    parcel: bytes
    hops_left: int = 5
    priority: MessagePriority = MessagePriority.NORMAL

    @property
    def body(self) -> bytes:
        return relaying.encode_parcel(self.destination, self.hops_left, self.parcel)


Tamper = Callable[[Parcel], Sequence[Parcel]]


Rewrite = Callable[[bytes], bytes]
"""What becomes of a record, or a key, on its way."""


def honest(parcel: Parcel) -> Sequence[Parcel]:
    """Hand a parcel on as it is."""
    return [parcel]


@dataclass
class Liar:
    """The relay."""

    own: NativeSettings
    tamper: Tamper = honest
    rewrite: Rewrite = bytes
    is_telling: bool = True
    """It tells nodes of each other."""
    sessions: dict[NodeId, tuple[Peer, NativeChannel]] = field(default_factory=dict)
    heard: list[Message] = field(default_factory=list)
    """All that the nodes said, as their sessions gave it."""
    parcels: list[Parcel] = field(default_factory=list)
    """All that came along."""
    beacons: dict[NodeId, Beacon] = field(default_factory=dict)
    blobs: dict[NodeId, list[bytes]] = field(default_factory=dict)
    """Records and keys that each node gave."""

    @property
    def id(self) -> NodeId:
        return self.own.identity.node_id

    async def say(
        self,
        to: Live | NodeId,
        kind: MeshType | MessageType,
        body: bytes,
        priority: MessagePriority = MessagePriority.HIGH,
    ) -> None:
        """Say something to a node, in the liar's own session with it."""
        node_id = to.id if isinstance(to, Live) else to
        peer, channel = self.sessions[node_id]
        message = Message(NO_ID, kind, body, self.id, node_id, priority)
        with suppress(ConnectionClosed):
            await peer.say(*channel.seal([message], CLOCK.now()))

    async def announce(
        self, to: Live | NodeId, beacon: Beacon, metric: int = HOP_COST, hops: int = 1
    ) -> None:
        """Say that the node of a beacon is so far away."""
        entry = RouteEntry(beacon.origin, beacon.sequence, metric, hops)
        said = Routes(routes=(entry,), beacons=(beacon,))
        await self.say(to, MeshType.ROUTES, routes.encode_routes(said))

    async def hand(self, parcel: Parcel, to: NodeId | None = None) -> None:
        """Hand a parcel to a node: to its destination if nothing else is said."""
        await self.say(to or parcel.destination, MeshType.PARCEL, parcel.body, parcel.priority)

    async def join(self, peer: Peer) -> None:
        """Begin a session with a node, and listen until it ends."""
        channel = await peer.join(self.own)
        node_id = channel.link.peer
        self.sessions[node_id] = (peer, channel)
        for beacon in list(self.beacons.values()) if self.is_telling else ():
            await self.announce(node_id, beacon)
        with suppress(ConnectionClosed, TimeoutError):
            messages = peer.greeting
            while True:
                for message in messages:
                    self.heard.append(message)
                    await self._take(node_id, message)
                if channel.wants_write:
                    await peer.say(*channel.seal([], CLOCK.now()))
                messages = channel.open(await peer.socket.recv(), CLOCK.now()).messages

    async def _take(self, node_id: NodeId, message: Message) -> None:
        match message.type:
            case MeshType.ROUTES:
                await self._take_routes(node_id, message.payload)
            case MeshType.RECORD_REQUEST:
                for other in self._others(node_id):
                    await self.say(other, message.type, message.payload)
            case MeshType.NODE_RECORDS:
                blobs = noderecords.decode_blobs(message.payload)
                self.blobs.setdefault(node_id, []).extend(blobs)
                for other in self._others(node_id):
                    payload = noderecords.encode_blobs(map(self.rewrite, blobs))
                    await self.say(other, message.type, payload)
            case MeshType.PARCEL:
                await self._take_parcel(node_id, message)

    async def _take_routes(self, node_id: NodeId, payload: bytes) -> None:
        for beacon in routes.decode_routes(payload).beacons:
            if beacon.origin == node_id:
                self.beacons[node_id] = beacon
                for other in self._others(node_id) if self.is_telling else ():
                    await self.announce(other, beacon)

    async def _take_parcel(self, node_id: NodeId, message: Message) -> None:
        header = relaying.decode_header(message.payload)
        parcel = Parcel(
            node_id,
            header.destination,
            message.payload[relaying.HEADER_BYTES :],
            max(header.hops_left - 1, 0),
            message.priority,
        )
        self.parcels.append(parcel)
        for each in self.tamper(parcel):
            await self.hand(each)

    def _others(self, node_id: NodeId) -> list[NodeId]:
        return [other for other in self.sessions if other != node_id]


@asynccontextmanager
async def liar_between(
    *lives: Live,
    name: str = "mallory",
    identity: Identity | None = None,
    tamper: Tamper = honest,
    rewrite: Rewrite = bytes,
    is_telling: bool = True,
) -> AsyncIterator[Liar]:
    """Join a mesh as a relay between nodes that have no session with each other."""
    liar = Liar(party(name, identity=identity), tamper, rewrite, is_telling)
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        joining = []
        for live in lives:
            peer = await stack.enter_async_context(dialling(live))
            joining.append(tasks.create_task(liar.join(peer)))
        await eventually(lambda: len(liar.sessions) == len(lives), "sessions of the liar")
        yield liar
        for task in joining:
            task.cancel()


async def knows(one: Live, other: Live) -> None:
    """Wait until a node can seal to another one."""

    def can_seal() -> bool:
        mesh = one.node.mesh
        return (
            mesh is not None
            and mesh.claimants(other.name) == [other.id]
            and mesh.keys(other.id) is not None
        )

    await eventually(can_seal, f"{one.name} knows {other.name}")


async def know_each_other(one: Live, other: Live) -> None:
    """Wait until two nodes can seal to each other."""
    await knows(one, other)
    await knows(other, one)

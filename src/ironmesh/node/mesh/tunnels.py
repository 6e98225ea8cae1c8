"""Whom to reach through published relays on our own wire, and who reaches us that way.

The smaller node id dials, as soon as a published neighbour announces a node that is not known to
speak the 0.8 wire only and is not reached natively. Nothing tells us whether such a node is ours:
one that does not answer is tried again with pauses that double up to an hour.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final

import msgspec

from ironmesh.crypto.identity import Identity
from ironmesh.errors import ConnectionClosed, HandshakeError, RemoteProtocolError
from ironmesh.node.clock import Clock
from ironmesh.node.dial_guesses import DialGuess, DialGuesses
from ironmesh.node.entrance import AlreadyConnectedError, Dialled
from ironmesh.node.gate import Gate
from ironmesh.node.link import Link
from ironmesh.node.linktable import LinkTable
from ironmesh.node.mesh.legacy import LegacyMesh
from ironmesh.node.mesh.legacy_keys import LegacyKeys
from ironmesh.node.mesh.reach import NativeReach
from ironmesh.node.mesh.tunnel import Pace, TunnelConnection, tunnel_host
from ironmesh.node.outgoing import MakeLive
from ironmesh.node.pacing import Pacer
from ironmesh.node.refusals import RefusalDesk
from ironmesh.node.sessions import Sessions
from ironmesh.node.supervisor import TaskSupervisor
from ironmesh.observe.counters import Counters
from ironmesh.session.legacy.sources import originate
from ironmesh.transport.interface import TUNNEL
from ironmesh.types import Message, MessagePriority, NodeId, Random
from ironmesh.wire.legacy import tunnel
from ironmesh.wire.legacy.constants import TUNNEL_TYPE
from ironmesh.wire.legacy.transit import Transit
from ironmesh.wire.legacy.tunnel import TUNNEL_BYTES, TunnelFrame

_log = logging.getLogger("ironmesh.node")

MAX_TUNNELS: Final = 32
"""In all; further nodes are not dialled, and not answered."""
MAX_DIALS: Final = 4
"""At once."""
FIRST_DIAL_S: Final = 1.0
"""After a route was heard of: the way back has to be found as well."""
AGAIN_S: Final = 1.0
"""After a session that lasted: another relay may lead there."""
REDIAL_BASE_S: Final = 5.0
MAX_REDIAL_S: Final = 3600.0
ANSWERS_PER_S: Final = 1.0
ANSWER_BURST: Final = 5
"""Frames of unknown tunnels that are answered."""
_MAX_DOUBLINGS: Final = 16
LOOK_S: Final = 5.0
"""How often we look whether somebody is to be dialled."""


class _Wanted(msgspec.Struct):
    """A node that may be ours."""

    due: float
    failures: int = 0
    is_busy: bool = False
    """It is dialled, or its session lasts."""


class Tunnels:
    """Keeps native sessions with nodes that only published relays lead to.

    Args:
        max_hops: how many relays may be between.
    """

    def __init__(
        self,
        identity: Identity,
        mesh: LegacyMesh,
        *,
        links: LinkTable,
        reach: NativeReach,
        keys: LegacyKeys,
        make_live: MakeLive,
        gate: Gate,
        sessions: Sessions,
        refusals: RefusalDesk,
        counters: Counters,
        clock: Clock,
        random: Random,
        tasks: TaskSupervisor,
        max_hops: int,
    ) -> None:
        self._identity = identity
        self._own_id = identity.node_id
        self._mesh = mesh
        self._links = links
        self._reach = reach
        self._keys = keys
        self._make_live = make_live
        self._gate = gate
        self._sessions = sessions
        self._refusals = refusals
        self._counters = counters
        self._clock = clock
        self._random = random
        self._tasks = tasks
        self._max_hops = max_hops
        self._guesses = DialGuesses()
        self._wanted: dict[NodeId, _Wanted] = {}
        self._open: dict[tuple[NodeId, bytes, bool], TunnelConnection] = {}
        """By peer, number, and whether we dialled."""
        self._paces: dict[NodeId, Pace] = {}
        self._answers = Pacer(ANSWERS_PER_S, ANSWER_BURST, clock.now().mono)
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Dial whoever is to be dialled, until the node stops."""
        while True:
            self._look()
            try:
                async with asyncio.timeout(self._pause()):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    # --- What changes ------------------------------------------------------------------------

    def route_changed(self, destination: NodeId) -> None:
        """A published route is new, other or gone: tunnels that went the old way are over."""
        hop = self._mesh.next_hop(destination)
        for connection in list(self._open.values()):
            if connection.peer == destination and connection.link.peer != hop:
                connection.lose("the published route changed")
        if hop is not None and destination not in self._wanted and self._is_candidate(destination):
            self._wanted[destination] = _Wanted(self._clock.now().mono + FIRST_DIAL_S)
            self._wake.set()

    def unreachable(self, destination: NodeId) -> None:
        """A relay says that it has no route: see whether the session there still lives."""
        link = self._links.get(destination)
        if link is not None and link.connection_info.transport == TUNNEL:
            link.probe()

    def link_down(self, neighbour: NodeId) -> None:
        """A published neighbour is gone, and with it every tunnel over it."""
        self._paces.pop(neighbour, None)
        for connection in list(self._open.values()):
            if connection.link.peer == neighbour:
                connection.lose("the session with the published neighbour ended")

    # --- Dialling ----------------------------------------------------------------------------

    def _is_candidate(self, destination: NodeId) -> bool:
        """Tell whether a node may be ours, is ours to dial, and is not reached otherwise."""
        if not self._own_id < destination or self._links.is_online(destination):
            return False
        if self._reach.is_reached(destination) or self._keys.is_barred(destination):
            return False
        return not self._keys.is_published(destination)

    def _look(self) -> None:
        now = self._clock.now().mono
        for destination in [one for one in self._wanted if self._mesh.table.get(one) is None]:
            if not self._wanted[destination].is_busy:
                del self._wanted[destination]
        for destination, _route in self._mesh.table.items():
            if destination not in self._wanted and self._is_candidate(destination):
                self._wanted[destination] = _Wanted(now + FIRST_DIAL_S)
        busy = sum(wanted.is_busy for wanted in self._wanted.values())
        for destination, wanted in self._wanted.items():
            if len(self._open) >= MAX_TUNNELS or busy >= MAX_DIALS + len(self._open):
                return
            if wanted.is_busy or wanted.due > now or not self._is_candidate(destination):
                continue
            wanted.is_busy = True
            busy += 1
            self._tasks.spawn(self._dial(destination, wanted), name=f"tunnel-{destination[:8]}")

    def _pause(self) -> float:
        now = self._clock.now().mono
        due = [wanted.due for wanted in self._wanted.values() if not wanted.is_busy]
        return min([LOOK_S, *(max(at - now, 0.05) for at in due)])

    async def _dial(self, destination: NodeId, wanted: _Wanted) -> None:
        """Dial once, and stay while the session lasts."""
        try:
            if await self._try(destination):
                wanted.failures = 0
            else:
                wanted.failures += 1
        finally:
            wanted.is_busy = False
            pause = AGAIN_S
            if wanted.failures:
                doublings = min(wanted.failures - 1, _MAX_DOUBLINGS)
                pause = min(REDIAL_BASE_S * 2.0**doublings, MAX_REDIAL_S)
            wanted.due = self._clock.now().mono + pause * (0.5 + 0.5 * self._jitter())
            self._wake.set()

    async def _try(self, destination: NodeId) -> bool:
        link = self._first_link(destination)
        address = tunnel_host(destination)
        now = self._clock.now().mono
        if link is None or self._guesses.wait_s(address, now, is_announced=True):
            return False
        connection = self._make(destination, self._random(TUNNEL_BYTES), link, is_outgoing=True)
        guess = DialGuess(self._guesses, address, self._clock, is_announced=True)
        try:
            session = await self._sessions.open(
                connection, Dialled(destination, guess, is_given=False)
            )
        except AlreadyConnectedError:
            return True
        except HandshakeError as error:
            _log.debug("no tunnel to %s: %s", destination[:8], error)
            return False
        guess.was_right()
        self._counters.add("tunnel.opened")
        await session.wait_ended()
        return session.was_confirmed

    # --- Being dialled -----------------------------------------------------------------------

    def received(self, link: Link, message: Message) -> None:
        """A frame of a tunnel arrived over a published neighbour."""
        try:
            frame = tunnel.decode(message.payload)
        except RemoteProtocolError as error:
            self._refusals.frame(error.reason, link.peer, link.info.peer_name, error.what)
            return
        key = (message.source, frame.tunnel, not frame.is_of_dialler)
        connection = self._open.get(key)
        if connection is None:
            connection = self._answer(link, message.source, frame)
        if connection is not None:
            connection.feed(frame)

    def _answer(self, link: Link, peer: NodeId, frame: TunnelFrame) -> TunnelConnection | None:
        """Begin to serve whoever dials us through a tunnel; None: it is not wanted."""
        if not frame.is_of_dialler or frame.number or not frame.data:
            self._counters.add("tunnel.stray")
            self._tell_unknown(peer, frame)
            return None
        first = self._first_link(peer)
        is_wanted = (
            peer < self._own_id
            and first is not None
            and not self._keys.is_barred(peer)
            and not self._is_directly_online(peer)
            and len(self._open) < MAX_TUNNELS
        )
        host = tunnel_host(link.peer)
        if not is_wanted or first is None or not self._gate.admit(host):
            self._counters.add("tunnel.turned_away")
            return None
        connection = self._make(peer, frame.tunnel, first, is_outgoing=False)
        self._tasks.spawn(self._serve(connection), name=f"tunnel-{peer[:8]}")
        return connection

    def _tell_unknown(self, peer: NodeId, frame: TunnelFrame) -> None:
        """Tell who goes on in a tunnel that ended here, so that it dials anew."""
        now = self._clock.now().mono
        link = self._first_link(peer)
        is_close = bool(frame.flags & tunnel.FLAG_CLOSE)
        if link is not None and not is_close and self._answers.available(now) >= 1:
            self._answers.spend(1, now)
            self._put(peer, link, tunnel.unknown(frame))

    async def _serve(self, connection: TunnelConnection) -> None:
        try:
            with suppress(ConnectionClosed):
                await self._sessions.serve(connection)
        finally:
            await connection.close()

    def _is_directly_online(self, peer: NodeId) -> bool:
        link = self._links.get(peer)
        return link is not None and link.connection_info.transport != TUNNEL

    # --- Frames ------------------------------------------------------------------------------

    def _make(
        self, peer: NodeId, number: bytes, link: Link, *, is_outgoing: bool
    ) -> TunnelConnection:
        pace = self._paces.setdefault(link.peer, Pace(self._clock))
        connection = TunnelConnection(
            peer,
            number,
            link,
            is_outgoing=is_outgoing,
            pace=pace,
            put=lambda payload: self._put(peer, link, payload),
            on_end=self._ended,
        )
        self._open[peer, number, is_outgoing] = connection
        return connection

    def _put(self, peer: NodeId, link: Link, payload: bytes) -> None:
        message = self._make_live(peer, TUNNEL_TYPE, payload, MessagePriority.NORMAL)
        said = originate(self._identity, message, seal_to=None, max_hops=self._max_hops)
        link.enqueue(
            [
                Transit(
                    id=message.id,
                    type=message.type,
                    payload=payload,
                    source=self._own_id,
                    destination=peer,
                    said=said,
                )
            ]
        )

    def _ended(self, connection: TunnelConnection) -> None:
        self._open.pop((connection.peer, connection.tunnel, connection.info.is_outgoing), None)

    def _first_link(self, destination: NodeId) -> Link | None:
        hop = self._mesh.next_hop(destination)
        link = self._links.get(hop) if hop is not None else None
        return link if link is not None and link.is_usable and not link.info.is_ours else None

    def _jitter(self) -> float:
        return int.from_bytes(self._random(4), "big") / 2.0**32

"""The composition root: builds a node from its configuration, starts it, and stops it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine
from enum import Enum
from typing import TYPE_CHECKING, Any

from ironmesh.audit.events import AuditEvent
from ironmesh.audit.log import AuditLog
from ironmesh.config import LegacyMode, NodeConfig
from ironmesh.delivery.records import DEFAULT_LIFETIME_S, DeliveryStore, Snapshot
from ironmesh.discovery.policy import DialPolicy
from ironmesh.discovery.record import random_label
from ironmesh.errors import LocalProtocolError, NotRunningError
from ironmesh.files import make_private_dir
from ironmesh.node.announced import Announced
from ironmesh.node.capabilities import CapabilityExchange
from ironmesh.node.clock import Clock, SystemClock
from ironmesh.node.events import EventBus, NodeListening, Notice
from ironmesh.node.first_start import Maker, make_apart
from ironmesh.node.journal import Journal
from ironmesh.node.kept_capabilities import KeptCapabilities
from ironmesh.node.linktable import LinkTable
from ironmesh.node.maintenance import flush, keep_up, maintain
from ironmesh.node.network import build_discovery, build_transport
from ironmesh.node.opening import OpenedFiles, open_files
from ironmesh.node.parts import Parts
from ironmesh.node.ports import SUBPROTOCOLS, Discovery, Transport
from ironmesh.node.posture import check_legacy_passphrase, posture_notices
from ironmesh.node.supervisor import TaskSupervisor
from ironmesh.node.traffic_entry import TrafficEntry
from ironmesh.observe.counters import Counters
from ironmesh.store.database import SqliteStore
from ironmesh.store.mesh_state import MeshState
from ironmesh.store.node_lock import NodeLock
from ironmesh.transport.interface import Connection, Listener
from ironmesh.trust.store import TrustStore
from ironmesh.types import Endpoint, Instant, Message, MessageId, MessagePriority, NodeId, Random

if TYPE_CHECKING:
    from ironmesh.node.decisions import PeerDecisions
    from ironmesh.node.link import Link
    from ironmesh.node.mailroom import MessageHandler, Server
    from ironmesh.node.mesh.published_route import PublishedRoute
    from ironmesh.node.mesh.service import Mesh
    from ironmesh.node.outgoing import Outgoing
    from ironmesh.node.traffic import Traffic

_log = logging.getLogger("ironmesh.node")

STOP_LIMIT_S = 0.6
"""How long peers have to take our goodbye."""


class NodeState(Enum):
    """What has happened to a node."""

    NEW = "new"
    STARTED = "started"
    STOPPED = "stopped"


class Node:
    """One node: an identity, a listener, its links, and what waits for its peers.

    Args:
        config: what the operator wants.
        clock: where the time comes from.
        random: where randomness comes from.
        transport: moves the bytes; None = WebSocket as `config` says.
        discovery: finds peers; None = mDNS as `config` says.
        store: keeps messages; None = SQLite in the node's folder.
        make: makes what a first start lacks; by default in a process of its own.
    """

    def __init__(
        self,
        config: NodeConfig,
        *,
        clock: Clock | None = None,
        random: Random = os.urandom,
        transport: Transport | None = None,
        discovery: Discovery | None = None,
        make: Maker = make_apart,
        store: DeliveryStore | None = None,
    ) -> None:
        self.config = config
        self.counters = Counters()
        self._clock = clock or SystemClock()
        self._random = random
        self._given_transport = transport
        self._given_discovery = discovery
        self._make = make
        self._given_store = store
        self._tasks = TaskSupervisor(self.counters)
        self.events = EventBus(self._tasks.guard_call)
        self._handlers: list[MessageHandler] = []
        self._server: Server | None = None
        self._lock: NodeLock | None = None
        self._listener: Listener | None = None
        self._parts: Parts | None = None
        self._traffic_entry = TrafficEntry(self._make_traffic)
        self._found: tuple[Snapshot, Instant] | None = None
        """What the store knew at the start, and when that was."""
        self._state = NodeState.NEW
        self._starting: asyncio.Future[None] | None = None
        self._stopping: asyncio.Future[None] | None = None
        self.started: Instant | None = None

    # --- Life --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the keys, listen, and begin to look for peers; returns once the node listens.

        Raises:
            NodeAlreadyRunningError: this node runs already.
            KeyFileError, TrustFileError, AuditError, ConfigError, PortInUseError: see their texts.
        """
        if self._state is not NodeState.NEW or self._starting is not None:
            raise LocalProtocolError("a node starts once; make a new one")
        self._starting = asyncio.ensure_future(self._start())
        try:
            await self._starting
        except BaseException:
            was_stopped = self.state is NodeState.STOPPED
            await self.stop()
            if was_stopped:
                raise NotRunningError("the node was stopped while it started") from None
            raise

    async def _start(self) -> None:
        make_private_dir(self.config.home)
        make_private_dir(self.config.node_dir)
        self._lock = NodeLock.acquire(self.config.node_dir)
        opened = await open_files(self.config, self._random, self._make)
        check_legacy_passphrase(self.config, opened.strength_bits)
        self._parts = parts = self._build(opened)
        snapshot = await parts.store.load()
        self._found = snapshot, self._clock.now()
        self._tasks.spawn(keep_up(parts.store, self._clock), name="store upkeep")
        if snapshot.outbox or snapshot.unhandled or self.config.legacy is not LegacyMode.OFF:
            self._traffic_entry.made()
        self._state = NodeState.STARTED
        self.started = self._clock.now()
        self._listener = await parts.transport.listen(
            Endpoint(self.config.bind, self.config.port),
            self._serve,
            self._traffic_entry,
            self._traffic_entry.refused,
            subprotocols=SUBPROTOCOLS,
        )
        endpoints = tuple(str(endpoint) for endpoint in self._listener.endpoints)
        parts.journal.record(AuditEvent.NODE_STARTED, listening=", ".join(endpoints))
        for text in (*parts.keys.notices, *parts.trust.take_notices()):
            self.events.publish(Notice(text))
        for notice in posture_notices(self.config, opened.strength_bits):
            self.events.publish(notice)
        self.events.publish(NodeListening(endpoints, parts.transport.is_tls))
        upkeep = maintain(parts.trust, parts.journal, self._traffic_entry)
        self._tasks.spawn(upkeep, name="maintenance")
        self._look_for_peers(parts)

    def _build(self, opened: OpenedFiles) -> Parts:
        config, keys = self.config, opened.keys
        identity, data_key = keys.keys.identity, keys.keys.data_key
        journal = Journal(AuditLog(config.audit_file, data_key), self._clock, self.counters)
        trust = TrustStore(config.trust_file, data_key, identity.seed)
        trust.check()
        label = random_label(self._random)
        links = LinkTable(identity.node_id)
        capabilities = CapabilityExchange(
            identity.node_id,
            config.capabilities,
            links=links,
            counters=self.counters,
            make_message=self._make_live,
        )
        mesh_state = MeshState(config.store_dir, data_key, self._random)
        kept_capabilities = KeptCapabilities(capabilities, mesh_state, self._tasks, self.counters)
        kept_capabilities.restore()
        return Parts(
            config=config,
            keys=keys,
            mesh_secrets=opened.mesh_secrets,
            journal=journal,
            trust=trust,
            policy=DialPolicy(
                config.name, config.allowed_peers, config.open_discovery, label, config.mesh
            ),
            links=links,
            capabilities=capabilities,
            kept_capabilities=kept_capabilities,
            mesh_state=mesh_state,
            store=self._given_store or SqliteStore(config.store_dir, data_key),
            transport=self._given_transport or build_transport(config),
            discovery=self._given_discovery or build_discovery(config, label),
            tasks=self._tasks,
            events=self.events,
            counters=self.counters,
            clock=self._clock,
            random=self._random,
        )

    def _make_traffic(self) -> Traffic:
        from ironmesh.node.traffic import Traffic

        parts = self._running()
        if self._found is None:
            raise NotRunningError("the node is still starting", "wait until it runs")
        (snapshot, loaded), self._found = self._found, None
        traffic = Traffic(parts)
        if self._server is not None:
            traffic.post.mailroom.serve(self._server)
        for handler in self._handlers:
            traffic.post.mailroom.add_handler(handler)
        traffic.start(snapshot, loaded)
        return traffic

    def _make_live(self, destination: NodeId, msg_type: str, payload: bytes) -> Message:
        return self._traffic().post.make_live(destination, msg_type, payload)

    def _look_for_peers(self, parts: Parts) -> None:
        for peer in self.config.peers:
            self._traffic().dialer.add_address(Endpoint(peer.host, peer.port))
        announced = Announced(parts.policy, self.events, self._traffic_entry)
        if parts.discovery is not None and self._listener is not None:
            parts.discovery.start(
                self.config.name,
                self._listener.endpoints[0].port,
                self.config.bind,
                announced.found,
                announced.lost,
                lambda text: self.events.publish(Notice(text, is_warning=True)),
            )

    async def stop(self) -> None:
        """Say goodbye, stop everything, and free port, files and lock. May be called twice."""
        self._state = NodeState.STOPPED
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._stop())
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        parts = self._parts
        try:
            if parts is None:
                await self._tasks.close()
            else:
                await self._stop_parts(parts)
                flush(parts.trust, parts.journal)
                parts.journal.record(AuditEvent.NODE_STOPPED)
                parts.journal.close()
        finally:
            self._parts = None
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    async def _stop_parts(self, parts: Parts) -> None:
        self._traffic_entry.end_handlers()
        try:
            await parts.kept_capabilities.settle()
            await self._stop_traffic(parts)
            await self._traffic_entry.finish()
        finally:
            await self._tasks.close()
            await parts.store.close()

    async def _stop_traffic(self, parts: Parts) -> None:
        farewells = [asyncio.ensure_future(self._traffic_entry.hang_up(STOP_LIMIT_S))]
        if parts.discovery is not None:
            farewells.append(asyncio.ensure_future(parts.discovery.stop()))
        await asyncio.gather(*farewells)
        if self._listener is not None:
            await self._listener.close()
            self._listener = None

    # --- What programs do with it ------------------------------------------------------------

    @property
    def state(self) -> NodeState:
        """What has happened to it."""
        return self._state

    @property
    def node_id(self) -> NodeId:
        """Its id.

        Raises:
            NotRunningError: before the start.
        """
        return self._running().identity.node_id

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where it listens."""
        return self._listener.endpoints if self._listener is not None else ()

    @property
    def is_tls(self) -> bool:
        """Its listener speaks TLS."""
        return self._running().transport.is_tls

    @property
    def trust(self) -> TrustStore:
        """Its pins."""
        return self._running().trust

    @property
    def links(self) -> LinkTable:
        """Its live links."""
        return self._running().links

    @property
    def capabilities(self) -> CapabilityExchange:
        """What it and its peers can do."""
        return self._running().capabilities

    @property
    def mesh(self) -> Mesh | None:
        """Its routes and what goes by them; None where mesh routing is off, or before any link."""
        self._running()
        traffic = self._traffic_entry.traffic
        return None if traffic is None or traffic.mesh is None else traffic.mesh.mesh

    @property
    def published_routes(self) -> list[PublishedRoute]:
        """The nodes of the 0.8 wire that are reached over others."""
        self._running()
        traffic = self._traffic_entry.traffic
        return [] if traffic is None else traffic.post.legacy.routes()

    @property
    def outgoing(self) -> Outgoing:
        """Its outbox: how messages stand."""
        return self._traffic().post.outgoing

    @property
    def store(self) -> DeliveryStore:
        """Its message store."""
        return self._running().store

    def on_message(self, handler: MessageHandler) -> None:
        """Give each message to `handler`; attach it before the start, and it misses none."""
        if self._traffic_entry.traffic is None:
            self._handlers.append(handler)
        else:
            self._traffic_entry.traffic.post.mailroom.add_handler(handler)

    def serve_messages(self, server: Server) -> None:
        """Give each message to `server`, which takes many at a time; call it before the start."""
        self._server = server

    def end_handlers(self) -> None:
        """Begin no handler any more; what none began comes again at the next start."""
        self._traffic_entry.end_handlers()

    def send(
        self,
        target: str,
        payload: bytes,
        msg_type: str = "MSG",
        priority: MessagePriority = MessagePriority.NORMAL,
        *,
        lifetime_s: float = DEFAULT_LIFETIME_S,
        is_durable: bool = True,
    ) -> Coroutine[Any, Any, tuple[NodeId, MessageId]]:
        """Accept one message for a peer (name or node id), once this is awaited; see `Outbound`.

        Args:
            lifetime_s: how long it may take; then it ends as expired.
            is_durable: keep it on disk until it ends. Otherwise it goes over the session that is up
                now, or not at all, and nobody confirms it.

        Returns:
            For whom it is, and its id.
        """
        outbound = self._traffic().post.outbound
        if is_durable:
            return outbound.send(target, payload, msg_type, priority, lifetime_s)
        return outbound.send_live(target, payload, msg_type, priority)

    def accept(
        self,
        target: str,
        payload: bytes,
        msg_type: str,
        priority: MessagePriority,
        lifetime_s: float,
    ) -> Awaitable[tuple[MessageId, ...]]:
        """Do what `send` does with a message that is kept; the awaitable gives its id."""
        return self._traffic().post.outbound.accept(target, payload, msg_type, priority, lifetime_s)

    def advertise(self, capability: str) -> Awaitable[None]:
        """Tell the peers that this node can do one thing more, in later runs as well.

        Returns:
            What may be awaited to be sure that it is kept.

        Raises:
            ConfigError: not a capability, or there are too many.
        """
        return self._running().kept_capabilities.advertise(capability)

    def withdraw(self, capability: str) -> Awaitable[None]:
        """Tell the peers that this node cannot do that any more; as `advertise`.

        What the configuration lists is back at the next start.
        """
        return self._running().kept_capabilities.withdraw(capability)

    def resolve(self, target: str) -> NodeId:
        """Return the node id that a name or id means; see `Outbound.resolve`."""
        return self._traffic().post.outbound.resolve(target)

    async def connect(self, host: str, port: int) -> Link:
        """Dial an address now, and keep the session from then on; see `Dialer.connect`."""
        return await self._traffic().dialer.connect(Endpoint(host, port))

    def subscribe(self, subscriber: Callable[..., None]) -> Callable[[], None]:
        """Call `subscriber` for each event of the node; returns what ends it."""
        return self.events.subscribe(subscriber)

    @property
    def decisions(self) -> PeerDecisions:
        """What its operator decides about peers."""
        return self._traffic().decisions

    async def _serve(self, connection: Connection) -> None:
        work = self._traffic_entry.serve(connection)
        await self._tasks.guard(work, f"the connection from {connection.info.remote_text}")

    def _running(self) -> Parts:
        if self._parts is None:
            raise NotRunningError("the node is not running", "start it first")
        return self._parts

    def _traffic(self) -> Traffic:
        self._running()
        return self._traffic_entry.made()

"""`BridgeDaemon`: a node with its control socket, under the names that programs of 0.8 use."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Coroutine
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeVar, Unpack

from ironmesh.bus import BusCallback, BusEvent, MessageBus
from ironmesh.config import DEFAULT_PORT
from ironmesh.control.host import Host, run_until_signal
from ironmesh.daemon_settings import DaemonSettings, to_config
from ironmesh.errors import IronMeshError, NotRunningError
from ironmesh.mesh.capabilities import check_capability
from ironmesh.node.clock import SystemClock
from ironmesh.node.events import MessageReceived
from ironmesh.node.link import Link
from ironmesh.node.node import Node
from ironmesh.node.supervisor import TaskSupervisor
from ironmesh.node.threads import HandlerThread, LoopThread
from ironmesh.types import MessagePriority, NodeId, message_id_text

_log = logging.getLogger("ironmesh.bridge")

PROTOCOL_VERSION: Final = "ironmesh/0.6"
MIN_MESH_VERSION: Final = "ironmesh/0.4"
MAX_MESSAGE_SIZE: Final = 1_048_576
HANDLER_QUEUE: Final = 256
"""Messages that may wait for the handlers; then the peers that send are held up."""
STOP_LIMIT_S: Final = 5.0
JOIN_LIMIT_S: Final = 3.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PeerState:
    """An online peer as `BridgeDaemon.peers` shows it."""

    node_id: NodeId
    name: str
    status: str
    transport: str
    rtt_ms: float | None
    messages_sent: int
    messages_received: int
    uptime: float
    """Seconds since its session came up."""

    @property
    def is_online(self) -> bool:
        """A session with it is up."""
        return self.status == "online"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a mapping."""
        return asdict(self)


class BridgeDaemon:
    """A node for programs: in a thread of its own, or in the foreground.

    Args:
        name: the node's name; its files lie in `~/.ironmesh/nodes/NAME/`.
        port: where it listens; 0 = any free port.
        passphrase: the mesh passphrase, at least 12 characters.
        settings: see `DaemonSettings`.

    Raises:
        ValueError: no passphrase or too short a one, an unknown setting, a bad value.
    """

    def __init__(
        self,
        name: str = "agent",
        port: int = DEFAULT_PORT,
        passphrase: str | None = None,
        **settings: Unpack[DaemonSettings],
    ) -> None:
        self.config = to_config(name, port, passphrase, settings)
        self.name = name
        self.bus = MessageBus()
        self._host = Host(self.config)
        self._queue: asyncio.Queue[MessageReceived] | None = None
        self._callbacks: TaskSupervisor | None = None
        self._handlers = HandlerThread(f"ironmesh-{name}-handlers")
        self._thread: LoopThread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._node_id: NodeId | None = None

    # --- Life --------------------------------------------------------------------------------

    def run(self, background: bool = False) -> asyncio.AbstractEventLoop | None:
        """Start the node.

        Args:
            background: run in a thread of its own and return its event loop, which is already
                running, once the node listens. Otherwise block until Ctrl-C, SIGTERM or
                `shutdown`.

        Raises:
            IronMeshError: it cannot start; nothing is left running.
        """
        if not background:
            run_until_signal(self._serve_until)
            return None
        if self._thread is not None:
            return self._thread.loop
        thread = LoopThread(f"ironmesh-{self.name}")
        try:
            thread.call(self._start())
        except BaseException:
            thread.stop(JOIN_LIMIT_S)
            raise
        self._thread = thread
        return thread.loop

    def stop(self) -> None:
        """Stop the node and wait for it; may be called twice, and from any thread."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        thread.call(self._stop(), STOP_LIMIT_S)
        thread.stop(JOIN_LIMIT_S)
        self._handlers.close(JOIN_LIMIT_S)

    async def shutdown(self) -> None:
        """Stop the node, from whichever loop awaits this."""
        thread, self._thread = self._thread, None
        if thread is None:
            await self._stop()
            return
        await thread.wait(self._stop())
        thread.stop(JOIN_LIMIT_S)

    async def _serve_until(self, stopped: asyncio.Event) -> None:
        await self._start()
        try:
            await stopped.wait()
        finally:
            await self._stop()
            self._handlers.close(JOIN_LIMIT_S)

    async def _start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue = asyncio.Queue(HANDLER_QUEUE)
        self._callbacks = TaskSupervisor(self.node.counters)
        self.node.on_message(self._queue.put)
        self._callbacks.spawn(self._dispatch(self._queue, self._callbacks), name="handlers")
        await self._host.start()
        self._node_id = self.node.node_id

    async def _stop(self) -> None:
        self._loop = None
        await self._host.stop()
        if self._callbacks is not None:
            await self._callbacks.close()

    # --- What programs do with it ------------------------------------------------------------

    @property
    def node(self) -> Node:
        """The node itself."""
        return self._host.node

    @property
    def node_id(self) -> str:
        """Its node id; `uninitialized` before the start."""
        return self._node_id or "uninitialized"

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that the node runs on; None when it does not run."""
        return self._loop

    @property
    def port(self) -> int:
        """Where it listens."""
        endpoints = self.node.endpoints
        return endpoints[0].port if endpoints else self.config.port

    @property
    def peers(self) -> dict[str, PeerState]:
        """The online peers by node id."""
        if self._node_id is None:
            return {}
        now = SystemClock().now().mono
        return {link.peer: _peer_state(link, now) for link in self.node.links.online()}

    @property
    def metrics(self) -> dict[str, int]:
        """The node's counters."""
        return self.node.counters.snapshot()

    async def send_message(
        self, to_node: str, msg_type: str, payload: bytes, priority: str = "NORMAL"
    ) -> str:
        """Accept a message for a peer (name or node id); return its id, a UUID.

        Raises:
            UnknownPeerError, MessageTooLargeError, QueueFullError: nothing was queued.
            NotRunningError: before the start.
        """
        urgency = MessagePriority(priority.upper())
        message = await self._on_loop(self.node.send(to_node, payload, msg_type, urgency))
        return message_id_text(message.id)

    async def send_logged(
        self, to_node: str, msg_type: str, payload: bytes, priority: str = "NORMAL"
    ) -> None:
        """Do what `send_message` does; a refusal is logged instead of raised."""
        try:
            await self.send_message(to_node, msg_type, payload, priority)
        except IronMeshError as error:
            _log.warning("no message to %s: %s", to_node, error)

    async def connect_to_peer(self, host: str, port: int) -> str | None:
        """Dial an address, and keep the session from then on.

        Returns:
            The peer's node id once the handshake succeeded; None if it failed, which is logged.
        """
        try:
            link = await self._on_loop(self.node.connect(host, port))
        except IronMeshError as error:
            _log.warning("no session with %s:%s: %s", host, port, error)
            return None
        return link.peer

    def find_capability(self, pattern: str) -> list[tuple[str, str]]:
        """Return `(node id, capability)` of this node and its online peers, by a glob pattern."""
        if self._node_id is None:
            return []
        return [(node_id, name) for node_id, name in self.node.capabilities.find(pattern)]

    def advertise_capability(self, capability: str) -> None:
        """Tell the peers that this node can do one thing more, from any thread.

        Raises:
            NotRunningError: before the start.
            ConfigError: not a capability.
        """
        loop = self._loop
        if loop is None:
            raise NotRunningError("the node is not running", "call run() first")
        check_capability(capability)
        loop.call_soon_threadsafe(self.node.capabilities.advertise, capability)

    async def _on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        if self._node_id is None:
            work.close()
            raise NotRunningError("the node is not running", "call run() first")
        return await (self._thread.wait(work) if self._thread is not None else work)

    # --- Handlers ----------------------------------------------------------------------------

    async def _dispatch(self, queue: asyncio.Queue[MessageReceived], tasks: TaskSupervisor) -> None:
        async def run(callback: BusCallback, event: BusEvent) -> None:
            await tasks.guard(self._call(callback, event), "a message handler")

        while True:
            received = await queue.get()
            await self.bus.publish(_bus_event(received), SystemClock().now().wall, run)

    async def _call(self, callback: BusCallback, event: BusEvent) -> None:
        if inspect.iscoroutinefunction(callback):
            await callback(event)
        else:
            await self._handlers.run(callback, event)


def _bus_event(received: MessageReceived) -> dict[str, Any]:
    message = received.message
    message_id = message_id_text(message.id)
    return {
        "peer_id": message.source,
        "msg_id": message_id,
        "type": message.type,
        "payload": message.payload,
        "id": message_id,
        "source": message.source,
        "source_name": received.source_name,
        "via": received.via,
        "redelivered": received.is_redelivered,
    }


def _peer_state(link: Link, now: float) -> PeerState:
    return PeerState(
        node_id=link.peer,
        name=link.info.peer_name,
        status="online",
        transport=link.connection_info.transport,
        rtt_ms=None if link.rtt_s is None else round(link.rtt_s * 1000, 3),
        messages_sent=link.traffic.messages_sent,
        messages_received=link.traffic.messages_received,
        uptime=round(now - link.established.mono, 3),
    )

"""`BridgeDaemon`: a node with its control socket, under the names that programs of 0.8 use."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, Unpack

from ironmesh.bus import MessageBus, MessageEvent
from ironmesh.config import DEFAULT_PORT
from ironmesh.control.embedded import EmbeddedNode, HandlerCall
from ironmesh.control.signals import caught_signals, wait_for
from ironmesh.daemon_settings import DaemonSettings, hide_secrets, to_config, to_priority
from ironmesh.delivery.records import DEFAULT_LIFETIME_S
from ironmesh.errors import IronMeshError, NotRunningError, SendTimeoutError, WouldBlockError
from ironmesh.mesh.capabilities import check_capability
from ironmesh.node.clock import SystemClock
from ironmesh.node.events import MessageReceived
from ironmesh.node.node import Node
from ironmesh.node.threads import Wanted
from ironmesh.protocol import PeerState
from ironmesh.receipt import Receipt
from ironmesh.types import NodeId, Secret

if TYPE_CHECKING:
    from ironmesh.node.link import Link

_log = logging.getLogger("ironmesh.bridge")

PROTOCOL_VERSION: Final = "ironmesh/0.6"
MIN_MESH_VERSION: Final = "ironmesh/0.4"
MAX_MESSAGE_SIZE: Final = 1_048_576
MAX_UNACCEPTED: Final = 256
"""Messages for one peer that nobody waits for and that are not accepted yet."""
ADVERTISE_LIMIT_S: Final = 10.0
_CLOCK: Final = SystemClock()


class BridgeDaemon:
    """A node for programs, in a thread of its own.

    Everything here may be called from any thread and from any event loop.

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
        passphrase: str | Secret | None = None,
        **settings: Unpack[DaemonSettings],
    ) -> None:
        hidden = hide_secrets(passphrase, settings)
        del passphrase  # a traceback that shows variables would show it
        self.name = name
        self.bus = MessageBus()
        self._starting = threading.Lock()
        self._embedded: EmbeddedNode | None = None
        self._unaccepted: Counter[str] = Counter()
        self.config = to_config(name, port, hidden, settings)

    def __repr__(self) -> str:
        state = "running" if self.loop is not None else "not running"
        return f"<{type(self).__name__} {self.name!r}, {self.node_id}, {state}>"

    # --- Life --------------------------------------------------------------------------------

    def run(self, background: bool = False) -> asyncio.AbstractEventLoop | None:
        """Start the node, or join the one that runs; after a stop, start it anew.

        Args:
            background: return the event loop that the node runs on, in a thread of its own, once
                the node listens. Otherwise block until SIGINT (Ctrl-C), SIGTERM or a stop.

        Raises:
            IronMeshError: it cannot start; nothing is left running.
            WouldBlockError: in the foreground, where an event loop runs in this thread.
        """
        if background:
            return self._start().thread.loop
        if _is_on_a_loop():
            raise WouldBlockError(
                "an event loop runs in this thread, and run() would block it",
                "use run(foreground=False), or run(background=True) of BridgeDaemon",
            )
        wanted: Wanted = queue.SimpleQueue()
        with caught_signals(wanted), contextlib.suppress(NotRunningError):  # stopped meanwhile
            self._start().thread.tell_end(wanted)
            wait_for(wanted)
        self.stop()
        return None

    def stop(self) -> None:
        """Stop the node and wait for it; may be called twice.

        In a handler, and anywhere on the node's own loop, it returns at once and the node stops
        soon: it gives handlers a moment to end, and what they sent a moment to be accepted.
        """
        embedded = self._embedded
        if embedded is not None:
            embedded.stop()
        atexit.unregister(self.stop)

    async def shutdown(self) -> None:
        """Stop the node, from whichever loop awaits this; in an async handler see `stop`."""
        embedded = self._embedded
        if embedded is None:
            return
        if not embedded.thread.is_current:
            await asyncio.to_thread(self.stop)
            return
        if not embedded.is_handling_here:
            await embedded.finish()
        self.stop()

    def _start(self) -> EmbeddedNode:
        with self._starting:
            before = self._embedded
            if before is not None and not before.thread.is_over:
                return before
            if before is not None:
                before.stop()
            embedded = EmbeddedNode(self.config, self._deliver)
            # Known from here on: a handler may send before the start is through.
            self._embedded = embedded
            embedded.start()
            atexit.register(self.stop)
            return embedded

    # --- How it is ---------------------------------------------------------------------------

    @property
    def node(self) -> Node:
        """The node itself, to be used on its loop only.

        Raises:
            NotRunningError: it was never started.
        """
        if self._embedded is None:
            raise NotRunningError("the node is not running", "call run() first")
        return self._embedded.node

    @property
    def node_id(self) -> str:
        """Its node id; `uninitialized` before the start."""
        known = self._embedded.node_id if self._embedded is not None else None
        return known or "uninitialized"

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that the node runs on; None when it does not run."""
        embedded = self._embedded
        return None if embedded is None or embedded.thread.is_over else embedded.thread.loop

    @property
    def port(self) -> int:
        """Where it listens, or will."""
        endpoints = self._embedded.node.endpoints if self._embedded is not None else ()
        return endpoints[0].port if endpoints else self.config.port

    @property
    def trust_path(self) -> str:
        """The pin file."""
        return str(self.config.trust_file)

    @property
    def peers(self) -> dict[str, PeerState]:
        """The online peers by node id, and the nodes that are reached over others."""
        try:
            links, mesh = self.node.links.online(), self.node.mesh
        except NotRunningError:
            return {}
        now = _CLOCK.now().mono
        found: dict[str, PeerState] = {link.peer: _peer_state(link, now) for link in links}
        if mesh is not None:
            for node_id in mesh.native_destinations():
                found.setdefault(node_id, _far_state(node_id, mesh.name_of(node_id)))
        return found

    @property
    def metrics(self) -> dict[str, int]:
        """The node's counters; empty before the start."""
        return self._embedded.node.counters.snapshot() if self._embedded is not None else {}

    # --- What programs do with it ------------------------------------------------------------

    def send_message(
        self,
        to_node: str,
        msg_type: str,
        payload: bytes,
        priority: str = "NORMAL",
        *,
        durable: bool = True,
        ttl: float | None = None,
    ) -> Coroutine[Any, Any, Receipt]:
        """Accept a message for a peer (name or node id); await this, and it is on disk.

        Args:
            durable: keep it until it ends. Otherwise it goes over the session that is up now, or
                not at all, and nobody confirms it.
            ttl: seconds that it may take; None = 24 hours.

        Returns:
            Its id, a `str` that can be asked what became of it.

        Raises:
            UnknownPeerError, MessageTooLargeError, QueueFullError: nothing was accepted.
            NoPathError: `durable=False`, and no session is up.
            StoreError: it could not be brought to disk; nothing was accepted.
            ConfigError: not a priority.
            NotRunningError: before the start, or after the end.
        """
        embedded = self._running()
        sending = _send(
            embedded, to_node, msg_type, payload, priority, is_durable=durable, lifetime_s=ttl
        )
        return embedded.thread.wait(sending)

    def send_sync(
        self,
        to_node: str,
        msg_type: str,
        payload: bytes,
        priority: str = "NORMAL",
        timeout: float | None = None,
        *,
        durable: bool = True,
        ttl: float | None = None,
    ) -> Receipt:
        """Do what `send_message` does and wait for it, at most `timeout` seconds.

        Raises:
            SendTimeoutError: not accepted in time; a `TimeoutError`.
            WouldBlockError: on the node's own loop, as in an async handler.
        """
        embedded = self._running()
        if embedded.thread.is_current:
            raise WouldBlockError(
                "send_sync would block the node's own loop", "await send() in an async handler"
            )
        try:
            sending = _send(
                embedded, to_node, msg_type, payload, priority, is_durable=durable, lifetime_s=ttl
            )
            return embedded.thread.call(sending, timeout)
        except TimeoutError as error:
            raise SendTimeoutError(
                f"the message to {to_node} was not accepted within {timeout} s",
                "too much waits for this peer already; try again later",
            ) from error

    def send_later(
        self, to_node: str, msg_type: str, payload: bytes, priority: str = "NORMAL"
    ) -> None:
        """Do what `send_message` does, without waiting; a failure is logged."""
        try:
            embedded = self._running()
            sending = _send(embedded, to_node, msg_type, payload, priority)
            embedded.thread.submit(self._logged(embedded, to_node, sending))
        except NotRunningError as error:
            _log.warning("no message to %s: %s", to_node, error)

    async def connect_to_peer(self, host: str, port: int) -> str | None:
        """Dial an address, and keep the session from then on.

        Returns:
            The peer's node id once the handshake succeeded; None if it failed, which is logged.

        Raises:
            NotRunningError: before the start, or after the end.
        """
        embedded = self._running()
        try:
            link = await embedded.thread.wait(embedded.node.connect(host, port))
        except NotRunningError:
            raise
        except IronMeshError as error:
            _log.warning("no session with %s:%s: %s", host, port, error)
            return None
        return link.peer

    def find_capability(self, pattern: str) -> list[tuple[str, str]]:
        """Return `(node id, capability)` of this node and all it reaches, by a glob pattern."""
        try:
            return [*self.node.capabilities.find(pattern)]
        except NotRunningError:
            return []

    def advertise_capability(self, capability: str) -> None:
        """Tell the peers that this node can do one thing more, until that is withdrawn.

        It is kept over a restart; on the node's own loop this returns before it is on disk.

        Raises:
            NotRunningError: before the start, or after the end.
            ConfigError: not a capability, or there are too many.
        """
        check_capability(capability)
        self._change_capabilities(lambda node: node.advertise(capability))

    def withdraw_capability(self, capability: str) -> None:
        """Tell the peers that this node cannot do that any more.

        What the configuration lists is back at the next start.

        Raises:
            NotRunningError: before the start, or after the end.
        """
        self._change_capabilities(lambda node: node.withdraw(capability))

    def _change_capabilities(self, change: Callable[[Node], Awaitable[None]]) -> None:
        embedded = self._running()

        async def make() -> None:
            await change(embedded.node)

        if embedded.thread.is_current:
            change(embedded.node)
        else:
            embedded.thread.call(make(), ADVERTISE_LIMIT_S)

    async def _logged(
        self, embedded: EmbeddedNode, to_node: str, sending: Coroutine[Any, Any, Receipt]
    ) -> None:
        """Runs on the node's loop. A peer that reads nothing must not fill the memory."""
        if self._unaccepted[to_node] >= MAX_UNACCEPTED:
            sending.close()
            embedded.node.counters.add("messages.dropped")
            return
        self._unaccepted[to_node] += 1
        try:
            with embedded.unfinished():
                await sending
        except IronMeshError as error:
            _log.warning("no message to %s: %s", to_node, error)
        finally:
            self._unaccepted[to_node] -= 1
            if not self._unaccepted[to_node]:
                del self._unaccepted[to_node]

    def _running(self) -> EmbeddedNode:
        embedded = self._embedded
        if embedded is None or embedded.thread.is_over:
            raise NotRunningError("the node is not running", "call run() first")
        return embedded

    def _deliver(self, received: MessageReceived) -> list[HandlerCall]:
        return self.bus.publish(MessageEvent(received), time.time())


async def _send(
    embedded: EmbeddedNode,
    to_node: str,
    msg_type: str,
    payload: bytes,
    priority: str,
    *,
    is_durable: bool = True,
    lifetime_s: float | None = None,
) -> Receipt:
    """Runs on the node's loop."""
    node, rank = embedded.node, to_priority(priority)
    if is_durable:
        lifetime_s = DEFAULT_LIFETIME_S if lifetime_s is None else lifetime_s
        (message_id,) = await node.accept(to_node, payload, msg_type, rank, lifetime_s)
    else:
        _, message_id = await node.send(to_node, payload, msg_type, rank, is_durable=False)
    return Receipt(message_id, embedded)


def _is_on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _far_state(node_id: NodeId, name: str) -> PeerState:
    """Return a node that is reached over others."""
    return PeerState(
        node_id=node_id,
        name=name,
        status="online",
        transport="mesh",
        rtt_ms=None,
        messages_sent=0,
        messages_received=0,
        uptime=0.0,
    )


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

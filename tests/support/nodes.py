"""Whole nodes in a test's own process: each with a home of its own, all stopped at the end."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from tests.support.leftovers import Leftovers
from tests.support.outer import OUTER

from ironmesh.config import MINIMAL_KDF, LegacyMode, NodeConfig
from ironmesh.errors import ConnectionClosed
from ironmesh.node.clock import SystemClock
from ironmesh.node.events import (
    MessageReceived,
    MessagesReceived,
    NodeEvent,
    PeerOffline,
    PeerOnline,
    PeerRefused,
)
from ironmesh.node.first_start import make_here
from ironmesh.node.link import Link
from ironmesh.node.node import Node
from ironmesh.node.ports import OnRefused
from ironmesh.transport import websocket
from ironmesh.transport.interface import (
    Connection,
    ConnectionHandler,
    ConnectionInfo,
    Door,
    Listener,
    Receiver,
)
from ironmesh.transport.memory import MemoryNetwork
from ironmesh.transport.websocket import Timing
from ironmesh.types import Endpoint, Instant, NodeId, Refusal, Secret, Unit

PASSPHRASE = Secret("correct horse battery staple")
LEGACY: dict[str, Any] = {"legacy": LegacyMode.ALL, "legacy_same_passphrase": True}
"""Settings of a node that speaks the 0.8 wire as well."""
WAIT_S = 20.0
"""How long a test waits for what must happen; far more than it takes."""

E = TypeVar("E")


class MovableClock:
    """The machine's clocks; a test moves the monotonic one on, or sets the other one."""

    def __init__(self) -> None:
        self._system = SystemClock()
        self._ahead_s = 0.0
        self._wall_ahead_s = 0.0

    def now(self) -> Instant:
        """Return this moment, as far ahead as the test wants."""
        now = self._system.now()
        return Instant(now.mono + self._ahead_s, now.wall + self._wall_ahead_s)

    def advance(self, seconds: float) -> None:
        """Let time pass at once."""
        self._ahead_s += seconds

    def set_wall(self, ahead_s: float) -> None:
        """Set the wall clock, as an operator does; the monotonic one goes on."""
        self._wall_ahead_s = ahead_s


class Recorder:
    """Keeps every event of a node, and lets a test wait for one."""

    def __init__(self) -> None:
        self.events: list[NodeEvent | MessageReceived] = []
        self._changed = asyncio.Event()

    def take(self, event: NodeEvent | MessageReceived) -> None:
        """Keep one event."""
        self.events.append(event)
        self._changed.set()

    def of(self, kind: type[E]) -> list[E]:
        """Return the events of a kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    async def wait(
        self, kind: type[E], predicate: Callable[[E], bool] = lambda _: True, *, count: int = 1
    ) -> list[E]:
        """Return the first `count` events that match, once they have happened."""

        def matching() -> list[E]:
            return [event for event in self.of(kind) if predicate(event)]

        await self.until(lambda: len(matching()) >= count, f"{count} of {kind.__name__}")
        return matching()[:count]

    async def until(self, condition: Callable[[], bool], what: str = "it") -> None:
        """Return once `condition` holds; it is looked at after each event."""
        try:
            async with asyncio.timeout(WAIT_S):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            seen = "\n  ".join(map(str, self.events[-20:]))
            raise AssertionError(f"waited in vain for {what}; seen:\n  {seen}") from None


async def eventually(condition: Callable[[], bool], what: str = "it") -> None:
    """Return once `condition` holds; for what no event tells of."""
    try:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"waited in vain for {what}") from None


@dataclass(eq=False)
class Live:
    """A node, and what it saw."""

    node: Node
    seen: Recorder = field(default_factory=Recorder)
    received: list[MessageReceived] = field(default_factory=list)
    """What its message handler was given."""
    known_id: NodeId = field(default=NodeId(""))
    """Its id, also after it stopped."""
    port: int = 0
    """Where it listens, or did."""

    @property
    def name(self) -> str:
        return self.node.config.name

    @property
    def id(self) -> NodeId:
        return self.node.node_id

    @property
    def endpoint(self) -> Endpoint:
        return self.node.endpoints[0]

    @property
    def texts(self) -> list[str]:
        """The payloads of the received messages, as text."""
        return [event.message.payload.decode(errors="replace") for event in self.received]

    async def take(self, event: MessageReceived) -> None:
        """Be the node's message handler."""
        self.received.append(event)
        self.seen.take(event)

    async def dial(self, other: Live) -> Link:
        """Connect to another node, and wait until both know of it."""
        link = await self.node.connect(*other.endpoint)
        await self.online(other)
        await other.online(self)
        return link

    async def online(self, other: Live) -> None:
        """Wait until a session with `other` is up."""
        await self.seen.until(lambda: self.link(other) is not None, f"{other.name} online")

    async def offline(self, other_id: NodeId, *, count: int = 1) -> None:
        """Wait until a session with this peer ended."""
        await self.seen.wait(PeerOffline, lambda event: event.node_id == other_id, count=count)

    async def refused(self, reason: Refusal, *, count: int = 1) -> PeerRefused:
        """Wait until a peer was refused for a reason; return the last of `count` refusals."""
        found = await self.seen.wait(PeerRefused, lambda event: event.reason is reason, count=count)
        return found[-1]

    async def has_received(self, count: int) -> list[str]:
        """Wait until so many messages arrived; return their texts."""
        await self.seen.until(lambda: len(self.received) >= count, f"{count} messages")
        return self.texts

    def link(self, other: Live) -> Link | None:
        """Return the link to another node, if one is up."""
        return self.node.links.get(other.id)

    def waiting(self, other: Live) -> int:
        """Return how many messages wait for another node to come online."""
        return self.node.outgoing.count(other.known_id)

    def flaps(self) -> list[PeerOnline | PeerOffline]:
        """Return every coming and going of a peer, in order."""
        return [e for e in self.seen.events if isinstance(e, PeerOnline | PeerOffline)]

    def audited(self) -> list[str]:
        """Return the names of the events in its audit log."""
        with self.node.config.audit_file.open() as log:
            return [json.loads(line)["event"] for line in log]


class Nodes:
    """Makes nodes, and stops all that it started.

    Args:
        folder: where their homes are made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: list[Live] = []

    def config(self, name: str, **settings: Any) -> NodeConfig:
        """Return the configuration of a node that is cheap to start and quiet on the network."""
        values: dict[str, Any] = {
            "passphrase": PASSPHRASE,
            "home": self._folder / "home",
            "port": 0,
            "bind": "127.0.0.1",
            "mdns": False,
            "kdf": MINIMAL_KDF,
        }
        return NodeConfig(name=name, **(values | settings))

    def make(
        self,
        name: str,
        *,
        transport: Any = None,
        discovery: Any = None,
        clock: Any = None,
        **settings: Any,
    ) -> Live:
        """Return a node that is not started yet; `settings` are those of `NodeConfig`."""
        config = self.config(name, **settings)
        live = Live(
            Node(config, clock=clock, transport=transport, discovery=discovery, make=make_here)
        )
        live.node.subscribe(
            lambda event: None if isinstance(event, MessagesReceived) else live.seen.take(event)
        )
        live.node.on_message(live.take)
        self._made.append(live)
        return live

    async def start(self, name: str, **settings: Any) -> Live:
        """Make a node and start it."""
        live = self.make(name, **settings)
        await live.node.start()
        live.known_id, live.port = live.node.node_id, live.endpoint.port
        return live

    async def again(self, live: Live, **settings: Any) -> Live:
        """Stop a node and start it anew, with the same home, port and settings."""
        transport = live.node._given_transport
        await live.node.stop()
        config = msgspec.structs.replace(live.node.config, **{"port": live.port, **settings})
        return await self.start(
            transport=transport,
            **{name: getattr(config, name) for name in config.__struct_fields__},
        )

    async def pair(self, **settings: Any) -> tuple[Live, Live]:
        """Start `alice` and `bob`, and let alice dial."""
        alice = await self.start("alice", **settings)
        bob = await self.start("bob", **settings)
        await alice.dial(bob)
        return alice, bob

    async def stop(self) -> None:
        """Stop all of them."""
        await asyncio.gather(*(live.node.stop() for live in self._made))


@asynccontextmanager
async def running_nodes(folder: Path) -> AsyncIterator[Nodes]:
    """Give a maker of nodes; at the end all are stopped, and must have left nothing behind."""
    before = await Leftovers.now()
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complain(context))

    def complain(context: dict[str, Any]) -> None:
        # Python 3.11 says this when a stream server's task is cancelled, as the fault proxy's are.
        if not isinstance(context.get("exception"), asyncio.CancelledError):
            complaints.append(context)

    nodes = Nodes(folder)
    try:
        yield nodes
    finally:
        await nodes.stop()
    assert not complaints, complaints
    after = await Leftovers.now()
    assert after.tasks <= before.tasks, [task.get_name() for task in asyncio.all_tasks()]
    for live in nodes._made:
        assert live.node.counters["internal_errors"] == 0, live.name


# --- The in-memory network ---------------------------------------------------------------------


class FaultyConnection:
    """A connection of the memory network that can fall silent, or stop taking what is sent."""

    def __init__(self, inner: Connection) -> None:
        self._inner = inner
        self.is_silent = False
        """What is sent is lost, as if the cable were cut."""
        self.may_send = asyncio.Event()
        """Cleared: `send` waits, as with a peer that does not read."""
        self.may_send.set()
        self.may_return = asyncio.Event()
        """Cleared: `send` sends, and does not return."""
        self.may_return.set()
        self.sent: list[Unit] = []

    @property
    def info(self) -> ConnectionInfo:
        return self._inner.info

    def write(self, units: Sequence[Unit]) -> Awaitable[None] | None:
        if not (self.may_send.is_set() and self.may_return.is_set()):
            return self.send(units)
        self.sent.extend(units)
        return None if self.is_silent else self._inner.write(units)

    async def send(self, units: Sequence[Unit]) -> None:
        await self.may_send.wait()
        self.sent.extend(units)
        if not self.is_silent:
            await self._inner.send(units)
        await self.may_return.wait()

    async def receive(self) -> Unit:
        while True:
            unit = await self._inner.receive()
            if not self.is_silent:
                return unit

    def give_to(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._inner.give_to(self)

    def units_received(self, units: list[Unit]) -> None:
        if not self.is_silent:
            self._receiver.units_received(units)

    def connection_ended(self, error: ConnectionClosed) -> None:
        self._receiver.connection_ended(error)

    def pause(self) -> None:
        self._inner.pause()

    def resume(self) -> None:
        self._inner.resume()

    async def close(self, code: int = 1000) -> None:
        self.may_send.set()
        if self.is_silent:
            # The other end learns nothing of it; ours is over.
            self._inner._incoming.end(self._lost)  # type: ignore[attr-defined]
        else:
            await self._inner.close(code)

    def abort(self) -> None:
        self.may_send.set()
        self._inner.abort()

    def _lost(self) -> Exception:
        return ConnectionClosed("the connection was lost", close_code=1006)


class MemoryTransport:
    """One node's place in a memory network; every connection of it can be made to fail."""

    def __init__(self, network: MemoryNetwork) -> None:
        self._network = network
        self.connections: list[FaultyConnection] = []
        self.dials: list[Endpoint] = []
        self.may_dial = asyncio.Event()
        """Cleared: dialling waits."""
        self.may_dial.set()

    is_tls = False

    async def listen(
        self,
        endpoint: Endpoint,
        handler: ConnectionHandler,
        door: Door,
        on_refused: OnRefused,
        *,
        subprotocols: Sequence[str] = (),
    ) -> Listener:
        async def serve(connection: Connection) -> None:
            await handler(self._faulty(connection))

        return await self._network.listen(
            endpoint, serve, door=door, on_refused=on_refused, subprotocols=subprotocols
        )

    async def dial(
        self, endpoint: Endpoint, *, use_tls: bool, subprotocols: Sequence[str] = ()
    ) -> Connection:
        await self.may_dial.wait()
        self.dials.append(endpoint)
        return self._faulty(await self._network.dial(endpoint, subprotocols))

    def _faulty(self, connection: Connection) -> FaultyConnection:
        faulty = FaultyConnection(connection)
        self.connections.append(faulty)
        return faulty


class PatientTransport:
    """WebSocket that waits long for a peer to read: a busy machine may stall a test.

    It is plain, except in tests that put TLS beneath it.
    """

    _timing = Timing(send_timeout_s=60.0)

    @property
    def is_tls(self) -> bool:
        return OUTER.nodes is not None

    async def listen(
        self,
        endpoint: Endpoint,
        handler: ConnectionHandler,
        door: Door,
        on_refused: OnRefused,
        *,
        subprotocols: Sequence[str] = (),
    ) -> Listener:
        return await websocket.listen(
            endpoint,
            handler,
            tls=OUTER.nodes,
            door=door,
            on_refused=on_refused,
            subprotocols=subprotocols,
            timing=self._timing,
        )

    async def dial(
        self, endpoint: Endpoint, *, use_tls: bool, subprotocols: Sequence[str] = ()
    ) -> Connection:
        return await websocket.dial(
            endpoint, use_tls=self.is_tls, subprotocols=subprotocols, timing=self._timing
        )


# --- Logs ----------------------------------------------------------------------------------------


def lines(caplog: Any, level: int = logging.INFO) -> list[str]:
    """Return what our package logged at a level or above, with its facts."""
    return [
        f"{record.getMessage()} {dict(getattr(record, 'fields', {}))}"
        for record in caplog.records
        if record.name.startswith("ironmesh") and record.levelno >= level
    ]

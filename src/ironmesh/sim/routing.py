"""A mesh of routers alone: no codecs, no cryptography, bytes counted by their sizes.

What a router sends arrives later, in order, on the same session; what it sends in one instant goes
in one record, as the writer of a link sends all that is ready.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Final

from ironmesh.crypto.identity import node_id_of
from ironmesh.mesh.cost import hop_cost
from ironmesh.mesh.routing.router import Router
from ironmesh.mesh.routing.values import (
    Bump,
    LinkCost,
    NewBeacon,
    PartitionAlarm,
    RouteFound,
    RouteLost,
    RouterAction,
    RouterLimits,
    Send,
    Suspicious,
)
from ironmesh.sim.engine import Engine
from ironmesh.sim.links import LinkQuality, Pipe
from ironmesh.sim.topology import Topology
from ironmesh.types import MeshMode, NodeId
from ironmesh.wire.native.beacons import Beacon
from ironmesh.wire.native.routes import RouteDigest, RouteRequest, Routes, size_of

RECORD_BYTES: Final = 122
"""Of a signed record and its frame in TLS, beside the body of its one message."""
RECONNECT_S: Final = 5.0
"""From the end of a session that a lossy link cost to the next one."""
QUIET_S: Final = 8.0
"""A neighbour that was silent for so long is asked for a sign of life."""
ANSWER_S: Final = 7.0
"""What it then has to give one."""
SILENCE_S: Final = (ANSWER_S, QUIET_S + ANSWER_S)
"""How long it takes until a neighbour that vanishes is given up, by when it was heard last."""
SIGNATURE: Final = b"s" * 64
"""Of every true beacon here; a forged one has another."""

Value = Routes | RouteDigest | RouteRequest


@dataclass(eq=False, slots=True)
class Session:
    """One session between two nodes, from its start to its end."""

    nodes: tuple[int, int]
    pipes: tuple[Pipe, Pipe]
    ready: tuple[list[Any], list[Any]] = field(default_factory=lambda: ([], []))
    """What is sent in this instant, each way."""
    ready_bytes: list[int] = field(default_factory=lambda: [0, 0])
    is_whole: bool = True
    """Units still arrive."""
    up: set[int] = field(default_factory=set)
    """Ends that believe in it."""

    def other(self, node: int) -> int:
        """Return the other end."""
        return self.nodes[0] if node == self.nodes[1] else self.nodes[1]


@dataclass(eq=False, slots=True)
class RouterNode:
    """A node of which only the router is real."""

    number: int
    id: NodeId
    public: bytes
    router: Router
    is_alive: bool = True
    sequence: int = 1 << 32
    record_hash: bytes = bytes(32)
    sessions: dict[NodeId, Session] = field(default_factory=dict)
    timer_at: float = float("inf")
    sent_bytes: int = 0
    sent_records: int = 0
    reached: int = 0
    """Destinations that it has a way to."""
    lost: set[NodeId] = field(default_factory=set)
    """Destinations that it had a way to."""
    suspicious: list[Suspicious] = field(default_factory=list)
    alarms: list[PartitionAlarm] = field(default_factory=list)


Watch = Callable[[RouterNode], None]
Tamper = Callable[[RouterNode, NodeId, Value], Value | None]


class RouterMesh:
    """Routers on a topology.

    Args:
        engine: the virtual clock.
        topology: who may have sessions with whom.
        quality: of every link, as the fastest one.
        slowest_s: delay of the slowest link; each link has one between, at random.
        costs: least and most cost of a link, each chosen at random; by its delay and loss, if there
            are none.
        limits: of every router.
        modes: of the nodes that are not relays.
    """

    def __init__(
        self,
        engine: Engine,
        topology: Topology,
        *,
        quality: LinkQuality = LinkQuality(),  # noqa: B008 (frozen)
        slowest_s: float = 0.0,
        costs: tuple[int, int] | None = None,
        limits: RouterLimits = RouterLimits(),  # noqa: B008 (frozen)
        modes: dict[int, MeshMode] | None = None,
    ) -> None:
        self.engine = engine
        self.topology = topology
        self.limits = limits
        self.qualities = {
            edge: replace(
                quality,
                delay_s=engine.random.uniform(quality.delay_s, max(slowest_s, quality.delay_s)),
            )
            for edge in topology.edges
        }
        self._modes = modes or {}
        self.watches: list[Watch] = []
        """Called after each input of a router, with its node."""
        self.tampers: dict[int, Tamper] = {}
        """What nodes that lie make of what they were to send; None = nothing."""
        self.detection_s = (0.0, 1.0)
        """From the end of a session to its noticing, at each end, at random."""
        self.nodes = [self._new_node(number) for number in range(len(topology))]
        self.by_id = {node.id: node for node in self.nodes}
        self.costs = {
            edge: engine.random.randint(*costs) if costs is not None else _cost(each)
            for edge, each in self.qualities.items()
        }

    def _new_node(self, number: int) -> RouterNode:
        public = self._public(number)
        node_id = node_id_of(public)
        return RouterNode(number, node_id, public, self._new_router(number, node_id))

    def _public(self, number: int) -> bytes:
        """Return the identity key of a node; here it is none that anybody could sign with."""
        return sha256(b"node %d" % number).digest()

    def _check(self, beacon: Beacon) -> bool:
        """Tell a true beacon from a forged one."""
        return beacon.signature == SIGNATURE

    def _new_router(self, number: int, node_id: NodeId) -> Router:
        return Router(
            node_id,
            self._modes.get(number, MeshMode.RELAY),
            check=self._check,
            random=self.engine.random.randbytes,
            limits=self.limits,
        )

    # --- What happens to the mesh -----------------------------------------------------------------

    def start(self, spread_s: float = 1.0) -> None:
        """Start all nodes and sessions within a time."""
        for node in self.nodes:
            self._act(node, node.router.announce(self._beacon(node), self.engine.now))
        for edge in self.topology.edges:
            self.engine.after(spread_s * self.engine.random.random(), self.connect, *edge)

    def connect(self, a: int, b: int) -> None:
        """Make a session, if both nodes are alive and have none."""
        first, second = self.nodes[a], self.nodes[b]
        if not (first.is_alive and second.is_alive) or self.session(a, b) is not None:
            return
        random = self.engine.random
        quality = self.qualities[(min(a, b), max(a, b))]
        session = Session((a, b), (Pipe(quality, random), Pipe(quality, random)))
        self._link_up(first, session)
        self.engine.after(quality.delay_s, self._link_up_late, second, session)

    def disconnect(self, a: int, b: int, *, is_silent: bool = False) -> None:
        """End the session of two nodes; each end notices by itself.

        Args:
            is_silent: nothing tells the ends but that they hear nothing any more.
        """
        session = self.session(a, b)
        if session is not None and session.is_whole:
            session.is_whole = False
            for number in session.nodes:
                delay_s = self.engine.random.uniform(
                    *(SILENCE_S if is_silent else self.detection_s)
                )
                self.engine.after(delay_s, self._link_down, self.nodes[number], session)

    def crash(self, number: int, *, is_silent: bool = False) -> None:
        """Stop a node at once; its neighbours notice each by itself.

        Args:
            is_silent: it vanishes, as a host without power; else its system closes its connections.
        """
        node = self.nodes[number]
        node.is_alive = False
        node.timer_at = float("inf")
        for session in list(node.sessions.values()):
            self.disconnect(*session.nodes, is_silent=is_silent)
            session.up.discard(number)
        node.sessions.clear()
        node.reached = 0
        node.lost.clear()

    def restart(self, number: int, *, remembers: bool = True) -> None:
        """Start a node again, with what it kept, and connect it to its live neighbours."""
        node = self.nodes[number]
        kept = node.router.snapshot() if remembers else []
        node.router = self._new_router(number, node.id)
        node.router.restore(kept)
        node.is_alive = True
        self.begin_life(node)

    def begin_life(self, node: RouterNode) -> None:
        """Let a node that starts again announce itself and meet its neighbours."""
        node.sequence = ((node.sequence >> 32) + 1) << 32
        self._act(node, node.router.announce(self._beacon(node), self.engine.now))
        for a, b in self.topology.edges:
            if node.number in (a, b):
                self.engine.after(0.5 * self.engine.random.random(), self.connect, a, b)

    def renew(self, number: int) -> None:
        """Have a node say something new about itself."""
        node = self.nodes[number]
        node.record_hash = self.engine.random.randbytes(32)
        self._bump(node, node.sequence)

    def set_cost(self, a: int, b: int, cost: int) -> None:
        """Change what a hop between two nodes costs."""
        edge = (min(a, b), max(a, b))
        self.costs[edge] = cost
        for here, there in (edge, edge[::-1]):
            node = self.nodes[here]
            if node.is_alive:
                peer = self.nodes[there].id
                self._act(node, node.router.link_changed(peer, LinkCost(cost), self.engine.now))

    def session(self, a: int, b: int) -> Session | None:
        """Return the session that either node believes in."""
        first, second = self.nodes[a], self.nodes[b]
        return first.sessions.get(second.id) or second.sessions.get(first.id)

    # --- Inside -----------------------------------------------------------------------------------

    def _beacon(self, node: RouterNode) -> Beacon:
        return Beacon(node.public, node.sequence, 0, node.record_hash, SIGNATURE)

    def _link_up_late(self, node: RouterNode, session: Session) -> None:
        if session.is_whole and node.is_alive:
            self._link_up(node, session)
        else:
            session.is_whole = False
            first = self.nodes[session.other(node.number)]
            self.engine.after(self.detection_s[1], self._link_down, first, session)

    def _link_up(self, node: RouterNode, session: Session) -> None:
        other = self.nodes[session.other(node.number)]
        old = node.sessions.get(other.id)
        if old is not None:
            old.up.discard(node.number)
        node.sessions[other.id] = session
        session.up.add(node.number)
        a, b = session.nodes
        link = LinkCost(self.costs[(min(a, b), max(a, b))])
        self._act(node, node.router.link_up(other.id, link, self.engine.now))

    def _link_down(self, node: RouterNode, session: Session) -> None:
        other = self.nodes[session.other(node.number)]
        if node.is_alive and node.sessions.get(other.id) is session:
            del node.sessions[other.id]
            session.up.discard(node.number)
            self._act(node, node.router.link_down(other.id, self.engine.now))

    def _act(self, node: RouterNode, actions: Iterable[RouterAction]) -> None:
        for action in actions:
            if isinstance(action, Send):
                self._send(node, action.peer, action.value)
            elif isinstance(action, RouteFound):
                node.reached += 1
                node.lost.discard(action.destination)
                self._way_changed(node, action.destination)
            elif isinstance(action, RouteLost):
                node.reached -= 1
                node.lost.add(action.destination)
                self._way_changed(node, action.destination)
            elif isinstance(action, NewBeacon):
                self._heard(node, action)
            elif isinstance(action, Bump):
                self.engine.after(0.001, self._bump, node, action.above)
            elif isinstance(action, Suspicious):
                node.suspicious.append(action)
            elif isinstance(action, PartitionAlarm):
                node.alarms.append(action)
        self._plan(node)
        for watch in self.watches:
            watch(node)

    def _heard(self, node: RouterNode, news: NewBeacon) -> None:
        """Take note of what another node says of itself; here nobody is interested."""

    def _way_changed(self, node: RouterNode, destination: NodeId) -> None:
        """Take note of a way that was found or lost; here nobody uses it."""

    def _bump(self, node: RouterNode, above: int) -> None:
        if node.is_alive:
            node.sequence = max(node.sequence, above) + 1
            self._act(node, node.router.announce(self._beacon(node), self.engine.now))

    def _send(self, node: RouterNode, peer: NodeId, value: Value) -> None:
        tamper = self.tampers.get(node.number)
        changed = tamper(node, peer, value) if tamper is not None else value
        if changed is not None:
            self.transmit(node, peer, changed, size_of(changed))

    def transmit(self, node: RouterNode, peer: NodeId, unit: Any, size: int) -> None:
        """Put something on the session of a node with a neighbour: it arrives, or the session ends.

        Args:
            size: bytes of its body.
        """
        session = node.sessions[peer]
        way = session.nodes.index(node.number)
        if not session.ready[way]:
            self.engine.after(0.0, self._write, node, session, way)
        session.ready[way].append(unit)
        session.ready_bytes[way] += size

    def _write(self, node: RouterNode, session: Session, way: int) -> None:
        """Send all that is ready in one record, unless the session has ended meanwhile."""
        units, size = session.ready[way].copy(), session.ready_bytes[way] + RECORD_BYTES
        session.ready[way].clear()
        session.ready_bytes[way] = 0
        if node.number not in session.up:
            return
        node.sent_bytes += size
        node.sent_records += 1
        at = session.pipes[way].arrival(size, self.engine.now)
        if at is None:
            self.disconnect(*session.nodes)
            self.engine.after(RECONNECT_S, self.connect, *session.nodes)
        else:
            to = self.nodes[session.other(node.number)]
            self.engine.at(at, self._arrive, session, to, node.id, units)

    def _arrive(
        self, session: Session, node: RouterNode, peer: NodeId, units: Iterable[Any]
    ) -> None:
        for unit in units:
            if session.is_whole and node.is_alive and node.sessions.get(peer) is session:
                self._take(node, peer, unit)

    def _take(self, node: RouterNode, peer: NodeId, unit: Any) -> None:
        """Take what a neighbour sent."""
        self._act(node, node.router.received(peer, unit, self.engine.now))

    def _plan(self, node: RouterNode) -> None:
        at = node.router.next_timer
        if at is not None and at < node.timer_at:
            node.timer_at = at
            self.engine.at(at, self._fire, node, at)

    def _fire(self, node: RouterNode, at: float) -> None:
        if node.is_alive and node.timer_at == at:
            node.timer_at = float("inf")
            self._act(node, node.router.timer(self.engine.now))


def _cost(quality: LinkQuality) -> int:
    return hop_cost(2 * quality.delay_s, loss=quality.loss)

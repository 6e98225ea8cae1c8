"""A simulated mesh of whole node cores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, Final

from ironmesh.crypto.identity import Identity
from ironmesh.mesh.beacons import check_beacon, make_beacon
from ironmesh.mesh.routing.snapshot import decode_snapshot, encode_snapshot
from ironmesh.mesh.routing.values import NewBeacon
from ironmesh.session.parcels.prekeys import Prekeys
from ironmesh.sim.engine import Engine
from ironmesh.sim.invariants import InvariantBrokenError
from ironmesh.sim.routing import RouterMesh, RouterNode, Session, Value
from ironmesh.sim.stack.carrier import Carrier
from ironmesh.sim.stack.diary import MARK, Diary
from ironmesh.sim.stack.post import NodeDiedError, Post, crash_hook
from ironmesh.sim.topology import Topology
from ironmesh.store.memory import MemoryStore
from ironmesh.types import Instant, MeshType, Message, MessagePriority, NodeId, Secret
from ironmesh.wire.native import routes
from ironmesh.wire.native.beacons import Beacon
from ironmesh.wire.native.relaying import HEADER_BYTES
from ironmesh.wire.native.routes import RouteDigest, RouteRequest, Routes

WALL_START: Final = 1.8e9
LIFE_S: Final = 48 * 3600
_ROUTE_TYPES: Final = frozenset({MeshType.ROUTES, MeshType.ROUTE_DIGEST, MeshType.ROUTE_REQUEST})

Unit = tuple[str, bytes | Message]


class Stack:
    """All of one node but its router; implements `Shell` and `Ground` for its parts."""

    def __init__(self, mesh: StackMesh, node: RouterNode, identity: Identity) -> None:
        self._mesh = mesh
        self._node = node
        self.identity = identity
        self.diary = Diary()
        self._store = MemoryStore(crash_hook(self.step))
        self._prekeys: Secret | None = None
        self._life = 0
        self._changed: list[NodeId] = []
        """To which a route was found or lost, since the carrier heard of it."""
        self.death = 0.0
        """Probability of dying at each step."""
        self.post: Post
        self.carrier: Carrier

    def start(self) -> None:
        """Begin a life, with what is on disk."""
        self._life += 1
        now, random = self.now(), self._mesh.engine.random.randbytes
        prekeys = Prekeys() if self._prekeys is None else Prekeys.restore(self._prekeys, now)
        if prekeys.renew(now, random):
            self._prekeys = prekeys.state(now)
            prekeys.saved()
        stream = int(now.wall)
        router = self._node.router
        self.carrier = Carrier(self.identity, self, router, prekeys, stream, random)
        self._node.record_hash = self.carrier.own_record()
        self.post = Post(self._node.id, self, self._store, self.diary, random)
        self.carrier.post = self.post
        self.post.arm()

    def die(self, *, is_power_loss: bool) -> None:
        """End a life; what was not on disk is gone."""
        self._life += 1
        self._changed.clear()
        self._store = self._store.crash(is_power_loss=is_power_loss)

    # --- What its parts use -----------------------------------------------------------------------

    def now(self) -> Instant:
        """Return the time."""
        return Instant(self._mesh.engine.now, WALL_START + self._mesh.engine.now)

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Do something after a while, if this life lasts that long."""
        self._mesh.engine.after(delay_s, self._run, self._life, call)

    def _run(self, life: int, call: Callable[[], None]) -> None:
        if self._life == life and self._node.is_alive:
            self.attempt(call)

    def attempt(self, call: Callable[[], None]) -> None:
        """Do something during which the node may die."""
        try:
            self.step()
            call()
        except NodeDiedError:
            self._mesh.crash(self._node.number)

    def way_changed(self, destination: NodeId) -> None:
        """A route was found or lost: once the router is done, its carrier hears of it."""
        if not self._changed:
            self.later(0.0, self._ways_changed)
        self._changed.append(destination)

    def _ways_changed(self) -> None:
        changed, self._changed = self._changed, []
        for destination in changed:
            self.step()
            self.carrier.route_changed(destination)

    def step(self) -> None:
        """A moment at which the node may die.

        Raises:
            NodeDiedError: it does.
        """
        if self.death and self._mesh.engine.random.random() < self.death:
            raise NodeDiedError("a crash")

    def carry(self, destination: NodeId, messages: Sequence[Message]) -> None:
        """Send messages by the present way."""
        self.carrier.carry(destination, messages)

    def tell(self, peer: NodeId, kind: str, body: bytes | Message) -> None:
        """Hand something to a neighbour, if there is a session with it."""
        if peer in self._node.sessions:
            self._mesh.hand(self._node, peer, (kind, body))

    def is_neighbour(self, peer: NodeId) -> bool:
        """Tell whether there is a session with a node."""
        return peer in self._node.sessions


class StackMesh(RouterMesh):
    """Whole nodes on a topology; see `RouterMesh`."""

    def __init__(self, engine: Engine, topology: Topology, **options: Any) -> None:
        self._identities = [
            Identity.from_seed(sha256(b"seed %d" % number).digest())
            for number in range(len(topology))
        ]
        self._checked: dict[Beacon, bool] = {}
        self.stacks: list[Stack] = []
        self.parcels = 0
        """Parcels that were looked at on their way."""
        self.deaths = 0
        self.replays = 0.0
        """Share of parcels that liars hand over a second time."""
        super().__init__(engine, topology, **options)
        self.stacks = [
            Stack(self, node, identity)
            for node, identity in zip(self.nodes, self._identities, strict=True)
        ]
        for stack in self.stacks:
            stack.start()

    @property
    def diaries(self) -> dict[NodeId, Diary]:
        """What each application knows."""
        return {stack.identity.node_id: stack.diary for stack in self.stacks}

    def send(
        self,
        source: int,
        destination: int,
        text: str,
        priority: MessagePriority = MessagePriority.NORMAL,
    ) -> None:
        """Let an application send a message, if its node is alive."""
        stack, target = self.stacks[source], self.nodes[destination].id
        if self.nodes[source].is_alive:

            def send() -> None:
                stack.post.send(target, text, priority)
                stack.carrier.refresh(target)

            stack.attempt(send)

    # --- Lives ------------------------------------------------------------------------------------

    def crash(self, number: int, *, is_silent: bool = False) -> None:
        """Stop a node at once; what was not on disk may be lost, as with the power."""
        if self.nodes[number].is_alive:
            self.deaths += 1
            super().crash(number, is_silent=is_silent)
            self.stacks[number].die(is_power_loss=self.engine.random.random() < 0.5)

    def restart(self, number: int, *, remembers: bool = True) -> None:
        """Start a node again."""
        node = self.nodes[number]
        kept = encode_snapshot(node.router.snapshot()) if remembers else encode_snapshot([])
        node.router = self._new_router(number, node.id)
        node.router.restore(decode_snapshot(kept))
        node.is_alive = True
        self.stacks[number].start()
        self.begin_life(node)

    # --- What the mesh of routers asks ------------------------------------------------------------

    def _public(self, number: int) -> bytes:
        return self._identities[number].public

    def _beacon(self, node: RouterNode) -> Beacon:
        expiry_s = int(WALL_START + self.engine.now) + LIFE_S
        identity = self._identities[node.number]
        return make_beacon(identity, node.sequence, expiry_s, node.record_hash)

    def _check(self, beacon: Beacon) -> bool:
        """Verify a beacon, once for the whole mesh."""
        is_true = self._checked.get(beacon)
        if is_true is None:
            is_true = self._checked[beacon] = check_beacon(beacon)
        return is_true

    def _heard(self, node: RouterNode, news: NewBeacon) -> None:
        self.stacks[node.number].carrier.heard(news.beacon, news.peer)

    def _way_changed(self, node: RouterNode, destination: NodeId) -> None:
        self.stacks[node.number].way_changed(destination)

    def _link_up(self, node: RouterNode, session: Session) -> None:
        super()._link_up(node, session)
        peer = self.nodes[session.other(node.number)].id
        stack = self.stacks[node.number]
        stack.attempt(lambda: stack.carrier.link_up(peer))

    def _link_down(self, node: RouterNode, session: Session) -> None:
        peer = self.nodes[session.other(node.number)].id
        was_up = node.is_alive and node.sessions.get(peer) is session
        super()._link_down(node, session)
        if was_up:
            stack = self.stacks[node.number]
            stack.attempt(lambda: stack.carrier.link_down(peer))

    # --- The wire ---------------------------------------------------------------------------------

    def hand(self, node: RouterNode, peer: NodeId, unit: Unit) -> None:
        """Hand a message to a neighbour; parcels are looked at for what they must not show.

        Raises:
            InvariantBrokenError: a parcel shows its body, its type or its source.
        """
        kind, body = unit
        size = len(body.payload) + 24 if isinstance(body, Message) else len(body)
        if kind == MeshType.PARCEL:
            assert isinstance(body, bytes)
            self._look(body)
            is_liar = self.stacks[node.number].carrier.drops_parcels
            if is_liar and self.engine.random.random() < self.replays:
                self.transmit(node, peer, unit, size)
        self.transmit(node, peer, unit, size)

    def _look(self, body: bytes) -> None:
        self.parcels += 1
        sealed = body[HEADER_BYTES:]
        if MARK in sealed:
            raise InvariantBrokenError("a parcel on its way shows what is in it")
        for identity in self._identities:
            if identity.public in sealed:
                raise InvariantBrokenError("a parcel on its way shows who wrote it")

    def _send(self, node: RouterNode, peer: NodeId, value: Value) -> None:
        tamper = self.tampers.get(node.number)
        changed = tamper(node, peer, value) if tamper is not None else value
        if changed is not None:
            kind, body = _encoded(changed)
            self.transmit(node, peer, (kind, body), len(body))

    def _take(self, node: RouterNode, peer: NodeId, unit: Any) -> None:
        kind, body = unit
        stack = self.stacks[node.number]
        if isinstance(body, Message):
            stack.attempt(lambda: stack.post.arrived(peer, [body]))
        elif kind in _ROUTE_TYPES:
            self._act(node, node.router.received(peer, _decoded(kind, body), self.engine.now))
        else:
            stack.attempt(lambda: stack.carrier.received(peer, kind, body))


def _encoded(value: Value) -> tuple[str, bytes]:
    if isinstance(value, Routes):
        return MeshType.ROUTES, routes.encode_routes(value)
    if isinstance(value, RouteDigest):
        return MeshType.ROUTE_DIGEST, routes.encode_digest(value)
    return MeshType.ROUTE_REQUEST, routes.encode_request(value)


def _decoded(kind: str, body: bytes) -> Routes | RouteDigest | RouteRequest:
    if kind == MeshType.ROUTES:
        return routes.decode_routes(body)
    if kind == MeshType.ROUTE_DIGEST:
        return routes.decode_digest(body)
    return routes.decode_request(body)

"""How one node reaches others: its records, the parcels that it seals, opens and hands on.

A small shell around `mesh` and `session.parcels`, as `ironmesh.node.mesh` is the large one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final, Protocol

from ironmesh.crypto.identity import Identity
from ironmesh.errors import RemoteProtocolError
from ironmesh.mesh.breaker import CircuitBreakers
from ironmesh.mesh.clock import RecordClock
from ironmesh.mesh.forwarding import Crumb, Deliver, Drop, Forward, Forwarder, Refuse
from ironmesh.mesh.pulls import Pull
from ironmesh.mesh.records import Answer, Learned, RecordAction, RecordBook
from ironmesh.mesh.routing.router import Router
from ironmesh.session.parcels.inbox import ParcelInbox
from ironmesh.session.parcels.prekeys import Prekeys
from ironmesh.session.parcels.reader import Taken
from ironmesh.session.parcels.sealing import DestinationKeys, open_parcel, seal_parcel
from ironmesh.session.parcels.writer import ParcelWriter
from ironmesh.sim.stack.post import Post
from ironmesh.types import Instant, MeshType, Message, NodeId, Random
from ironmesh.wire.native import relaying
from ironmesh.wire.native.beacons import Beacon
from ironmesh.wire.native.noderecords import (
    NodeRecord,
    decode_blobs,
    decode_hashes,
    encode_hashes,
    encode_node_record,
    share_out_blobs,
)
from ironmesh.wire.native.relaying import Obstacle, Unreachable
from ironmesh.wire.receipts import split_id

MIN_PAUSE_S: Final = 0.1
MAX_PAUSE_S: Final = 10.0
"""Between two times that a path is begun anew, while nothing is confirmed."""
LOOK_S: Final = 5.0
_DIRECT: Final = "direct"
_PATH: Final = "path"


class Ground(Protocol):
    """What a node gives its carrier."""

    def now(self) -> Instant:
        """Return the time."""
        ...

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Do something after a while, if the node lives until then."""
        ...

    def tell(self, peer: NodeId, kind: str, body: bytes | Message) -> None:
        """Hand something to a neighbour, if there is a session with it."""
        ...

    def is_neighbour(self, peer: NodeId) -> bool:
        """Tell whether there is a session with a node."""
        ...


class Carrier:
    """Ways to destinations; made anew for each life of its node.

    Args:
        prekeys: what parcels for this node are sealed to.
        stream: larger than in any life before.
    """

    def __init__(
        self,
        identity: Identity,
        ground: Ground,
        router: Router,
        prekeys: Prekeys,
        stream: int,
        random: Random,
    ) -> None:
        self._identity = identity
        self._own_id = identity.node_id
        self._ground = ground
        self._router = router
        self._prekeys = prekeys
        self._stream = stream
        self._random = random
        self._book = RecordBook(
            self._own_id, RecordClock(), is_pinned=lambda _: False, next_hops=router.next_hops
        )
        self._forwarder = Forwarder(
            self._own_id,
            next_hops=router.next_hops,
            has_room=lambda _peer, _size: True,
            breakers=CircuitBreakers(),
        )
        self._inbox = ParcelInbox(self._own_id)
        self._writers: dict[NodeId, ParcelWriter] = {}
        self._ways: dict[NodeId, str] = {}
        self._avoid: dict[NodeId, NodeId] = {}
        self._pause_s: dict[NodeId, float] = {}
        self._starting_over: set[NodeId] = set()
        self._looking: set[NodeId] = set()
        self._blocked: set[NodeId] = set()
        """Destinations for which something could not be sent: nothing may overtake it."""
        self._newest: dict[tuple[NodeId, bytes, str], int] = {}
        self._last_hop: dict[NodeId, NodeId] = {}
        self._armed = float("inf")
        self.post: Post | None = None
        self.drops_parcels = False
        """A liar: takes parcels for others and forgets them."""

    def own_record(self) -> bytes:
        """Return the hash of our record, which others may pull from now on."""
        current = self._prekeys.current
        assert current is not None
        record = NodeRecord("node", (), current.number, current.x25519, current.kem_hash, (5,))
        body = encode_node_record(record)
        self._book.publish(body, current.kem)
        return sha256(body).digest()

    # --- Neighbours and routes --------------------------------------------------------------------

    def link_up(self, peer: NodeId) -> None:
        """A session with a neighbour began."""
        self._run(self._book.link_up(peer, self._ground.now()))
        self.refresh(peer, is_new=True)

    def link_down(self, peer: NodeId) -> None:
        """The session with a neighbour ended; the router knows by now."""
        now = self._ground.now()
        self._run(self._book.link_down(peer, now))
        for parcel_hash, crumb in self._forwarder.link_down(peer, now.mono):
            self._tell_back(crumb, parcel_hash, Obstacle.LINK_LOST)
        self.refresh(peer, is_new=True)
        for destination, hop in list(self._last_hop.items()):
            if hop == peer:
                self._start_over(destination, is_urgent=True)

    def heard(self, beacon: Beacon, peer: NodeId) -> None:
        """A neighbour told of a beacon."""
        self._run(self._book.heard(beacon, peer, self._ground.now()))

    def route_changed(self, destination: NodeId) -> None:
        """A route was found or lost: its record is asked for, or of less use."""
        beacon, hops = self._router.beacon(destination), self._router.next_hops(destination)
        if hops and beacon is not None:
            self.heard(beacon, hops[0])
        else:
            self._book.lost(destination)
        self.refresh(destination)

    def refresh(self, destination: NodeId, *, is_new: bool = False) -> None:
        """See whether another way leads to a destination, or none."""
        if self.post is None or (
            destination not in self._ways and not self.post.count(destination)
        ):
            return
        way = self._way(destination)
        if way != self._ways.get(destination) or (is_new and way is not None):
            self._leave(destination)
            if way is not None:
                self._ways[destination] = way
                self.post.way_up(destination)
        if way is None:
            self._look_again(destination)

    def _look_again(self, destination: NodeId) -> None:
        """Messages wait for a way: see now and then whether what it lacks came."""
        if destination not in self._looking:
            self._looking.add(destination)

            def look() -> None:
                self._looking.discard(destination)
                self.refresh(destination)

            self._ground.later(LOOK_S, look)

    def _way(self, destination: NodeId) -> str | None:
        if self._ground.is_neighbour(destination):
            return _DIRECT
        has_route = bool(self._router.next_hops(destination))
        return _PATH if has_route and self._keys(destination) is not None else None

    def _leave(self, destination: NodeId) -> None:
        if self._ways.pop(destination, None) is not None:
            assert self.post is not None
            self.post.way_down(destination)
            if destination in self._writers:
                self._writers[destination].restart()

    def _keys(self, destination: NodeId) -> DestinationKeys | None:
        known = self._book.get(destination)
        if known is None:
            return None
        if known.kem_hash and known.kem is None:
            self._run(self._book.want(destination, self._ground.now()))
            return None
        return DestinationKeys(known.identity_public, known.prekey_number, known.x25519, known.kem)

    # --- Out --------------------------------------------------------------------------------------

    def carry(self, destination: NodeId, messages: Sequence[Message]) -> None:
        """Send messages by the present way; without one the outbox, or its peer, tries again."""
        if self._ground.is_neighbour(destination):
            for message in messages:
                self._ground.tell(destination, message.type, message)
        elif destination in self._blocked:
            return
        elif not self._send_parcels(destination, messages):
            if destination in self._ways:
                self._blocked.add(destination)
                self._start_over(destination)
            return
        post = self.post
        assert post is not None
        self._ground.later(0.0, lambda: post.written(messages))
        self._note(destination, messages)

    def _note(self, destination: NodeId, messages: Sequence[Message]) -> None:
        """What goes a second time may never have arrived by the first: try another neighbour."""
        for message in messages:
            if message.type == "MSG":
                epoch, number = split_id(message.id)
                key = (destination, epoch, message.priority)
                if number <= self._newest.get(key, 0):
                    self._suspect(destination)
                self._newest[key] = max(number, self._newest.get(key, 0))

    def _suspect(self, destination: NodeId) -> None:
        if destination in self._last_hop:
            self._avoid[destination] = self._last_hop[destination]
        self._start_over(destination)

    def _send_parcels(self, destination: NodeId, messages: Sequence[Message]) -> bool:
        if self._keys(destination) is None or self._hop(destination) is None:
            return False
        writer = self._writers.get(destination)
        if writer is None:
            writer = ParcelWriter(self._own_id, destination, self._stream)
            self._writers[destination] = writer
        for written in writer.write(messages):
            self._seal(destination, written.content)
        return True

    def _hop(self, destination: NodeId) -> NodeId | None:
        now, avoid = self._ground.now().mono, self._avoid.get(destination)
        return self._forwarder.next_hop(destination, None, now, avoid)

    def _seal(self, destination: NodeId, content: bytes) -> None:
        keys, hop = self._keys(destination), self._hop(destination)
        view = self._router.route(destination)
        if keys is None or hop is None or view is None:
            return
        parcel = seal_parcel(self._identity, keys, content, self._random)
        hops_left = min(relaying.MAX_HOPS, view.hops + 1 + self._random(1)[0] % 5)
        body = relaying.encode_parcel(destination, hops_left, parcel)
        now, known = self._ground.now().mono, relaying.parcel_hash(body)
        self._forwarder.sent(known, destination, hop, now)
        self._hand(hop, known, body)
        self._last_hop[destination] = hop

    def _hand(self, hop: NodeId, known: bytes, body: bytes) -> None:
        self._ground.tell(hop, MeshType.PARCEL, body)
        self._forwarder.written(known, hop, self._ground.now().mono)

    def _start_over(self, destination: NodeId, *, is_urgent: bool = False) -> None:
        """Begin the path anew, and with it all that is not confirmed; not too often."""
        if destination in self._starting_over:
            return
        self._starting_over.add(destination)
        pause_s = self._pause_s.get(destination, MIN_PAUSE_S)
        self._pause_s[destination] = min(pause_s * 2, MAX_PAUSE_S)

        def again() -> None:
            self._starting_over.discard(destination)
            self._blocked.discard(destination)
            if self._ways.get(destination) == _PATH:
                self._leave(destination)
            self.refresh(destination)

        self._ground.later(0.0 if is_urgent else pause_s, again)

    # --- In ---------------------------------------------------------------------------------------

    def received(self, peer: NodeId, kind: str, body: bytes) -> None:
        """Take what a neighbour says about records and parcels."""
        now = self._ground.now()
        if kind == MeshType.NODE_RECORDS:
            self._run(self._book.blobs(peer, decode_blobs(body), now))
        elif kind == MeshType.RECORD_REQUEST:
            self._run(self._book.requested(peer, decode_hashes(body), now))
        elif kind == MeshType.PARCEL:
            self._parcel(peer, body)
        else:
            said = relaying.decode_unreachable(body)
            crumb = self._forwarder.came_back(peer, said.parcel_hash, said.obstacle, now.mono)
            if crumb is not None:
                self._tell_back(crumb, said.parcel_hash, said.obstacle)
        self._arm()

    def _parcel(self, peer: NodeId, body: bytes) -> None:
        header, known = relaying.decode_header(body), relaying.parcel_hash(body)
        if self.drops_parcels and header.destination != self._own_id:
            return
        now = self._ground.now().mono
        match self._forwarder.received(peer, header, known, len(body), now):
            case Deliver():
                self._open(body[relaying.HEADER_BYTES :])
            case Forward(next_hop):
                self._hand(next_hop, known, relaying.handed_on(body))
            case Refuse(to, obstacle):
                said = relaying.encode_unreachable(Unreachable(known, obstacle))
                self._ground.tell(to, MeshType.UNREACHABLE, said)
            case Drop():
                pass

    def _open(self, parcel: bytes) -> None:
        try:
            opened = open_parcel(parcel, self._prekeys, self._identity)
        except RemoteProtocolError:
            return  # sealed to a prekey that is gone, or the copy of a liar
        now = self._ground.now().mono
        source = opened.source
        self._use(source, self._inbox.take(source, opened.content, now, is_fresh=opened.is_fresh))

    def _use(self, source: NodeId, taken: Taken) -> None:
        if taken.peer_reset is not None:
            writer = self._writers.get(source)
            if writer is not None and writer.reset(taken.peer_reset):
                self._leave(source)
                self.refresh(source)
        if taken.reset is not None:
            self._seal(source, taken.reset)
        if taken.messages:
            self._pause_s.pop(source, None)
            assert self.post is not None
            self.post.arrived(source, taken.messages)

    def _tell_back(self, crumb: Crumb, known: bytes, obstacle: Obstacle) -> None:
        if crumb.came_from == self._own_id:
            hop = self._last_hop.get(crumb.destination)
            if hop is not None and obstacle is not Obstacle.BUSY:
                self._avoid[crumb.destination] = hop
            self._start_over(crumb.destination, is_urgent=obstacle is Obstacle.LINK_LOST)
        else:
            said = relaying.encode_unreachable(Unreachable(known, obstacle))
            self._ground.tell(crumb.came_from, MeshType.UNREACHABLE, said)

    # --- Records and time -------------------------------------------------------------------------

    def _run(self, actions: Sequence[RecordAction]) -> None:
        for action in actions:
            match action:
                case Pull(peer, hashes):
                    self._ground.tell(peer, MeshType.RECORD_REQUEST, encode_hashes(hashes))
                case Answer(peer, blobs):
                    for body in share_out_blobs(blobs):
                        self._ground.tell(peer, MeshType.NODE_RECORDS, body)
                case Learned(node_id):
                    self.refresh(node_id)
                case _:
                    pass
        if actions:
            self._arm()

    def _arm(self) -> None:
        moments = (self._book.next_timer, self._inbox.next_timer)
        due = min((at for at in moments if at is not None), default=float("inf"))
        if due < self._armed:
            self._armed = due
            self._ground.later(due - self._ground.now().mono, lambda: self._fire(due))

    def _fire(self, due: float) -> None:
        if self._armed != due:
            return
        self._armed = float("inf")
        now = self._ground.now()
        for source, taken in self._inbox.timer(now.mono):
            self._use(source, taken)
        self._run(self._book.timer(now))
        self._arm()

"""Parcels on their way through a node: links that the test writes, and what it does with them."""

from __future__ import annotations

from collections.abc import Sequence

from ironmesh.mesh.breaker import CircuitBreakers
from ironmesh.mesh.fairness import RelayLimits, RelayQueues
from ironmesh.mesh.forwarding import Forwarder
from ironmesh.node.mesh.neighbours import mesh_message
from ironmesh.node.mesh.relay import AHEAD_PARCELS, MAX_BODY_BYTES, Parcel, Relay
from ironmesh.observe.counters import Counters
from ironmesh.types import Instant, MeshType, Message, MessagePriority, NodeId
from ironmesh.wire.native import relaying
from ironmesh.wire.native.relaying import Obstacle, Unreachable

OWN, ALICE, BOB, CAROL, DAVE, FAR = (NodeId(letter * 32) for letter in "0abcdf")


class FakeLink:
    """Takes messages; the test says when they are written."""

    def __init__(self, peer: NodeId) -> None:
        self.peer = peer
        self.is_usable = True
        self.queued: list[Message] = []

    def enqueue(self, messages: Sequence[Message]) -> None:
        self.queued += messages

    write = enqueue

    def of(self, kind: MeshType) -> list[bytes]:
        return [message.payload for message in self.queued if message.type == kind]


class StillClock:
    def __init__(self) -> None:
        self.mono = 100.0

    def now(self) -> Instant:
        return Instant(self.mono, 0.0)


class Bench:
    """A relay between alice, bob, carol and dave; the far node is behind carol, or dave."""

    def __init__(self, limits: RelayLimits | None = None) -> None:
        self.links = {peer: FakeLink(peer) for peer in (ALICE, BOB, CAROL, DAVE)}
        self.routes: dict[NodeId, tuple[NodeId, ...]] = {FAR: (CAROL, DAVE)}
        self.clock = StillClock()
        self.counters = Counters()
        self.arrived: list[tuple[NodeId, bytes]] = []
        self.came_back: list[tuple[NodeId, NodeId, Obstacle]] = []
        self.room = 0
        self.queues = RelayQueues[Parcel](limits)
        forwarder = Forwarder(
            OWN,
            next_hops=lambda destination: self.routes.get(destination, ()),
            has_room=self.queues.has_room,
            breakers=CircuitBreakers(),
        )
        self.relay = Relay(
            OWN,
            forwarder=forwarder,
            queues=self.queues,
            links=self.links,
            clock=self.clock,
            counters=self.counters,
            arrive=self.arrive,
            came_back=lambda *what: self.came_back.append(what),
            has_room=lambda: setattr(self, "room", self.room + 1),
        )
        for link in self.links.values():
            self.relay.link_up(link)
        self.number = 0

    def arrive(self, via: NodeId, parcel: bytes) -> bool:
        self.arrived.append((via, parcel))
        return len(self.arrived) <= 10

    def parcel(
        self, came_from: NodeId, to: NodeId = FAR, *, size: int = 300, left: int = 5
    ) -> Message:
        """Return a parcel that no other one is like."""
        self.number += 1
        sealed = self.number.to_bytes(8, "big").ljust(size, b".")
        body = relaying.encode_parcel(to, left, sealed)
        return mesh_message(came_from, OWN, MeshType.PARCEL, body, MessagePriority.NORMAL)

    def flood(self, came_from: NodeId, count: int, *, size: int = 300) -> list[Message]:
        parcels = [self.parcel(came_from, size=size) for _ in range(count)]
        self.relay.take(came_from, parcels)
        return parcels

    def write(self, hop: NodeId, count: int) -> list[bytes]:
        """Let a link write what it has, at most so many messages; return their bodies."""
        link = self.links[hop]
        written, link.queued = link.queued[:count], link.queued[count:]
        self.relay.written(hop, written)
        return [message.payload for message in written]

    def count(self, name: str) -> int:
        return self.counters.snapshot().get(name, 0)


def test_a_parcel_goes_to_the_next_hop_with_one_hop_less_and_is_not_touched() -> None:
    bench = Bench()
    (sent,) = bench.flood(ALICE, 1)
    (passed,) = bench.links[CAROL].of(MeshType.PARCEL)
    assert passed == relaying.handed_on(sent.payload)
    assert passed[17:] == sent.payload[17:]
    assert bench.count("mesh.parcels_relayed") == 1


def test_what_is_for_this_node_comes_without_its_header() -> None:
    bench = Bench()
    bench.relay.take(ALICE, [bench.parcel(ALICE, OWN, left=0)])
    assert [via for via, _ in bench.arrived] == [ALICE]
    assert len(bench.arrived[0][1]) == 300


def test_who_sends_more_to_this_node_than_it_opens_is_told_busy() -> None:
    bench = Bench()
    parcels = [bench.parcel(ALICE, OWN) for _ in range(11)]
    bench.relay.take(ALICE, parcels)
    (told,) = bench.links[ALICE].of(MeshType.UNREACHABLE)
    known = relaying.parcel_hash(parcels[-1].payload)
    assert relaying.decode_unreachable(told) == Unreachable(known, Obstacle.BUSY)


def test_a_flood_of_one_neighbour_leaves_another_its_share_of_the_link() -> None:
    bench = Bench()
    bench.flood(ALICE, 5000)
    wanted = {relaying.handed_on(parcel.payload) for parcel in bench.flood(BOB, 10)}
    ahead = bench.write(CAROL, AHEAD_PARCELS)
    assert not wanted & set(ahead)
    assert wanted <= set(bench.write(CAROL, AHEAD_PARCELS))


def test_a_neighbour_that_exceeds_its_room_is_told_busy_and_the_memory_is_bounded() -> None:
    limits = RelayLimits(neighbour_bytes=200_000, total_bytes=300_000)
    bench = Bench(limits)
    parcels = bench.flood(ALICE, 3000, size=1000)
    assert bench.queues.size_bytes <= limits.neighbour_bytes
    told = {relaying.decode_unreachable(b) for b in bench.links[ALICE].of(MeshType.UNREACHABLE)}
    assert Unreachable(relaying.parcel_hash(parcels[-1].payload), Obstacle.BUSY) in told
    assert len(told) == bench.count("mesh.refused.busy") > 2000
    bench.flood(BOB, 10, size=1000)
    assert bench.links[BOB].of(MeshType.UNREACHABLE) == []


def test_what_a_link_has_not_written_goes_another_way_when_it_ends() -> None:
    bench = Bench()
    parcels = bench.flood(ALICE, 400)
    written = bench.write(CAROL, 100)
    bench.routes[FAR] = (DAVE,)
    del bench.links[CAROL]
    bench.relay.link_down(CAROL)
    rest = {relaying.handed_on(parcel.payload) for parcel in parcels} - set(written)
    got = bench.links[DAVE].of(MeshType.PARCEL)
    assert set(got) <= rest
    assert len(got) == AHEAD_PARCELS
    assert set(bench.write(DAVE, 1000)) | set(bench.links[DAVE].of(MeshType.PARCEL)) == rest
    lost = [relaying.decode_unreachable(b) for b in bench.links[ALICE].of(MeshType.UNREACHABLE)]
    assert {said.obstacle for said in lost} == {Obstacle.LINK_LOST}
    assert {said.parcel_hash for said in lost} == {relaying.parcel_hash(b) for b in written}


def test_what_was_written_long_ago_is_not_called_lost() -> None:
    bench = Bench()
    bench.flood(ALICE, 10)
    bench.write(CAROL, 10)
    bench.clock.mono += 3.0
    bench.relay.link_down(CAROL)
    assert bench.links[ALICE].of(MeshType.UNREACHABLE) == []


def test_where_no_other_way_is_left_the_source_hears_of_it() -> None:
    bench = Bench()
    bench.flood(ALICE, 3)
    bench.routes.clear()
    bench.relay.link_down(CAROL)
    told = [relaying.decode_unreachable(b) for b in bench.links[ALICE].of(MeshType.UNREACHABLE)]
    assert [said.obstacle for said in told] == [Obstacle.NO_ROUTE] * 3


def test_unreachable_walks_back_one_hop_and_only_the_next_hop_is_believed() -> None:
    bench = Bench()
    (parcel,) = bench.flood(ALICE, 1)
    said = Unreachable(relaying.parcel_hash(parcel.payload), Obstacle.NO_ROUTE)
    bench.relay.take_unreachable(DAVE, relaying.encode_unreachable(said))
    assert bench.links[ALICE].of(MeshType.UNREACHABLE) == []
    assert bench.count("mesh.unreachable_unexpected") == 1
    bench.relay.take_unreachable(CAROL, relaying.encode_unreachable(said))
    assert bench.links[ALICE].of(MeshType.UNREACHABLE) == [relaying.encode_unreachable(said)]


def test_a_parcel_of_this_node_that_comes_back_is_told_here() -> None:
    bench = Bench()
    bench.relay.send(FAR, 5, b"sealed", MessagePriority.NORMAL, CAROL)
    (body,) = bench.links[CAROL].of(MeshType.PARCEL)
    bench.write(CAROL, 1)
    assert bench.room == 1
    said = Unreachable(relaying.parcel_hash(body), Obstacle.NO_ROUTE)
    bench.relay.take_unreachable(CAROL, relaying.encode_unreachable(said))
    assert bench.came_back == [(FAR, CAROL, Obstacle.NO_ROUTE)]


def test_a_parcel_that_is_malformed_or_too_large_is_counted_and_dropped() -> None:
    bench = Bench()
    short = mesh_message(ALICE, OWN, MeshType.PARCEL, bytes(17))
    bench.relay.take(ALICE, [short, bench.parcel(ALICE, size=MAX_BODY_BYTES)])
    assert (bench.count("refused.bad_body"), bench.count("refused.too_large")) == (1, 1)
    assert bench.links[CAROL].queued == []


def test_a_link_that_takes_over_gets_what_the_one_before_had_not_written() -> None:
    bench = Bench()
    parcels = bench.flood(ALICE, 5)
    bench.write(CAROL, 2)
    bench.links[CAROL] = FakeLink(CAROL)
    bench.relay.link_up(bench.links[CAROL])
    rest = [relaying.handed_on(parcel.payload) for parcel in parcels[2:]]
    assert bench.links[CAROL].of(MeshType.PARCEL) + bench.links[DAVE].of(MeshType.PARCEL) == rest

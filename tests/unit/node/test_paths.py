"""Paths: messages in, parcels out, by the neighbours and with the keys that the test gives."""

from __future__ import annotations

import asyncio
import os

import msgspec
import pytest
from tests.support.legacy import identity
from tests.support.nodes import eventually

from ironmesh.crypto.sodium import CryptoError
from ironmesh.node.clock import SystemClock
from ironmesh.node.mesh import paths as module
from ironmesh.node.mesh.paths import Paths, first_stream
from ironmesh.observe.counters import Counters
from ironmesh.types import Message, MessageId, MessagePriority, NodeId
from ironmesh.wire.native.relaying import Obstacle
from ironmesh.wire.receipts import Receipt, Verdict, encode, join_id, live_id

ALICE = identity("alice")
HOP, SPARE, FAR = (NodeId(letter * 32) for letter in "abf")


class World:
    """Everything around the paths of alice; nothing is sealed."""

    def __init__(self) -> None:
        self.hops = [HOP, SPARE]
        self.has_keys = True
        self.has_own_room = True
        self.sent: list[tuple[NodeId, NodeId, bytes]] = []
        self.written: list[Message] = []
        self.changes: list[NodeId] = []
        self.doubted: list[NodeId] = []
        self.paths = Paths(
            ALICE,
            guide=self,
            sender=self,
            stream=1000,
            clock=SystemClock(),
            random=os.urandom,
            counters=Counters(),
            written=self.written.extend,
            way_changed=self.changes.append,
            is_sending=lambda _: True,
            doubt=self.doubted.append,
        )

    def next_hop(self, destination, avoid):
        others = [hop for hop in self.hops if hop != avoid]
        return next(iter(others or self.hops), None)

    def hops_to(self, destination):
        return 2

    def keys(self, destination):
        return "keys" if self.has_keys else None

    def send(self, destination, hops_left, parcel, priority, next_hop):
        assert 3 <= hops_left <= 7
        self.sent.append((destination, next_hop, parcel))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(module, "seal_parcel", lambda _, keys, content, random: content)
    monkeypatch.setattr(module, "LOOK_AGAIN_S", 0.05)
    made = World()
    made.paths._guide = _Guide(made)
    return made


class _Guide:
    """The same answers under the names that paths ask by."""

    def __init__(self, world: World) -> None:
        self.next_hop, self.keys, self.hops = world.next_hop, world.keys, world.hops_to


def message(number: int, kind: str = "MSG", payload: bytes = b"hello") -> Message:
    message_id = join_id(b"e" * 8, number)
    return Message(message_id, kind, payload, ALICE.node_id, FAR, MessagePriority.NORMAL, 1)


def receipt() -> Message:
    payload = encode([Receipt(Verdict.ACCEPTED, (MessageId(join_id(b"e" * 8, 1)),))])
    return msgspec.structs.replace(message(1, "ACK", payload), id=live_id(1))


async def test_all_that_is_ready_goes_in_one_parcel_and_is_told(world: World) -> None:
    path = world.paths.find(FAR)
    path.enqueue([message(number) for number in range(1, 51)])
    await eventually(lambda: len(world.written) == 50)
    ((destination, hop, _),) = world.sent
    assert (destination, hop) == (FAR, HOP)


async def test_without_a_route_there_is_no_path(world: World) -> None:
    world.hops = []
    assert world.paths.find(FAR) is None


async def test_messages_wait_for_keys_that_come_without_anybody_telling(world: World) -> None:
    world.has_keys = False
    path = world.paths.find(FAR)
    path.enqueue([message(1)])
    await asyncio.sleep(0.15)
    assert (world.sent, len(path.queue)) == ([], 1)
    world.has_keys = True
    await eventually(lambda: len(world.sent) == 1)


async def test_receipts_alone_wait_for_what_goes_the_same_way(world: World) -> None:
    path = world.paths.find(FAR)
    path.enqueue([receipt()])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert world.sent == []
    path.enqueue([message(1)])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(world.sent) == 1
    path.enqueue([receipt()])
    await eventually(lambda: len(world.sent) == 2)


async def test_what_comes_back_starts_over_by_another_neighbour(world: World) -> None:
    path = world.paths.find(FAR)
    path.enqueue([message(1)])
    await eventually(lambda: world.sent)
    world.paths.came_back(FAR, HOP, Obstacle.NO_ROUTE)
    await eventually(lambda: world.changes == [FAR])
    again = world.paths.find(FAR)
    assert again is not path
    assert not path.is_usable
    again.enqueue([message(1)])
    await eventually(lambda: len(world.sent) == 2)
    assert world.sent[1][1] == SPARE


async def test_a_message_that_goes_again_casts_doubt_on_its_neighbour(world: World) -> None:
    path = world.paths.find(FAR)
    path.enqueue([message(1)])
    await eventually(lambda: world.sent)
    path.enqueue([message(1)])
    assert world.doubted == [HOP]
    await eventually(lambda: world.changes == [FAR])


async def test_receipts_go_another_way_when_a_source_repeats_itself(world: World) -> None:
    path = world.paths.find(FAR)
    path.enqueue([receipt()])
    await eventually(lambda: len(world.sent) == 1)
    world.paths.repeated(FAR)
    world.paths.repeated(FAR)
    path.enqueue([receipt()])
    await eventually(lambda: len(world.sent) == 2)
    assert [hop for _, hop, _ in world.sent] == [HOP, SPARE]


async def test_nothing_is_sealed_ahead_of_what_links_take(world: World) -> None:
    world.has_own_room = False
    path = world.paths.find(FAR)
    path.enqueue([message(1)])
    await asyncio.sleep(0.02)
    assert world.sent == []
    world.has_own_room = True
    world.paths.wake()
    await eventually(lambda: len(world.sent) == 1)


async def test_keys_that_cannot_be_used_end_the_path_until_something_is_known_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise CryptoError("no key", "")

    monkeypatch.setattr(module, "seal_parcel", fail)
    path = world.paths.find(FAR)
    path.enqueue([message(1)])
    await eventually(lambda: not path.is_usable)
    assert world.paths.find(FAR) is None
    world.paths.refresh(FAR)
    assert world.paths.find(FAR) is not None


async def test_receipts_that_pile_up_are_dropped(world: World) -> None:
    world.has_keys = False
    path = world.paths.find(FAR)
    path.enqueue([receipt() for _ in range(1024)])
    path.enqueue([receipt(), message(1)])
    assert len(path.queue) == 1025


def test_a_run_begins_with_a_larger_stream_than_the_run_before_can_have_reached() -> None:
    start = 1_795_600_000.0
    assert first_stream(start + 1.0) >= first_stream(start) + 16
    assert first_stream(0.0) == 1, "a clock that was never set"

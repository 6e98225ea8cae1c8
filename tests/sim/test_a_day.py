"""A day of three nodes that talk, sleep, lose their links, and get other clocks and addresses."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from tests.support.announcements import Announcements
from tests.support.legacy import seeded
from tests.support.nodes import PASSPHRASE
from tests.support.virtual import Lan, Machine, VirtualLoop

from ironmesh.config import MINIMAL_KDF, NodeConfig, PeerAddress
from ironmesh.delivery.records import OutboxState, PruneHistory
from ironmesh.node import outgoing
from ironmesh.node.events import MessageReceived, MessageSettled, NodeEvent, PeerRefused
from ironmesh.node.first_start import make_here
from ironmesh.node.node import Node
from ironmesh.session.native.keys import Profile
from ironmesh.store.memory import MemoryStore
from ironmesh.types import Endpoint, Refusal

HOUR_S = 3600.0
NAMES = ("alice", "bob", "carol")
EVERY_S = 120.0
"""Each node sends a message to each other one so often, and now and then many at once."""
EVER = 1e12
"""Later than every moment of the day."""
BLOCKS = 5_000
"""How many more pieces of memory may be in use after the last hour than after the second one: half
a piece for each message would be as many."""
REKEYED, RESUMED = 100, 30
"""How many key changes each node has seen at least, and how often they resumed, all together."""


def no_times() -> dict[str, bytearray]:
    return {name: bytearray() for name in NAMES}


@dataclass(eq=False)
class Resident:
    """A node, its machine, and what became of its messages."""

    name: str
    machine: Machine
    node: Node
    store: MemoryStore
    announced: Announcements
    sent: Counter[str] = field(default_factory=Counter)
    """How many messages to each other node."""
    settled: Counter[OutboxState] = field(default_factory=Counter)
    seen: dict[str, bytearray] = field(default_factory=no_times)
    """How often each message of each other node arrived."""
    refused: Counter[Refusal] = field(default_factory=Counter)

    def take(self, event: NodeEvent) -> None:
        """Take note of an event."""
        if isinstance(event, MessageSettled):
            self.settled[OutboxState(event.state)] += len(event.ids)
        elif isinstance(event, PeerRefused):
            self.refused[event.reason] += 1

    async def receive(self, event: MessageReceived) -> None:
        """Be the message handler."""
        name, number = event.message.payload.decode().split()
        seen = self.seen[name]
        seen.extend(bytes(max(0, int(number) + 1 - len(seen))))
        seen[int(number)] += 1

    async def talk(self, chance: random.Random) -> None:
        """Send to every other node, for as long as the day lasts."""
        while True:
            await asyncio.sleep(EVERY_S * (0.5 + chance.random()))
            for name in NAMES:
                if name != self.name:
                    for _ in range(20 if chance.random() < 0.01 else 1):
                        await self._send(name)

    async def _send(self, name: str) -> None:
        number = self.sent[name]
        self.sent[name] += 1
        await self.node.send(name, f"{self.name} {number}".encode())


class Day:
    """All of them, and the hours."""

    def __init__(self, residents: dict[str, Resident], lan: Lan) -> None:
        self.of = residents
        self.lan = lan

    async def until(self, hour: float) -> None:
        """Let time pass."""
        await asyncio.sleep(hour * HOUR_S - asyncio.get_running_loop().time())

    def announce(self, who: Resident) -> None:
        """Tell all others where a node is."""
        for other in self.of.values():
            if other is not who:
                announced = partial(other.announced.announce, who.name, who.machine.address)
                other.machine.call(announced)

    def cut_all(self) -> None:
        """Break every session."""
        for one in self.of.values():
            one.machine.cut()

    async def settle(self) -> None:
        """Wait until all nodes are online with each other, and no message is under way."""
        pairs = [(a, b) for a in self.of.values() for b in self.of.values() if a is not b]
        while any(
            a.node.outgoing.count(b.node.node_id) or not a.node.links.is_online(b.node.node_id)
            for a, b in pairs
        ):
            await asyncio.sleep(1.0)

    async def blocks(self) -> int:
        """Return how many pieces of memory are in use, apart from what is on disk."""
        await self.settle()
        for one in self.of.values():
            await one.store.commit([PruneHistory(EVER)])
        gc.collect()
        return sys.getallocatedblocks()


def resident(lan: Lan, folder: Path, number: int, peers: list[Resident]) -> Resident:
    """Make a node that is not started yet."""
    name = NAMES[number]
    machine = Machine(lan, Endpoint(f"192.0.2.{number}", 8765))
    config = NodeConfig(
        name=name,
        passphrase=PASSPHRASE,
        home=folder / "home",
        kdf=MINIMAL_KDF,
        open_discovery=True,
        peers=tuple(PeerAddress(*peer.machine.address) for peer in peers),
    )
    store, announced = MemoryStore(), Announcements()
    node = Node(
        config,
        clock=machine,
        random=seeded(name),
        transport=machine,
        discovery=announced,
        store=store,
        make=make_here,
    )
    return Resident(name, machine, node, store, announced)


@asynccontextmanager
async def a_day(folder: Path) -> AsyncIterator[Day]:
    """Three nodes, online with each other, that talk until the end."""
    loop, lan = asyncio.get_running_loop(), Lan()
    assert isinstance(loop, VirtualLoop)
    residents: dict[str, Resident] = {}
    for number, name in enumerate(NAMES):
        one = residents[name] = resident(lan, folder, number, list(residents.values()))
        one.node.subscribe(one.take)
        one.node.on_message(one.receive)
        with loop.held():
            await one.machine.run(one.node.start())
    day = Day(residents, lan)
    await day.settle()
    talks = [one.machine.run(one.talk(random.Random(name))) for name, one in residents.items()]
    try:
        yield day
    finally:
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await asyncio.gather(*(one.machine.run(one.node.stop()) for one in residents.values()))


async def the_hours(day: Day) -> None:
    """What happens to the machines, from the second hour to the last one."""
    alice, bob, carol = (day.of[name] for name in NAMES)
    for hour in (3, 4):
        await day.until(hour)
        day.cut_all()
    await day.until(5)
    bob.machine.sleep()
    await day.until(7)
    bob.machine.wake(has_counted=False)
    await day.until(8)
    carol.machine.sleep()
    await day.until(11)
    carol.machine.wake(has_counted=True)
    for hour, one, days in ((12, alice, 1), (13, bob, -0.25), (14, alice, -2), (15, bob, 9)):
        await day.until(hour)
        one.machine.wall_ahead_s += days * 24 * HOUR_S
        await day.until(hour + 0.5)
        one.machine.cut()
    await day.until(16)
    day.lan.readdress({bob.machine: Endpoint("198.51.100.2", 8765)})
    day.announce(bob)
    await day.until(17)
    there, here = bob.machine.address, carol.machine.address
    day.lan.readdress({bob.machine: here, carol.machine: there})
    day.announce(carol)
    await day.until(18)
    alice.machine.sleep()
    bob.machine.sleep()
    await day.until(19)
    alice.machine.wake(has_counted=True)
    await day.until(20)
    bob.machine.wake(has_counted=False)
    for quarter in range(81, 96):
        await day.until(quarter / 4)
        day.cut_all()
    await day.until(24)


def nothing_was_lost_and_nothing_came_twice(day: Day) -> None:
    """Of every message: that it arrived once, and that its sender knows."""
    for one in day.of.values():
        assert one.settled == {OutboxState.DELIVERED: sum(one.sent.values())}
        for name, count in one.sent.items():
            assert bytes(day.of[name].seen[one.name]) == bytes([1]) * count, f"{one.name} to {name}"


def audited(one: Resident, event: str) -> int:
    """Return how often something stands in the audit log of a node."""
    with one.node.config.audit_file.open() as log:
        return sum(f'"{event}"' in line for line in log)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_in_a_day_of_cuts_sleeps_clocks_and_addresses_nothing_is_lost_or_comes_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "REMEMBERED_ENDS", 100)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # no machine loses its power

    async def live() -> None:
        async with a_day(tmp_path) as day:
            await day.until(2)
            before = await day.blocks()
            await the_hours(day)
            assert await day.blocks() - before < BLOCKS
            nothing_was_lost_and_nothing_came_twice(day)
            for one in day.of.values():
                assert audited(one, "SESSION_REKEYED") > REKEYED
                assert one.node.counters["internal_errors"] == 0
            machines = [one.machine for one in day.of.values()]
            assert sum(machine.dials[Profile.RESUME] for machine in machines) > RESUMED
            assert day.of["alice"].refused[Refusal.UNEXPECTED_IDENTITY]

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(live())

"""A node under attack, while it talks with an honest peer."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.attacker import PLAIN
from tests.support.nodes import LEGACY, Live, Nodes, eventually

from ironmesh.node.events import PeerOnline


class Siege:
    """Bob under attack, and alice who talks with him meanwhile."""

    def __init__(self, alice: Live, bob: Live) -> None:
        self.alice = alice
        self.bob = bob
        self.sent = 0
        self.is_over = False

    async def talk(self) -> None:
        """Send until it is over."""
        while not self.is_over:
            await self.alice.node.send("bob", b"%d" % self.sent)
            self.sent += 1
            await asyncio.sleep(0.01)

    @property
    def half_open(self) -> int:
        return self.bob.node._traffic().gate.half_open

    @property
    def talked(self) -> list[str]:
        return [
            event.message.payload.decode()
            for event in self.bob.received
            if event.message.source == self.alice.known_id
        ]


@asynccontextmanager
async def besieged(nodes: Nodes) -> AsyncIterator[Siege]:
    """Alice talks with bob all the time; at the end nothing of it may lack, or have been cut."""
    alice = await nodes.start("alice", **PLAIN)
    bob = await nodes.start("bob", **PLAIN, **LEGACY)
    await alice.dial(bob)
    under_attack = Siege(alice, bob)
    talk = asyncio.create_task(under_attack.talk())
    await eventually(lambda: bool(under_attack.talked))
    before = len(under_attack.talked)
    try:
        yield under_attack
        await eventually(lambda: len(under_attack.talked) > before + 3, "alice is served")
    finally:
        under_attack.is_over = True
        await talk
    await eventually(lambda: len(under_attack.talked) >= under_attack.sent, "the honest talk")
    assert under_attack.talked == [str(number) for number in range(under_attack.sent)]
    assert [event for event in bob.flaps() if event.node_id == alice.id] == [
        bob.seen.of(PeerOnline)[0]
    ]
    await eventually(lambda: under_attack.half_open == 0, "nobody half open")


def grown() -> int:
    """Return how many traced bytes are in use."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]

"""A15: ten thousand connections that say nothing, while honest peers come and go."""

from __future__ import annotations

import asyncio
import resource
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.support import half_open
from tests.support.attacker import PLAIN, dialling, party
from tests.support.nodes import Live, Nodes, eventually
from tests.support.outer import OUTER
from websockets.exceptions import WebSocketException

from ironmesh.node.door import HandshakePlaces
from ironmesh.node.events import NodeEvent, PeerOffline, PeerOnline, PeerRefused

pytestmark = [
    pytest.mark.usefixtures("outer"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
]

WANTED = 10_000
PLACES = 256
MIB = 1024 * 1024
GROWTH_BYTES = {"ws": 32 * MIB, "wss": 128 * MIB}
"""How much more memory may be taken while they come. For TLS asyncio has a buffer of 256 KiB for
each connection: 64 MiB for 256 of them."""
NEWCOMER = "127.9.9.9"


@pytest.fixture
def most(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Keep how many handshakes of strangers were unfinished at most."""
    kept = [0]
    enter = HandshakePlaces.enter

    def watched(self, source, hall):
        refusal = enter(self, source, hall)
        kept[0] = max(kept[0], self._totals[hall])
        return refusal

    monkeypatch.setattr(HandshakePlaces, "enter", watched)
    return kept


def rss_bytes() -> int:
    """Return how much memory this process takes: here run the node, its peer, and the test."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@asynccontextmanager
async def flood(bob: Live) -> AsyncIterator[asyncio.subprocess.Process]:
    """Let another process open them; it holds them to the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        half_open.__file__,
        *map(str, bob.endpoint),
        str(WANTED),
        str(PLACES),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def join_as_newcomer(bob: Live) -> None:
    """Come in as a node that nobody knows, from its own address, however often it takes."""
    own = party("newcomer")
    while True:
        try:
            async with dialling(bob, NEWCOMER) as peer:
                await peer.join(own)
                await bob.seen.wait(PeerOnline, lambda event: event.name == "newcomer")
                return
        except (OSError, WebSocketException, TimeoutError):
            await asyncio.sleep(0.3)


async def test_a15_ten_thousand_half_open_connections_leave_room_for_honest_peers(
    nodes: Nodes, most: list[int]
) -> None:
    alice = await nodes.start("alice", **PLAIN)
    bob = await nodes.start("bob", **PLAIN)
    bob.seen.take = forgetful(bob.seen.take)  # type: ignore[method-assign]
    link = await alice.dial(bob)
    sent = 0
    before = peak = rss_bytes()
    async with flood(bob) as process:
        assert process.stdout is not None
        told = asyncio.create_task(process.stdout.readline())
        await eventually(lambda: most[0] == PLACES, "all places are taken")
        newcomer = asyncio.create_task(join_as_newcomer(bob))
        link.close_soon("to come again meanwhile")
        await alice.offline(bob.id)
        await alice.online(bob)
        while not (told.done() and newcomer.done()):
            await alice.node.send("bob", b"%d" % sent)
            sent += 1
            peak = max(peak, rss_bytes())
            await asyncio.sleep(0.05)
        opened = int(told.result())
        counters = bob.node.counters

        def refused() -> int:
            return sum(counters[f"refused.{why}"] for why in ("busy", "timeout", "not_websocket"))

        await eventually(lambda: refused() >= opened - PLACES, "all others are refused")
        peak = max(peak, rss_bytes())
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert opened == min(WANTED, files - half_open.OTHER_FILES)
    assert most[0] == PLACES
    assert peak - before < GROWTH_BYTES[OUTER.scheme]
    assert await bob.has_received(sent) == [str(number) for number in range(sent)]
    assert [event.node_id for event in bob.seen.of(PeerOffline)].count(alice.id) == 1
    await eventually(lambda: bob.node._traffic().gate.half_open == 0, "nobody half open")


def forgetful(take):
    """Keep no refusals: there are thousands, and memory is measured."""

    def keep(event: NodeEvent) -> None:
        if not isinstance(event, PeerRefused):
            take(event)

    return keep

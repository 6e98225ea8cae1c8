"""Both ends dial at the same time, again and again, and talk meanwhile."""

from __future__ import annotations

import asyncio
import random

from tests.support.nodes import Live, eventually

from ironmesh.errors import ConnectError, HandshakeError
from ironmesh.node.entrance import Dialled
from ironmesh.node.events import PeerOffline, PeerOnline
from ironmesh.node.ports import SUBPROTOCOLS

MESSAGES = 4


async def dial_at_once(
    alice: Live, bob: Live, *, rounds: int, seed: int, dials: tuple[int, int] = (1, 1)
) -> None:
    """Let both dial at nearly the same time; each round ends with no session at all.

    `dials` says how often each of them does. In each round: exactly one session at each end, no
    coming and going, and every message that was sent meanwhile arrives exactly once.
    """
    chance = random.Random(seed)
    for number in range(rounds):
        for live in (alice, bob):
            live.seen.events.clear()
            live.received.clear()
        await asyncio.gather(
            *(_dial(alice, bob, chance) for _ in range(dials[0])),
            *(_dial(bob, alice, chance) for _ in range(dials[1])),
            _talk(alice, bob, number, chance),
            _talk(bob, alice, number, chance),
        )
        wanted = [f"{number}/{count}" for count in range(MESSAGES)]
        for live, other in ((alice, bob), (bob, alice)):
            await live.has_received(MESSAGES)
            assert sorted(live.texts) == wanted, f"{live.name}, round {number}"
            await eventually(lambda live=live: len(list(live.node.links.all())) == 1, "one link")
            assert live.link(other) is not None
            assert [type(event) for event in live.flaps()] == [PeerOnline]
        assert alice.link(bob).is_outgoing is not bob.link(alice).is_outgoing, "the same session"
        alice.link(bob).close_soon("the round is over")
        for live in (alice, bob):
            await live.seen.wait(PeerOffline)
            await eventually(lambda live=live: not list(live.node.links.all()), "no link")


async def _dial(live: Live, other: Live, chance: random.Random) -> None:
    await _dawdle(chance)
    parts = live.node._running()
    try:
        connection = await parts.transport.dial(
            other.endpoint, use_tls=other.node.is_tls, subprotocols=SUBPROTOCOLS
        )
        await _dawdle(chance)
        await live.node._traffic().sessions.open(connection, Dialled())
    except (ConnectError, HandshakeError) as error:
        raise AssertionError(f"{live.name} was refused: {error}") from error


async def _talk(live: Live, other: Live, number: int, chance: random.Random) -> None:
    for count in range(MESSAGES):
        await live.node.send(other.id, f"{number}/{count}".encode())
        await _dawdle(chance)


async def _dawdle(chance: random.Random) -> None:
    for _ in range(chance.randrange(8)):
        await asyncio.sleep(0)

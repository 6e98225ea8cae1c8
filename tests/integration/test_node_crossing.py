"""Both ends dial at once over TLS: one session stays, and nothing is lost."""

from __future__ import annotations

from tests.support.crossing import dial_at_once
from tests.support.nodes import Nodes


async def test_of_two_crossing_sessions_one_stays(nodes: Nodes) -> None:
    alice = await nodes.start("alice")
    bob = await nodes.start("bob")
    await dial_at_once(alice, bob, rounds=50, seed=4)

"""Both ends dial at once: one session stays, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.crossing import dial_at_once
from tests.support.nodes import MemoryTransport, Nodes

Place = Callable[[], MemoryTransport]


@pytest.mark.parametrize("seed", [1, 2])
async def test_of_two_crossing_sessions_one_stays(nodes: Nodes, place: Place, seed: int) -> None:
    alice = await nodes.start("alice", transport=place())
    bob = await nodes.start("bob", transport=place())
    await dial_at_once(alice, bob, rounds=50, seed=seed)


@pytest.mark.parametrize("dials", [(2, 0), (0, 2), (3, 0), (2, 1), (1, 2), (3, 3)])
async def test_of_many_sessions_one_stays(
    nodes: Nodes, place: Place, dials: tuple[int, int]
) -> None:
    alice = await nodes.start("alice", transport=place())
    bob = await nodes.start("bob", transport=place())
    await dial_at_once(alice, bob, rounds=25, seed=7, dials=dials)

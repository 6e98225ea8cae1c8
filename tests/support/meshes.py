"""Several nodes in a test's own process, and waiting until they know each other."""

from __future__ import annotations

import string
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from tests.support.nodes import Live, Nodes, eventually


async def line(nodes: Nodes, count: int, **settings: Any) -> list[Live]:
    """Start `node-a`, `node-b`, ..., each with a session with the one before."""
    letters = string.ascii_lowercase[:count]
    made = [await nodes.start(f"node-{letter}", **settings) for letter in letters]
    for one, other in pairwise(made):
        await one.dial(other)
    return made


async def knows(one: Live, other: Live) -> None:
    """Wait until a node knows a route to another one, and its name."""

    def does() -> bool:
        mesh = one.node.mesh
        return (
            mesh is not None
            and mesh.native_hops(other.id) is not None
            and other.id in mesh.claimants(other.name)
        )

    await eventually(does, f"{one.name} to know {other.name}")


async def knows_all(made: Sequence[Live]) -> None:
    """Wait until each node knows each other one."""
    for one in made:
        for other in made:
            if one is not other:
                await knows(one, other)

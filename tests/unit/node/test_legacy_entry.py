"""The part that deals with published meshes is made once somebody says that it is a bridge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.support.nodes import Nodes, eventually

from ironmesh.mesh.legacy import behind
from ironmesh.node.mesh.legacy_entry import LegacyEntry
from ironmesh.types import NodeId

BRIDGE = NodeId("b" * 32)
SAYS_BRIDGE = (behind.token(bytes(32), "carol"),)


class Side:
    """What is made."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def start(self) -> None:
        self.heard.append("start")

    def use_routes(self, _routes: Any) -> None:
        self.heard.append("routes")


class Routes:
    """What nodes say of themselves."""

    def __init__(self) -> None:
        self.said: dict[NodeId, tuple[str, ...]] = {}
        self._callbacks: list[Callable[[NodeId], None]] = []

    def native_capabilities(self, node_id: NodeId) -> tuple[str, ...]:
        return self.said.get(node_id, ())

    def on_routes_changed(self, callback: Callable[[NodeId], None]) -> None:
        self._callbacks.append(callback)

    def say(self, node_id: NodeId, *capabilities: str) -> None:
        self.said[node_id] = capabilities
        for callback in self._callbacks:
            callback(node_id)


def entry() -> tuple[LegacyEntry, list[Side]]:
    made: list[Side] = []

    def make() -> Any:
        made.append(Side())
        return made[-1]

    return LegacyEntry(make), made


def test_it_is_made_once_for_the_first_bridge_among_neighbours() -> None:
    legacy, made = entry()
    legacy.start()
    legacy.learned(("tool:search", "llm"))
    legacy.learned(())
    assert not made
    legacy.learned(("tool:search", *SAYS_BRIDGE))
    legacy.learned(SAYS_BRIDGE)
    assert [side.heard for side in made] == [["start"]]


def test_it_is_made_once_for_the_first_bridge_farther_away() -> None:
    (legacy, made), routes = entry(), Routes()
    legacy.use_routes(routes)  # type: ignore[arg-type]
    routes.say(NodeId("a" * 32), "tool:search")
    assert not made
    routes.say(BRIDGE, *SAYS_BRIDGE)
    routes.say(BRIDGE, *SAYS_BRIDGE)
    assert [side.heard for side in made] == [["routes"]]
    legacy.start()
    assert made[0].heard == ["routes", "start"]


def _is_looking() -> bool:
    return any(task.get_name() == "bridges" for task in asyncio.all_tasks())


async def test_nodes_without_a_bridge_do_not_look_for_one(nodes: Nodes) -> None:
    alice, bob = await nodes.pair()
    await bob.node.send("alice", b"hello")
    assert await alice.has_received(1) == ["hello"]
    assert not _is_looking()
    await alice.node.advertise(SAYS_BRIDGE[0])
    await eventually(_is_looking)

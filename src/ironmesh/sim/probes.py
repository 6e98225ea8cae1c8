"""Messages that are sent once, hop by hop, to see how many arrive at the first try."""

from __future__ import annotations

from typing import Final

from ironmesh.sim.routing import RouterMesh, RouterNode, Session
from ironmesh.types import NodeId

PROBE_BYTES: Final = 300
MAX_HOPS: Final = 128


class Probes:
    """Probes between random pairs of live, connected nodes.

    Args:
        mesh: through which they go.
    """

    def __init__(self, mesh: RouterMesh) -> None:
        self._mesh = mesh
        self._random = mesh.engine.random
        self._sent = 0
        self._arrived = 0

    @property
    def share(self) -> float:
        """Arrived of sent, 0 to 1."""
        return self._arrived / self._sent if self._sent else 1.0

    def spread(self, count: int, seconds: float) -> None:
        """Send some from now on, spread over a time."""
        dead = frozenset(node.number for node in self._mesh.nodes if not node.is_alive)
        parts = self._mesh.topology.components(dead)
        part = sorted(parts[0])
        for _ in range(count if len(part) > 1 else 0):
            source, target = self._random.sample(part, 2)
            nodes = self._mesh.nodes
            delay_s = seconds * self._random.random()
            self._mesh.engine.after(delay_s, self._send, nodes[source], nodes[target].id)

    def _send(self, source: RouterNode, target: NodeId) -> None:
        self._sent += 1
        self._hand_on(source, target, None, MAX_HOPS)

    def _hand_on(
        self, node: RouterNode, target: NodeId, came_from: NodeId | None, hops_left: int
    ) -> None:
        ways = [each for each in node.router.next_hops(target) if each != came_from]
        if not ways or not hops_left:
            return
        session = node.sessions[ways[0]]
        pipe = session.pipes[0 if node.number == session.nodes[0] else 1]
        at = pipe.arrival(PROBE_BYTES, self._mesh.engine.now)
        if at is not None:
            args = (session, node, target, hops_left - 1)
            self._mesh.engine.at(at, self._arrive, *args)

    def _arrive(self, session: Session, sender: RouterNode, target: NodeId, hops_left: int) -> None:
        node = self._mesh.nodes[session.other(sender.number)]
        if not session.is_whole or not node.is_alive:
            return
        if node.id == target:
            self._arrived += 1
        else:
            self._hand_on(node, target, sender.id, hops_left)

"""What must hold at every instant of a mesh of routers, and what must hold once it is at rest."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from heapq import heappop, heappush

from ironmesh.errors import IronMeshError
from ironmesh.sim.routing import RouterMesh, RouterNode
from ironmesh.types import NodeId


class InvariantBrokenError(IronMeshError):
    """A simulated mesh did what no mesh may do."""

    code = "invariant"


class LoopWatch:
    """Looks for circles in the next hops after every input of a router.

    Args:
        mesh: watched from now on.
        destinations: those that are looked at; all, if there are none.
        liars: nodes that hand nothing on, whatever they say.
    """

    def __init__(
        self,
        mesh: RouterMesh,
        destinations: Collection[NodeId] = (),
        liars: Collection[int] = (),
    ) -> None:
        self._mesh = mesh
        self._liars = frozenset(liars)
        self._destinations = tuple(destinations)
        self._before: dict[int, dict[NodeId, tuple[NodeId, ...]]] = {}
        self.checks = 0
        mesh.watches.append(self.look)

    def look(self, node: RouterNode) -> None:
        """Follow the ways of a node that changed since the last time.

        Raises:
            InvariantBrokenError: one leads back to it.
        """
        if node.number in self._liars:
            return
        router = node.router
        if self._destinations:
            ways = {each: router.next_hops(each) for each in self._destinations}
        else:
            ways = router.ways()
        before = self._before.get(node.number, {})
        if ways == before:
            return
        self._before[node.number] = ways
        for destination, hops in ways.items():
            old = before.get(destination)
            if hops is not old and hops and hops != old:
                self._follow(node, destination)

    def _follow(self, start: RouterNode, destination: NodeId) -> None:
        """Walk all ways that a message could take from a node: none may come back to it."""
        self.checks += 1
        seen = {destination}
        todo = [start]
        while todo:
            node = todo.pop()
            for peer in usable_hops(self._mesh, node, destination):
                if peer is start:
                    raise InvariantBrokenError(
                        f"at {self._mesh.engine.now:.3f} s node {start.number} has a way to "
                        f"{self._mesh.by_id[destination].number} that leads back to itself"
                    )
                if peer.id not in seen:
                    seen.add(peer.id)
                    if peer.number not in self._liars:
                        todo.append(peer)


def usable_hops(mesh: RouterMesh, node: RouterNode, destination: NodeId) -> list[RouterNode]:
    """Return the next hops over which a message of this moment would arrive."""
    hops = node.router.next_hops(destination)
    return [mesh.by_id[peer] for peer in hops if is_usable(mesh, node, peer)]


def is_usable(mesh: RouterMesh, node: RouterNode, peer: NodeId) -> bool:
    """Tell whether a node and its neighbour have one whole session, and both know it."""
    session = node.sessions.get(peer)
    if session is None or not session.is_whole:
        return False
    return mesh.by_id[peer].sessions.get(node.id) is session


def unrouted_pairs(mesh: RouterMesh) -> int:
    """Return how many pairs of connected live nodes have no way that arrives."""
    return sum(_unrouted(mesh))


def is_routed(mesh: RouterMesh) -> bool:
    """Tell whether every pair of connected live nodes has a way that arrives."""
    return not any(_unrouted(mesh))


def _unrouted(mesh: RouterMesh) -> Iterator[int]:
    """Yield for each live node how many that are connected to it have no way to it."""
    dead = frozenset(node.number for node in mesh.nodes if not node.is_alive)
    for part in mesh.topology.components(dead):
        for number in part:
            yield len(part) - len(_reaching(mesh, mesh.nodes[number], part))


def _reaching(mesh: RouterMesh, destination: RouterNode, part: Collection[int]) -> set[int]:
    """Return the nodes whose chosen ways lead to a destination."""
    arrives = {destination.number}
    strays: set[int] = set()
    for start in part:
        path: list[int] = []
        node = start
        while node not in arrives and node not in strays and node not in path:
            path.append(node)
            here = mesh.nodes[node]
            chosen = here.router.next_hops(destination.id)[:1]
            if not chosen or not is_usable(mesh, here, chosen[0]):
                break
            node = mesh.by_id[chosen[0]].number
        (arrives if node in arrives else strays).update(path)
    return arrives


def shortest(mesh: RouterMesh, destination: int) -> dict[int, int]:
    """Return the least metric to a node from every live node that is connected to it."""
    near: dict[int, list[tuple[int, int]]] = {node.number: [] for node in mesh.nodes}
    for (a, b), cost in mesh.costs.items():
        if mesh.nodes[a].is_alive and mesh.nodes[b].is_alive and mesh.session(a, b) is not None:
            near[a].append((b, cost))
            near[b].append((a, cost))
    found: dict[int, int] = {}
    todo = [(0, destination)]
    while todo:
        far, node = heappop(todo)
        if node not in found:
            found[node] = far
            for other, cost in near[node]:
                heappush(todo, (far + cost, other))
    return found


def check_at_rest(mesh: RouterMesh) -> None:
    """See that every live node has the shortest ways, and none where there is none.

    Raises:
        InvariantBrokenError: it has not.
    """
    for destination in mesh.nodes:
        if not destination.is_alive:
            continue
        metrics = shortest(mesh, destination.number)
        for node in mesh.nodes:
            if node is destination or not node.is_alive:
                continue
            view = node.router.route(destination.id)
            metric = view.metric if view is not None else None
            if metric != metrics.get(node.number):
                raise InvariantBrokenError(
                    f"node {node.number} reaches {destination.number} at {metric}, "
                    f"not at {metrics.get(node.number)}"
                )

"""A bad day of a whole mesh: nodes die at any step, links go, some nodes lie; and then it is over.

While it lasts there is never a circle, never a body or a source on a relay, and nothing is
delivered twice. Once it is over, every accepted message arrives, in order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from ironmesh.mesh.routing.values import RouterLimits
from ironmesh.sim.engine import Engine
from ironmesh.sim.invariants import InvariantBrokenError, LoopWatch, is_routed
from ironmesh.sim.links import LinkQuality
from ironmesh.sim.routing import RouterNode, Value
from ironmesh.sim.stack.diary import check_all_arrived
from ironmesh.sim.stack.mesh import StackMesh
from ironmesh.sim.topology import make
from ironmesh.types import PRIORITIES, NodeId
from ironmesh.wire.native.routes import RouteEntry, Routes

SHAPES: Final = ("geometric", "geometric", "grid", "islands", "ring", "scale-free")
START_S: Final = 4.0
EVENT_S: Final = 0.15
CALM_S: Final = 1200.0
"""How long a mesh in which nothing fails any more may take to deliver everything."""
STEP_S: Final = 5.0
BUDGET_BYTES_PER_S: Final = 200_000
"""What a node sends on average, at most, however bad the day is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chaos:
    """How bad the day is."""

    seed: int
    nodes: int = 50
    lasts_s: float = 8.0
    messages: int = 60
    death: float = 0.0005
    """Of a node, at each of its steps: also between any two parts of a commit."""
    liars: int = 2


class Outcome(msgspec.Struct, frozen=True):
    """What came of it."""

    accepted: int
    redelivered: int
    deaths: int
    parcels: int
    loop_checks: int
    calm_s: float
    """Until everything had arrived, once nothing failed any more."""
    busiest_bytes_per_s: float


class Day:
    """One run of chaos."""

    def __init__(self, chaos: Chaos) -> None:
        self._chaos = chaos
        self.engine = engine = Engine(chaos.seed)
        random = engine.random
        topology = make(random.choice(SHAPES), chaos.nodes, random, random.choice([3.0, 5.0]))
        quality = LinkQuality(loss=random.choice([0.0, 0.02]), rate=random.choice([0.0, 1e6]))
        limits = RouterLimits(digest_interval_s=20.0, small_delay_s=(2.0, 6.0))
        self.mesh = StackMesh(engine, topology, quality=quality, slowest_s=0.02, limits=limits)
        self._liars = random.sample(range(chaos.nodes), chaos.liars)
        self._watch = LoopWatch(self.mesh, liars=self._liars)
        self._sent = 0

    def run(self) -> Outcome:
        """Let the day pass.

        Raises:
            InvariantBrokenError: something happened that must not.
        """
        self.mesh.start()
        self.engine.run_until(START_S)
        for stack in self.mesh.stacks:
            stack.death = self._chaos.death
        for number in self._liars:
            self.mesh.tampers[number] = _nearer
            self.mesh.stacks[number].carrier.drops_parcels = True
        self.mesh.replays = 0.3
        while self.engine.now < START_S + self._chaos.lasts_s:
            self.engine.run_until(self.engine.now + EVENT_S * 2 * self.engine.random.random())
            self._something_happens()
        calm_s = self._calm_down()
        return self._outcome(calm_s)

    def _something_happens(self) -> None:
        random, mesh = self.engine.random, self.mesh
        number = random.randrange(len(mesh.nodes))
        edge = random.choice(mesh.topology.edges)
        dead = [node.number for node in mesh.nodes if not node.is_alive]
        happens: list[Callable[[], None]] = [
            lambda: mesh.crash(number),
            lambda: mesh.disconnect(*edge),
            lambda: self._sleep(number),
            lambda: mesh.set_cost(*edge, random.randint(16, 400)),
        ]
        random.choice(happens)()
        for each in dead:
            if random.random() < 0.2:
                mesh.restart(each, remembers=random.random() < 0.7)
        for a, b in random.sample(mesh.topology.edges, min(6, len(mesh.topology.edges))):
            mesh.connect(a, b)
        due = self._chaos.messages * (self.engine.now - START_S) / self._chaos.lasts_s
        while self._sent < due:
            self._send()

    def _sleep(self, number: int) -> None:
        """A machine goes to sleep: its sessions end, it stays as it is."""
        for session in list(self.mesh.nodes[number].sessions.values()):
            self.mesh.disconnect(*session.nodes)

    def _send(self) -> None:
        """Few pairs talk, so that messages follow each other."""
        random = self.engine.random
        count = len(self.mesh.nodes)
        source = self._sent * 7 % min(10, count - 5)
        target = count - 1 - self._sent % 5
        text = f"{source} to {target}: {self._sent}"
        self._sent += 1
        self.mesh.send(source, target, text, random.choice(PRIORITIES))

    def _calm_down(self) -> float:
        """Nothing fails any more, and nobody lies: wait until everything has arrived."""
        mesh, engine = self.mesh, self.engine
        start = engine.now
        mesh.tampers.clear()
        for stack in mesh.stacks:
            stack.death = 0.0
            stack.carrier.drops_parcels = False
        for node in mesh.nodes:
            if not node.is_alive:
                mesh.restart(node.number)
        for number in self._liars:
            mesh.crash(number)
            mesh.restart(number)
        while engine.now < start + CALM_S:
            for edge in mesh.topology.edges:
                mesh.connect(*edge)
            engine.run_until(engine.now + STEP_S)
            if not self._waiting() and is_routed(mesh):
                break
        check_all_arrived(mesh.diaries)
        if self._waiting() or not is_routed(mesh):
            raise InvariantBrokenError(f"not everything was confirmed within {CALM_S:.0f} s")
        return engine.now - start

    def _waiting(self) -> int:
        ids = [node.id for node in self.mesh.nodes]
        return sum(stack.post.count(each) for stack in self.mesh.stacks for each in ids)

    def _outcome(self, calm_s: float) -> Outcome:
        diaries = self.mesh.diaries.values()
        busiest = max(node.sent_bytes for node in self.mesh.nodes) / self.engine.now
        if busiest > BUDGET_BYTES_PER_S:
            raise InvariantBrokenError(f"a node sent {busiest:.0f} bytes/s")
        return Outcome(
            accepted=sum(len(diary.accepted) for diary in diaries),
            redelivered=sum(seen.is_redelivered for diary in diaries for seen in diary.seen),
            deaths=self.mesh.deaths,
            parcels=self.mesh.parcels,
            loop_checks=self._watch.checks,
            calm_s=calm_s,
            busiest_bytes_per_s=busiest,
        )


def _nearer(_node: RouterNode, _peer: NodeId, value: Value) -> Value:
    """Say of everybody that it is next door."""
    if not isinstance(value, Routes):
        return value
    told = tuple(
        RouteEntry(each.origin, each.sequence, 1, 1) if each.metric else each
        for each in value.routes
    )
    return Routes(value.retracted, told, value.beacons, value.bucket)

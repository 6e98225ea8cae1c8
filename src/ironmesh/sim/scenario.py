"""The life of a mesh in four chapters: it starts, it rests, some of it fails, it is repaired."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from ironmesh.sim.engine import Engine
from ironmesh.sim.invariants import LoopWatch, is_routed
from ironmesh.sim.links import LinkQuality
from ironmesh.sim.probes import Probes
from ironmesh.sim.routing import RouterMesh
from ironmesh.sim.topology import DEGREE, make

MEASURE_INTERVAL_S: Final = 120.0
"""How often a node measures the round trip of a link that stays as it is."""
PING_BYTES: Final = 55
"""Of a ping or its answer: an unsigned record in its frame, in TLS."""
BEAT_INTERVAL_S: Final = 7.0
"""How often one end of a quiet link asks the other one for a sign of life."""
BEAT_BYTES: Final = 26
"""Of what a WebSocket connection asks for a sign of life with, or of the answer, in TLS."""
NEWS_INTERVAL_S: Final = 24 * 3600.0
"""How often a node makes a new node record and beacon."""
PULL_BYTES: Final = 600
"""What a node sends for the record of another: once the request, on average once the record."""
PATIENCE_S: Final = 120.0
"""How long a mesh may take to start, or to be repaired."""
STEP_S: Final = 0.5
PROBES: Final = 400
UNDER_WAY_S: Final = 5.0
"""What is sent so shortly before an end might still be under way, and is not sent."""
_WATCHED: Final = 12
_FULL_WATCH: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is simulated."""

    nodes: int = 200
    topology: str = "geometric"
    degree: float = DEGREE
    loss: float = 0.0
    """Share of units that links lose, 0 to 1."""
    slowest_s: float = 0.01
    """Delay of the slowest link; that of each is between 1 ms and this, at random."""
    failing: float = 0.1
    """Share of nodes that stop at once, 0 to 1."""
    vanishing: float = 0.5
    """Share of these that vanish, as a host without power; the others end as a process does."""
    settle_s: float = 600.0
    """Virtual seconds in which a mesh that has started comes to rest."""
    rest_s: float = 600.0
    """Virtual seconds in which the traffic of a mesh at rest is counted; 0 = it is not counted."""
    seed: int = 1


class Report(msgspec.Struct, frozen=True):
    """What came of it. Times in virtual seconds; None = not within two minutes."""

    nodes: int
    links: int
    topology: str
    degree: float
    """Links of a node, on average."""
    diameter_hops: int
    """The longest way that was chosen."""
    loss: float
    seed: int
    converged_s: float | None
    """From the start until every pair of nodes has a way."""
    start_bytes: int
    """What a node sent until then, on average."""
    rest_bytes_per_s: float | None
    """What a node sends while nothing happens, on average: digests, pings, daily news of all.

    None = not counted."""
    busiest_bytes_per_s: float | None
    failed: int
    """Nodes that stopped at once."""
    vanished: int
    """Those of them that vanished, so that their neighbours noticed it by their silence."""
    repaired_s: float | None
    """From then until every connected pair has a way again."""
    repair_bytes: int
    delivered_at_rest: float | None
    """Share of messages that arrived at the first try, 0 to 1; None = not counted."""
    delivered_in_repair: float
    """The same, of messages sent in the ten seconds after nodes stopped."""
    loop_checks: int
    """How often the ways were followed to look for a circle; one would have ended the run."""
    events: int


class Run:
    """One run of a scenario.

    Args:
        scenario: what is simulated.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.engine = Engine(scenario.seed)
        random = self.engine.random
        topology = make(scenario.topology, scenario.nodes, random, scenario.degree)
        quality = LinkQuality(delay_s=0.001, loss=scenario.loss)
        self.mesh = RouterMesh(self.engine, topology, quality=quality, slowest_s=scenario.slowest_s)
        self.mesh.detection_s = (0.0, 1.0)
        everybody = [node.id for node in self.mesh.nodes]
        watched = everybody if len(everybody) <= _FULL_WATCH else random.sample(everybody, _WATCHED)
        self._watch = LoopWatch(self.mesh, watched)
        self.rest_rates: list[float] | None = None
        """Bytes a second of each node at rest."""
        self.delivered_at_rest: float | None = None

    def steps(self) -> Iterator[str]:
        """Run it, yielding what is going on now and then; `report` is complete afterwards."""
        scenario = self.scenario
        self.mesh.start()
        yield "starting"
        self.converged_s = yield from self._until_routed(0.0, "starting")
        self.start_bytes = self._sent()
        yield from self._pass(scenario.settle_s, "settling")
        if scenario.rest_s:
            yield from self._rest(scenario.rest_s)
        self.diameter = self._diameter()
        self.sent_before = [node.sent_bytes for node in self.mesh.nodes]
        yield from self._fail()

    def report(self) -> Report:
        """Return what came of it, once all steps are done."""
        topology = self.mesh.topology
        rates, delivered = self.rest_rates, self.delivered_at_rest
        return Report(
            nodes=len(topology),
            links=len(topology.edges),
            topology=self.scenario.topology,
            degree=round(2 * len(topology.edges) / len(topology), 1),
            diameter_hops=self.diameter,
            loss=self.scenario.loss,
            seed=self.scenario.seed,
            converged_s=self.converged_s,
            start_bytes=self.start_bytes,
            rest_bytes_per_s=None if rates is None else round(sum(rates) / len(rates), 1),
            busiest_bytes_per_s=None if rates is None else round(max(rates), 1),
            failed=len(self.failed),
            vanished=self.vanished,
            repaired_s=self.repaired_s,
            repair_bytes=self.repair_bytes,
            delivered_at_rest=None if delivered is None else round(delivered, 4),
            delivered_in_repair=round(self.delivered_in_repair, 4),
            loop_checks=self._watch.checks,
            events=self.engine.events,
        )

    def _rest(self, seconds: float) -> Iterator[str]:
        """Count what nodes send while nothing happens, and what arrives."""
        before = [node.sent_bytes for node in self.mesh.nodes]
        probes = Probes(self.mesh)
        probes.spread(PROBES, seconds - min(UNDER_WAY_S, seconds / 2))
        self._spread_news(seconds)
        yield from self._pass(seconds, "resting")
        sent = [node.sent_bytes - old for node, old in zip(self.mesh.nodes, before, strict=True)]
        self.rest_rates = [
            each / seconds + self._not_simulated(number) for number, each in enumerate(sent)
        ]
        self.delivered_at_rest = probes.share

    def _fail(self) -> Iterator[str]:
        count = round(self.scenario.failing * len(self.mesh.nodes))
        self.failed = self.engine.random.sample(range(len(self.mesh.nodes)), count)
        start, before = self.engine.now, self._sent()
        self.vanished = round(self.scenario.vanishing * count)
        for place, number in enumerate(self.failed):
            self.mesh.crash(number, is_silent=place < self.vanished)
        probes = Probes(self.mesh)
        probes.spread(PROBES, 10.0)
        self.repaired_s = yield from self._until_routed(start, "repairing")
        self.repair_bytes = self._sent() - before
        yield from self._pass(max(0.0, start + 12.0 - self.engine.now), "repairing")
        self.delivered_in_repair = probes.share

    def _until_routed(self, start: float, what: str) -> Generator[str, None, float | None]:
        """Run until every connected pair has a way; give how long that took."""
        while self.engine.now < start + PATIENCE_S:
            self.engine.run_until(self.engine.now + STEP_S)
            lacking = self._lacking()
            yield (
                f"{what}: {self.engine.now:.0f} s of virtual time, {self._ways()} ways, "
                f"{lacking} nodes lack some"
            )
            if not lacking and is_routed(self.mesh):
                return self.engine.now - start
        return None

    def _lacking(self) -> int:
        """Return how many live nodes lack a way, as far as they know: no way is followed."""
        nodes = self.mesh.nodes
        dead = frozenset(node.number for node in nodes if not node.is_alive)
        lacking = 0
        for part in self.mesh.topology.components(dead):
            ids = {nodes[number].id for number in part}
            for number in part:
                node = nodes[number]
                lacking += node.reached < len(part) - 1 or not node.lost.isdisjoint(ids)
        return lacking

    def _pass(self, seconds: float, what: str) -> Iterator[str]:
        end = self.engine.now + seconds
        while self.engine.now < end:
            self.engine.run_until(min(end, self.engine.now + 10 * STEP_S))
            yield f"{what}: {self.engine.now:.0f} s of virtual time"

    def _ways(self) -> int:
        """Return how many ways live nodes know, also to nodes that stopped a moment ago."""
        return sum(node.reached for node in self.mesh.nodes)

    def _sent(self) -> int:
        """Return what a node sent so far, on average."""
        return sum(node.sent_bytes for node in self.mesh.nodes) // len(self.mesh.nodes)

    def _spread_news(self, seconds: float) -> None:
        """Let as many nodes make new records as do so in a time."""
        for _ in range(math.ceil(len(self.mesh.nodes) * seconds / NEWS_INTERVAL_S)):
            number = self.engine.random.randrange(len(self.mesh.nodes))
            self.engine.after(seconds * self.engine.random.random(), self.mesh.renew, number)

    def _not_simulated(self, number: int) -> float:
        """Return the bytes a second of a node for pings, and for pulling each record once a day.

        Of the two ends of a link one asks for signs of life, and less often than it is counted
        here: where something else arrived it need not.
        """
        links = sum(number in edge for edge in self.mesh.topology.edges)
        pulls = len(self.mesh.nodes) * PULL_BYTES / NEWS_INTERVAL_S
        link = 2 * PING_BYTES / MEASURE_INTERVAL_S + BEAT_BYTES / BEAT_INTERVAL_S
        return pulls + links * link

    def _diameter(self) -> int:
        first = self.mesh.nodes[0]
        views = (first.router.route(node.id) for node in self.mesh.nodes[1:])
        return max((view.hops for view in views if view is not None), default=0)

"""Drives the router: what neighbours say goes in, and what it asks for is done."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from ironmesh.audit.events import AuditEvent
from ironmesh.mesh.cost import CostMeter
from ironmesh.mesh.routing.router import Router
from ironmesh.mesh.routing.values import (
    Bump,
    NewBeacon,
    PartitionAlarm,
    RouteFound,
    RouteLost,
    RouterAction,
    RouteView,
    Send,
    Suspicion,
    Suspicious,
)
from ironmesh.node.clock import Clock
from ironmesh.node.journal import Journal
from ironmesh.node.link import Link
from ironmesh.node.mesh.neighbours import Tell
from ironmesh.observe.counters import Counters
from ironmesh.types import MeshType, NodeId
from ironmesh.wire.native import routes
from ironmesh.wire.native.beacons import Beacon
from ironmesh.wire.native.routes import RouteDigest, RouteRequest, Routes

MEASURE_EVERY_S: Final = 30.0
MEASURE_SELDOM_S: Final = 120.0
"""While round trips stay what they were, the pause between two becomes as long as this."""
ANSWER_S: Final = 5.0
"""A ping that is not answered for so long counts as lost."""


class Listener(Protocol):
    """Who is told what the router found out."""

    def route_found(self, destination: NodeId) -> None:
        """A destination can be reached."""
        ...

    def route_lost(self, destination: NodeId) -> None:
        """A destination can be reached no longer."""
        ...

    def new_beacon(self, beacon: Beacon, peer: NodeId) -> None:
        """A node says something new about itself."""
        ...

    def bump(self, above: int) -> None:
        """A newer beacon of this node is needed."""
        ...

    def partitioned(self, lost: int, remaining: int) -> None:
        """Over half of the mesh cannot be reached."""
        ...


class Routing:
    """The router of a node, its links and its timer, working together.

    Args:
        tell: sends a message of the mesh to a neighbour.
        cost: what a hop over a link costs.
    """

    def __init__(
        self,
        router: Router,
        *,
        tell: Tell,
        listener: Listener,
        clock: Clock,
        counters: Counters,
        journal: Journal,
    ) -> None:
        self._router = router
        self._tell = tell
        self._listener = listener
        self._clock = clock
        self._counters = counters
        self._journal = journal
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None
        self._is_closed = False

    # --- Questions ---------------------------------------------------------------------------

    def next_hops(self, destination: NodeId) -> tuple[NodeId, ...]:
        """Return the neighbours that lead to a destination, the best first."""
        return self._router.next_hops(destination)

    def route(self, destination: NodeId) -> RouteView | None:
        """Return how a destination is reached."""
        return self._router.route(destination)

    def destinations(self) -> Iterable[NodeId]:
        """Return all nodes that can be reached."""
        return self._router.destinations()

    def beacon(self, origin: NodeId) -> Beacon | None:
        """Return the newest beacon of a node."""
        return self._router.beacon(origin)

    # --- Inputs ------------------------------------------------------------------------------

    def announce(self, beacon: Beacon) -> None:
        """Tell neighbours of a new beacon of this node."""
        self._run(self._router.announce(beacon, self._now()))

    def link_up(self, link: Link) -> None:
        """A session with a neighbour began."""
        self._run(self._router.link_up(link.peer, CostMeter().link, self._now()))

    async def measure(self, link: Link) -> None:
        """Keep the cost of a hop in step with its round trips, until the link is over."""
        meter, pause_s = CostMeter(), MEASURE_EVERY_S
        while link.is_usable and not self._is_closed:
            rtt_s = await link.measure(ANSWER_S)
            if not link.is_usable:
                return
            if meter.unanswered() if rtt_s is None else meter.answered(rtt_s):
                self._run(self._router.link_changed(link.peer, meter.link, self._now()))
            pause_s = min(2 * pause_s, MEASURE_SELDOM_S) if meter.is_steady else MEASURE_EVERY_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await link.wait_ended()

    def link_down(self, peer: NodeId) -> None:
        """The session with a neighbour ended."""
        self._run(self._router.link_down(peer, self._now()))

    def received(self, peer: NodeId, kind: str, body: bytes) -> None:
        """Take what a neighbour says about routes.

        Raises:
            RemoteProtocolError: malformed.
        """
        value: Routes | RouteDigest | RouteRequest
        if kind == MeshType.ROUTES:
            value = routes.decode_routes(body)
        elif kind == MeshType.ROUTE_DIGEST:
            value = routes.decode_digest(body)
        else:
            value = routes.decode_request(body)
        self._run(self._router.received(peer, value, self._now()))

    def close(self) -> None:
        """Do nothing any more."""
        self._is_closed = True
        self._arm()

    # --- Doing what the router says ----------------------------------------------------------

    def _run(self, actions: Sequence[RouterAction]) -> None:
        if self._is_closed:
            return
        for action in actions:
            match action:
                case Send(peer, value):
                    self._tell(peer, *_encoded(value))
                case RouteFound(destination):
                    self._listener.route_found(destination)
                case RouteLost(destination):
                    self._listener.route_lost(destination)
                case NewBeacon(beacon, peer):
                    self._listener.new_beacon(beacon, peer)
                case Bump(above):
                    self._listener.bump(above)
                case PartitionAlarm(lost, remaining):
                    self._listener.partitioned(lost, remaining)
                case Suspicious():
                    self._suspect(action)
        self._arm()

    def _suspect(self, suspicious: Suspicious) -> None:
        self._counters.add(f"mesh.suspicious.{suspicious.what.value}")
        is_clone = suspicious.what is Suspicion.CLONED
        self._journal.record(
            AuditEvent.IDENTITY_CLONED if is_clone else AuditEvent.MESSAGE_REFUSED,
            node_id=suspicious.origin,
            what=suspicious.what.value,
            via=suspicious.peer,
        )

    def _now(self) -> float:
        return self._clock.now().mono

    def _arm(self) -> None:
        at = None if self._is_closed else self._router.next_timer
        if at == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = at
        if at is not None and at != float("inf"):
            delay = max(0.0, at - self._now())
            self._timer = asyncio.get_running_loop().call_later(delay, self._fire)

    def _fire(self) -> None:
        self._timer = self._timer_at = None
        self._run(self._router.timer(self._now()))


def _encoded(value: Routes | RouteDigest | RouteRequest) -> tuple[MeshType, bytes]:
    if isinstance(value, Routes):
        return MeshType.ROUTES, routes.encode_routes(value)
    if isinstance(value, RouteDigest):
        return MeshType.ROUTE_DIGEST, routes.encode_digest(value)
    return MeshType.ROUTE_REQUEST, routes.encode_request(value)

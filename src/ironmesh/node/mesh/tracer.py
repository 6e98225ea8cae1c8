"""Asks who is on the way to a destination, and answers those who ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from ironmesh.mesh.tracing import Traces
from ironmesh.node.clock import Clock
from ironmesh.node.mesh.neighbours import Tell
from ironmesh.observe.counters import Counters
from ironmesh.types import MeshType, NodeId, Random
from ironmesh.wire.native import relaying
from ironmesh.wire.native.relaying import MAX_HOPS, TRACE_BYTES, Outcome, Trace, TraceReply

MAX_OWN: Final = 256
"""Traces of this node under way at a time."""

NextHop = Callable[[NodeId, NodeId | None], NodeId | None]
"""Whom a parcel for a destination would be handed to: destination, and whom it came from."""


class TracedHop(NamedTuple):
    """One node on the way."""

    hop: int
    node_id: NodeId
    outcome: Outcome
    rtt_s: float
    """From asking to its answer."""


class _Own:
    __slots__ = ("began", "ended", "hops")

    def __init__(self, began: float) -> None:
        self.began = began
        self.hops: dict[int, TracedHop] = {}
        self.ended = asyncio.Event()


class Tracer:
    """The traces of a node and of those that pass it.

    Args:
        tell: sends a message of the mesh to a neighbour.
        next_hop: chooses the way, as for parcels.
    """

    def __init__(
        self,
        traces: Traces,
        *,
        tell: Tell,
        next_hop: NextHop,
        own_id: NodeId,
        clock: Clock,
        random: Random,
        counters: Counters,
    ) -> None:
        self._traces = traces
        self._tell = tell
        self._next_hop = next_hop
        self._own_id = own_id
        self._clock = clock
        self._random = random
        self._counters = counters
        self._own: dict[bytes, _Own] = {}

    async def trace(self, destination: NodeId, timeout_s: float) -> list[TracedHop]:
        """Return the nodes on the way as far as they answered in time, the nearest first."""
        hop = self._next_hop(destination, None)
        if hop is None or len(self._own) >= MAX_OWN:
            return []
        number = self._random(TRACE_BYTES)
        began = self._clock.now().mono
        own = self._own[number] = _Own(began)
        self._traces.sent(number, hop, began)
        body = relaying.encode_trace(Trace(number, destination, MAX_HOPS - 1, 1))
        try:
            self._tell(hop, MeshType.TRACE, body)
            async with asyncio.timeout(timeout_s):
                await own.ended.wait()
        except TimeoutError:
            pass
        finally:
            del self._own[number]
        return [own.hops[place] for place in sorted(own.hops)]

    def take_trace(self, peer: NodeId, body: bytes) -> None:
        """A neighbour handed a trace over.

        Raises:
            RemoteProtocolError: malformed.
        """
        trace = relaying.decode_trace(body)
        next_hop = self._next_hop(trace.destination, peer)
        step = self._traces.received(peer, trace, next_hop, self._clock.now().mono)
        if step is None:
            self._counters.add("mesh.traces_ignored")
            return
        self._tell(peer, MeshType.TRACE_REPLY, relaying.encode_trace_reply(step.reply))
        if step.onward is not None and step.next_hop is not None:
            self._tell(step.next_hop, MeshType.TRACE, relaying.encode_trace(step.onward))

    def take_reply(self, peer: NodeId, body: bytes) -> None:
        """A neighbour handed a reply back.

        Raises:
            RemoteProtocolError: malformed.
        """
        reply = relaying.decode_trace_reply(body)
        back_to = self._traces.replied(peer, reply, self._clock.now().mono)
        if back_to is None:
            self._counters.add("mesh.traces_ignored")
        elif back_to != self._own_id:
            self._tell(back_to, MeshType.TRACE_REPLY, body)
        elif reply.trace in self._own:
            self._note(self._own[reply.trace], reply)

    def _note(self, own: _Own, reply: TraceReply) -> None:
        rtt_s = self._clock.now().mono - own.began
        own.hops.setdefault(reply.hop, TracedHop(reply.hop, reply.node, reply.outcome, rtt_s))
        last = next(
            (hop for hop in own.hops.values() if hop.outcome is not Outcome.PASSED_ON), None
        )
        # A reply may overtake those of the hops before.
        if last is not None and all(place in own.hops for place in range(1, last.hop)):
            own.ended.set()

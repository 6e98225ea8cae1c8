"""Who is on the way to a destination: each node says so itself, back along the way. Pure.

A trace has a random number and no source: each node remembers for a minute from whom it came, and
hands replies back there. A node on the way can lie about those behind it; nothing depends on it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from ironmesh.types import NodeId
from ironmesh.wire.native.relaying import Outcome, Trace, TraceReply

CRUMB_S: Final = 60.0
MAX_CRUMBS: Final = 4096
BURST: Final = 64
"""Traces of one neighbour that are answered at once."""
RATE_PER_S: Final = 8.0
MAX_NEIGHBOURS: Final = 1024


class Crumb(NamedTuple):
    """What is remembered of a trace."""

    came_from: NodeId
    next_hop: NodeId | None
    hop: int
    """Which hop this node is."""
    at: float


class Step(NamedTuple):
    """What to do with a trace: answer whoever handed it over, and perhaps hand it on."""

    reply: TraceReply
    onward: Trace | None = None
    next_hop: NodeId | None = None


class Traces:
    """The traces that pass a node.

    Args:
        own_id: this node.
        is_relay: it hands on what is for others.
    """

    def __init__(self, own_id: NodeId, *, is_relay: bool) -> None:
        self._own_id = own_id
        self._is_relay = is_relay
        self._crumbs: OrderedDict[bytes, Crumb] = OrderedDict()
        self._tokens: OrderedDict[NodeId, tuple[float, float]] = OrderedDict()

    def received(
        self, peer: NodeId, trace: Trace, next_hop: NodeId | None, now: float
    ) -> Step | None:
        """A neighbour handed a trace over; None = it sends too many, or this one was seen.

        Args:
            next_hop: whom a parcel would be handed to; None = nobody.
        """
        if trace.trace in self._crumbs or not self._has_token(peer, now):
            return None
        outcome = self._outcome(trace, next_hop)
        passed_to = next_hop if outcome is Outcome.PASSED_ON else None
        self._remember(trace.trace, Crumb(peer, passed_to, trace.hop, now))
        reply = TraceReply(trace.trace, trace.hop, self._own_id, outcome)
        if passed_to is None:
            return Step(reply)
        onward = trace._replace(hops_left=trace.hops_left - 1, hop=trace.hop + 1)
        return Step(reply, onward, passed_to)

    def sent(self, trace: bytes, next_hop: NodeId, now: float) -> None:
        """This node asks itself."""
        self._remember(trace, Crumb(self._own_id, next_hop, 0, now))

    def replied(self, peer: NodeId, reply: TraceReply, now: float) -> NodeId | None:
        """A reply came back; return who is to have it (this node, if it asked).

        None = it answers nothing, or comes from where the trace was not handed to.
        """
        crumb = self._crumbs.get(reply.trace)
        if crumb is None or crumb.next_hop != peer or now - crumb.at > CRUMB_S:
            return None
        return crumb.came_from if reply.hop > crumb.hop else None

    def _outcome(self, trace: Trace, next_hop: NodeId | None) -> Outcome:
        if trace.destination == self._own_id:
            return Outcome.ARRIVED
        if not self._is_relay:
            return Outcome.DOES_NOT_RELAY
        if not trace.hops_left:
            return Outcome.HOP_LIMIT
        return Outcome.NO_ROUTE if next_hop is None else Outcome.PASSED_ON

    def _remember(self, trace: bytes, crumb: Crumb) -> None:
        while len(self._crumbs) >= MAX_CRUMBS:
            self._crumbs.popitem(last=False)
        self._crumbs[trace] = crumb

    def _has_token(self, peer: NodeId, now: float) -> bool:
        tokens, at = self._tokens.pop(peer, (float(BURST), now))
        tokens = min(BURST, tokens + (now - at) * RATE_PER_S)
        while len(self._tokens) >= MAX_NEIGHBOURS:
            self._tokens.popitem(last=False)
        self._tokens[peer] = (max(0.0, tokens - 1.0), now)
        return tokens >= 1.0

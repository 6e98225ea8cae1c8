"""Who is on the way: each node answers once, back along the way, and not too often."""

from __future__ import annotations

from ironmesh.mesh.tracing import BURST, MAX_CRUMBS, Traces
from ironmesh.types import NodeId
from ironmesh.wire.native.relaying import Outcome, Trace, TraceReply

OWN, ALICE, BOB, CAROL, FAR = (NodeId(letter * 32) for letter in "0abcf")


def trace(number: int = 1, to: NodeId = FAR, *, left: int = 5, hop: int = 2) -> Trace:
    return Trace(number.to_bytes(8, "big"), to, left, hop)


def relay() -> Traces:
    return Traces(OWN, is_relay=True)


def outcome(traces: Traces, asked: Trace, next_hop: NodeId | None = BOB) -> Outcome:
    step = traces.received(ALICE, asked, next_hop, 0.0)
    assert step is not None
    assert step.reply == TraceReply(asked.trace, asked.hop, OWN, step.reply.outcome)
    assert (step.onward is None) is (step.reply.outcome is not Outcome.PASSED_ON)
    return step.reply.outcome


def test_a_relay_answers_and_hands_it_on_with_one_hop_less() -> None:
    step = relay().received(ALICE, trace(), BOB, 0.0)
    assert step is not None
    assert step.onward == trace(left=4, hop=3)
    assert step.next_hop == BOB


def test_where_it_ends_is_said() -> None:
    assert outcome(relay(), trace(to=OWN)) is Outcome.ARRIVED
    assert outcome(relay(), trace(), None) is Outcome.NO_ROUTE
    assert outcome(relay(), trace(left=0)) is Outcome.HOP_LIMIT
    assert outcome(Traces(OWN, is_relay=False), trace()) is Outcome.DOES_NOT_RELAY


def test_a_trace_that_comes_again_is_not_answered() -> None:
    traces = relay()
    assert traces.received(ALICE, trace(), BOB, 0.0) is not None
    assert traces.received(CAROL, trace(), BOB, 0.0) is None


def test_replies_go_back_to_whom_the_trace_came_from() -> None:
    traces = relay()
    traces.received(ALICE, trace(), BOB, 0.0)
    reply = TraceReply(trace().trace, 3, BOB, Outcome.ARRIVED)
    assert traces.replied(BOB, reply, 59.0) == ALICE
    assert traces.replied(CAROL, reply, 1.0) is None, "not whom it was handed to"
    assert traces.replied(BOB, reply, 61.0) is None, "too late"
    assert traces.replied(BOB, reply._replace(hop=2), 1.0) is None, "not from behind us"
    assert traces.replied(BOB, reply._replace(trace=bytes(8)), 1.0) is None, "unknown"


def test_who_asked_gets_its_own_replies() -> None:
    traces = relay()
    traces.sent(trace().trace, BOB, 0.0)
    assert traces.replied(BOB, TraceReply(trace().trace, 1, BOB, Outcome.ARRIVED), 1.0) == OWN


def test_one_neighbour_is_answered_so_often_and_others_all_the_same() -> None:
    traces = relay()
    answered = [traces.received(ALICE, trace(number), BOB, 0.0) for number in range(BURST + 10)]
    assert sum(step is not None for step in answered) == BURST
    assert traces.received(CAROL, trace(1000), BOB, 0.0) is not None
    assert traces.received(ALICE, trace(1001), BOB, 1.0) is not None


def test_the_memory_of_traces_is_bounded() -> None:
    traces = relay()
    for number in range(MAX_CRUMBS + 100):
        traces.sent(number.to_bytes(8, "big"), BOB, 0.0)
    assert len(traces._crumbs) == MAX_CRUMBS

"""Messages: what one costs at each end, how many go, how long one takes, and through a relay."""

from __future__ import annotations

import statistics
import time
from typing import Any, Final

from bench.contestants import Contestant
from bench.counts import IN_FLIGHT, LIVE_TIMES, Counts, Figures
from bench.process import BenchError, CannotError, NodeProcess, nodes

QUIET_S: Final = 2.0
"""A burst has ended when nothing more arrives for this long."""
LIMITED_ROUND_TRIPS: Final = 40
"""As installed, the published node takes a hundred messages at once."""
PROBE_S: Final = 1.0
LIVE: Final = {"durable": False}


def messages(contestant: Contestant, counts: Counts, size: int) -> Figures:
    """One way: CPU of each end for each message that the receiving handler saw, and the rate.

    The published node has one way to send, which stands in both groups of rows.
    """
    count = counts.messages[size]
    if contestant.is_limited:
        count = min(count, counts.limited)
    with nodes(contestant, 2) as (sender, receiver):
        sender.connect_to(receiver)
        if not contestant.is_limited:  # what is made once is made
            _burst(sender, receiver, size, max(1, count // 10))
        figures = _burst(sender, receiver, size, count)
        if contestant.is_published:
            return {**_named(figures, "durable", size), **_named(figures, "live", size)}
        live = _burst(sender, receiver, size, count * LIVE_TIMES, LIVE)
    return {**_named(figures, "durable", size), **_named(live, "live", size)}


def _named(figures: Figures, kind: str, size: int) -> Figures:
    named = {f"{kind}.{size}.{name}": value for name, value in figures.items()}
    return {**named, f"{kind}.{size}.mb_s": figures["rate"] * size / 1e6}


def _burst(
    sender: NodeProcess,
    receiver: NodeProcess,
    size: int,
    count: int,
    options: dict[str, Any] | None = None,
) -> Figures:
    waits_for_receipts = not options
    receiver.ask("forget_seen")
    before = sender.cpu_s(), receiver.cpu_s()
    receiver.tell("wait_seen", count=count, quiet_s=QUIET_S)
    sent = sender.ask(
        "burst",
        target=receiver.node_id,
        size=size,
        count=count,
        in_flight=IN_FLIGHT,
        options=options or {},
        waits_for_receipts=waits_for_receipts,
    )
    seen = receiver.answer()
    arrived = int(seen["seen"])
    if not arrived:
        raise BenchError(f"{sender.contestant.title}: no message of {size} bytes arrived")
    send_us = (sender.cpu_s() - before[0]) / arrived * 1e6
    receive_us = (receiver.cpu_s() - before[1]) / arrived * 1e6
    if waits_for_receipts and sender.ask("undelivered")["count"]:
        raise BenchError(f"{sender.contestant.title}: not every message was receipted")
    return {
        "cpu_us": send_us + receive_us,
        "send_us": send_us,
        "receive_us": receive_us,
        "rate": arrived / (seen["at"] - sent["began"]),
        "arrived": 100.0 * arrived / count,
    }


def round_trip(contestant: Contestant, counts: Counts) -> Figures:
    """A message and its echo, one after the other."""
    with nodes(contestant, 2) as (asker, answerer):
        asker.connect_to(answerer)
        if contestant.is_limited:
            durable = live = _round_trips(asker, answerer, LIMITED_ROUND_TRIPS)
        else:
            _round_trips(asker, answerer, max(1, counts.round_trips // 10))
            durable = live = _round_trips(asker, answerer, counts.round_trips)
        if not contestant.is_published:
            live = _round_trips(asker, answerer, counts.round_trips, is_live=True)
            on_loop = _round_trips_on_loop(asker, answerer, counts.round_trips)
            return {
                **_of_trips("durable", durable),
                **_of_trips("live", live),
                **_of_trips("loop", on_loop),
            }
    return {**_of_trips("durable", durable), **_of_trips("live", live)}


def _of_trips(kind: str, figures: Figures) -> Figures:
    return {f"round_trip.{kind}.{name}": value for name, value in figures.items()}


def _round_trips_on_loop(asker: NodeProcess, answerer: NodeProcess, count: int) -> Figures:
    """Live messages between `async def` handlers, which need no change of threads."""
    for each in (asker, answerer):
        each.ask("handle_on_loop")
    before = asker.cpu_s() + answerer.cpu_s()
    answer = asker.ask("round_trips_on_loop", target=answerer.node_id, size=64, count=count)
    cpu_s = asker.cpu_s() + answerer.cpu_s() - before
    return _trips(answer["seconds"], cpu_s)


def _round_trips(
    asker: NodeProcess,
    answerer: NodeProcess,
    count: int,
    *,
    is_live: bool = False,
    patience_s: float = 5.0,
) -> Figures:
    before = asker.cpu_s() + answerer.cpu_s()
    answer = asker.ask(
        "round_trips",
        target=answerer.node_id,
        size=64,
        count=count,
        is_live=is_live,
        patience_s=patience_s,
    )
    cpu_s = asker.cpu_s() + answerer.cpu_s() - before
    return _trips(answer["seconds"], cpu_s)


def _trips(seconds: list[float], cpu_s: float) -> Figures:
    took, count = sorted(seconds), len(seconds)
    return {
        "p50": statistics.median(took) * 1e3,
        "p90": took[min(len(took) - 1, int(len(took) * 0.9))] * 1e3,
        "p99": took[min(len(took) - 1, int(len(took) * 0.99))] * 1e3,
        "cpu": cpu_s / count * 1e3,
    }


def enqueue(contestant: Contestant, counts: Counts) -> Figures:
    """Messages accepted for a peer that is away, from `IN_FLIGHT` tasks."""
    with nodes(contestant, 2) as (sender, absent):
        sender.connect_to(absent)
        absent.kill()
        sender.ask("wait_peer", peer=absent.node_id, is_online=False)
        before = sender.cpu_s()
        sent = sender.ask(
            "burst",
            target=absent.node_id,
            size=64,
            count=counts.enqueued,
            in_flight=IN_FLIGHT,
            options={},
            waits_for_receipts=False,
        )
        cpu_s = sender.cpu_s() - before
    return {
        "enqueue.rate": counts.enqueued / (sent["accepted"] - sent["began"]),
        "enqueue.cpu_us": cpu_s / counts.enqueued * 1e6,
    }


def relay(contestant: Contestant, counts: Counts) -> Figures:
    """Three nodes in a line: what the middle one spends on a message, one at a time and loaded."""
    with nodes(contestant, 3, is_in_line=True) as (sender, middle, receiver):
        sender.connect_to(middle)
        receiver.connect_to(middle)
        receiver.ask("echo_to", peer=sender.node_id)
        _find_way(sender, receiver, counts.relay_wait_s)
        before, count = middle.cpu_s(), max(1, counts.round_trips // 5)
        alone = _round_trips(sender, receiver, count)
        alone_us = (middle.cpu_s() - before) / (2 * count) * 1e6
        before = middle.cpu_s()
        loaded = _burst(sender, receiver, 64, counts.relayed)
        arrived = counts.relayed * loaded["arrived"] / 100.0
        loaded_us = (middle.cpu_s() - before) / arrived * 1e6
    return {
        "relay.alone_us": alone_us,
        "relay.loaded_us": loaded_us,
        "relay.rate": loaded["rate"],
        "relay.p50": alone["p50"],
        "relay.p99": alone["p99"],
    }


def _find_way(sender: NodeProcess, receiver: NodeProcess, limit_s: float) -> None:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        try:
            _round_trips(sender, receiver, 1, patience_s=PROBE_S)
        except BenchError:
            continue
        return
    raise CannotError(
        f"{sender.contestant.title}: no message came through a relay within {limit_s:.0f} s"
    )

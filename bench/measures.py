"""The measurements: each runs fresh nodes of one contestant and returns its figures by row."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.contestants import Contestant
from bench.process import BenchError, NodeProcess, nodes

IN_FLIGHT: Final = 64
QUIET_S: Final = 2.0
"""A burst has ended when nothing more arrives for this long."""
SETTLE_S: Final = 2.0

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Counts:
    """How much is measured."""

    rounds: int = 5
    messages: dict[int, int] = field(
        default_factory=lambda: {64: 4000, 1024: 3000, 16_384: 600, 262_144: 48}
    )
    round_trips: int = 500
    enqueued: int = 4000
    limited: int = 300
    """Messages of a burst to a node that drops what comes too fast."""


QUICK: Final = Counts(
    rounds=1,
    messages={64: 300, 1024: 300, 16_384: 100, 262_144: 8},
    round_trips=50,
    enqueued=300,
    limited=150,
)


def messages(contestant: Contestant, counts: Counts, size: int, prefix: str) -> Figures:
    """One way: CPU of each end for each message that the receiving handler saw, and the rate."""
    count = counts.messages[size]
    if contestant.is_published and not contestant.is_lifted:
        count = min(count, counts.limited)
    with nodes(contestant, 2) as (sender, receiver):
        sender.connect_to(receiver)
        if contestant.is_published and not contestant.is_lifted:
            return _burst(sender, receiver, size, count, prefix)
        _burst(sender, receiver, size, max(1, count // 10), prefix)  # what is made once is made
        figures = _burst(sender, receiver, size, count, prefix)
        if prefix.startswith("message.") and sender.started["has_durable"] and size == 64:
            figures |= _burst(sender, receiver, size, count, "live.64", {"durable": False})
        return figures


def _burst(
    sender: NodeProcess,
    receiver: NodeProcess,
    size: int,
    count: int,
    prefix: str,
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
        f"{prefix}.cpu_us": send_us + receive_us,
        f"{prefix}.send_us": send_us,
        f"{prefix}.receive_us": receive_us,
        f"{prefix}.rate": arrived / (seen["at"] - sent["began"]),
        f"{prefix}.arrived": 100.0 * arrived / count,
    }


def round_trip(contestant: Contestant, counts: Counts) -> Figures:
    """A message and its echo, one after the other."""
    with nodes(contestant, 2) as (asker, answerer):
        asker.connect_to(answerer)
        count = counts.round_trips
        if contestant.is_published and not contestant.is_lifted:
            count = min(count, 40)  # its limit is a hundred at once
        else:
            asker.ask("round_trips", target=answerer.node_id, size=64, count=max(1, count // 10))
        answer = asker.ask("round_trips", target=answerer.node_id, size=64, count=count)
    took = sorted(answer["seconds"])
    return {
        "round_trip.p50": statistics.median(took) * 1e3,
        "round_trip.p99": took[min(len(took) - 1, int(len(took) * 0.99))] * 1e3,
    }


def handshake(contestant: Contestant) -> Figures:
    """CPU from the dial until both ends show the session, cold and warm."""
    with nodes(contestant, 4) as (client, server, other_client, other_server):
        first = _handshake(client, server)
        _handshake(other_client, other_server)
        following = _handshake(client, other_server)
    return {
        "handshake.first.client": first[0],
        "handshake.first.server": first[1],
        "handshake.next.client": following[0],
        "handshake.next.server": following[1],
    }


def _handshake(client: NodeProcess, server: NodeProcess) -> tuple[float, float]:
    before = client.cpu_s(), server.cpu_s()
    client.connect_to(server)
    after = client.cpu_s(), server.cpu_s()
    return (after[0] - before[0]) * 1e3, (after[1] - before[1]) * 1e3


def enqueue(contestant: Contestant, counts: Counts) -> Figures:
    """Messages accepted for a peer that is away; empty where nothing is on disk by then."""
    with nodes(contestant, 2) as (sender, absent):
        if not contestant.is_published and not sender.started["has_durable"]:
            return {}
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


def command(contestant: Contestant) -> Figures:
    """`ironmesh --help`, from its start to its end."""
    with tempfile.TemporaryDirectory(prefix="ironmesh-bench-") as home:
        began = time.monotonic()
        process = subprocess.Popen(
            [str(contestant.program), "--help"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "HOME": home},
        )
        _, status, usage = os.wait4(process.pid, 0)
        took = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise BenchError(f"{contestant.title}: --help ended with {process.returncode}")
    return {"help.cpu": usage.ru_utime + usage.ru_stime, "help.wall": took}


def start(contestant: Contestant) -> Figures:
    """From the start of the process until `run` returned, with keys that exist; then idle."""
    with tempfile.TemporaryDirectory(prefix="ironmesh-bench-") as folder:
        first = NodeProcess(contestant, Path(folder))
        try:
            first.start()
        finally:
            first.kill()
        second = NodeProcess(contestant, Path(folder))
        try:
            started = second.start().started
            time.sleep(SETTLE_S)
            idle = second.ask("usage")
        finally:
            second.kill()
    figures = {"start.cpu": started["cpu_s"], "start.wall": started["wall_s"]}
    if idle["resident_bytes"]:
        figures["idle.memory"] = idle["resident_bytes"] / 1e6
    return figures

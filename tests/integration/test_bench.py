"""The benchmarks run: tiny counts, no figure is judged."""

from __future__ import annotations

import sys

import pytest

if sys.platform == "win32":
    pytest.skip("benchmarks are taken on systems with resource usage", allow_module_level=True)

from bench.contestants import OURS
from bench.measures import Counts, command, enqueue, handshake, messages, round_trip, start

TINY = Counts(
    rounds=1, messages={64: 8, 1024: 4, 16_384: 2, 262_144: 1}, round_trips=2, enqueued=4, limited=2
)


def test_a_burst_counts_what_the_handler_saw() -> None:
    figures = messages(OURS, TINY, 64, "message.64")
    assert figures["message.64.arrived"] == 100.0
    cpu_us = figures["message.64.send_us"] + figures["message.64.receive_us"]
    assert figures["message.64.cpu_us"] == pytest.approx(cpu_us)
    assert figures["live.64.arrived"] == 100.0


def test_every_other_measurement_gives_its_figures() -> None:
    found = round_trip(OURS, TINY) | enqueue(OURS, TINY) | command(OURS) | start(OURS)
    assert all(value > 0 for value in found.values())
    assert {"round_trip.p99", "enqueue.rate", "help.cpu", "start.wall"} <= set(found)


def test_handshakes_are_measured_at_both_ends() -> None:
    assert len(handshake(OURS)) == 4

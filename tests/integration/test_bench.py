"""The benchmarks run: tiny counts, no figure is judged."""

from __future__ import annotations

import sys

import pytest

if sys.platform == "win32":
    pytest.skip("benchmarks are taken on systems with resource usage", allow_module_level=True)

from bench.contestants import OURS
from bench.counts import Counts
from bench.report import stage_table
from bench.sessions import connect, handshake
from bench.stages import stages
from bench.standing import commands, start
from bench.traffic import enqueue, messages, round_trip

TINY = Counts(
    rounds=1,
    messages={64: 8, 1024: 4, 16_384: 2, 262_144: 1},
    round_trips=2,
    enqueued=4,
    limited=2,
    connects=1,
    resumed=1,
    handshakes=1,
    profiled=40,
)

PARTS = ("p50", "p90", "p99")


def test_a_burst_counts_what_the_handler_saw() -> None:
    figures = messages(OURS, TINY, 64)
    assert figures["durable.64.arrived"] == figures["live.64.arrived"] == 100.0
    for kind in ("durable", "live"):
        cpu_us = figures[f"{kind}.64.send_us"] + figures[f"{kind}.64.receive_us"]
        assert figures[f"{kind}.64.cpu_us"] == pytest.approx(cpu_us)


def test_every_other_measurement_gives_its_figures() -> None:
    found = round_trip(OURS, TINY) | enqueue(OURS, TINY) | commands(OURS) | start(OURS)
    assert all(value > 0 for value in found.values())
    kinds = ("loop", "live", "durable")
    wanted = {f"round_trip.{kind}.{part}" for kind in kinds for part in PARTS}
    assert wanted | {"enqueue.rate", "version.cpu", "help.cpu", "start.wall"} <= set(found)


@pytest.mark.timeout(180)
def test_connects_are_measured_at_both_ends() -> None:
    figures = connect(OURS, TINY, is_tls=True)
    assert len(figures) == 13
    assert all(value > 0 for value in figures.values())
    for end in ("later.client", "later.server", "resumed.client", "resumed.server"):
        kind, side = end.split(".")
        assert figures[f"connect.tls.{kind}.up.{side}"] <= figures[f"connect.tls.{end}"]


def test_the_bare_handshake_is_measured_full_and_resumed() -> None:
    figures = handshake(TINY)
    assert figures["handshake.resumed.initiator"] < figures["handshake.full.initiator"]


def test_the_profile_names_stages_of_both_ends() -> None:
    table = stage_table(stages(OURS, TINY))
    assert "sealing, signing, encoding" in table

"""What the benchmarks found, as plain values; the table, the plot and the JSON are made of them."""

from __future__ import annotations

import os
import platform
import statistics
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Row:
    """What one measurement tells; its key is the same in every run and for every contestant."""

    key: str
    title: str
    unit: str
    is_less_better: bool = True
    digits: int = 0


MESSAGE_SIZES: Final = ((64, "64 B"), (1024, "1 KiB"), (16_384, "16 KiB"), (262_144, "256 KiB"))
BURSTS: Final = tuple(
    (f"{kind}.{size}", f"{kind}, {title}", size)
    for kind in ("live", "durable")
    for size, title in MESSAGE_SIZES
)


def message_rows(prefix: str, title: str, size: int) -> list[Row]:
    """Return the rows of one burst."""
    rows = [
        Row(f"{prefix}.cpu_us", f"{title}: CPU, both ends", "us", digits=1),
        Row(f"{prefix}.send_us", f"{title}: CPU, sender", "us", digits=1),
        Row(f"{prefix}.receive_us", f"{title}: CPU, receiver", "us", digits=1),
        Row(f"{prefix}.rate", f"{title}: rate", "msg/s", is_less_better=False),
        Row(f"{prefix}.arrived", f"{title}: arrived", "%", is_less_better=False),
    ]
    if size == MESSAGE_SIZES[-1][0]:
        rows.append(Row(f"{prefix}.mb_s", f"{title}: rate", "MB/s", is_less_better=False))
    return rows


def round_trip_rows(kind: str, name: str) -> list[Row]:
    """Return the rows of round trips."""
    title = f"round trip, {name}, 64 B"
    return [
        Row(f"round_trip.{kind}.p50", f"{title}: median", "ms", digits=2),
        Row(f"round_trip.{kind}.p90", f"{title}: 90 of 100 within", "ms", digits=2),
        Row(f"round_trip.{kind}.p99", f"{title}: 99 of 100 within", "ms", digits=2),
        Row(f"round_trip.{kind}.cpu", f"{title}: CPU, both ends", "ms", digits=2),
    ]


def connect_rows(transport: str, title: str) -> list[Row]:
    """Return the rows of whole connects."""
    prefix = f"connect.{transport}"
    return [
        Row(f"{prefix}.first.both", f"first {title}: CPU, both ends", "ms", digits=1),
        *(
            Row(
                f"{prefix}.{kind}.{until}{side}",
                f"{kind} {title}{what}: CPU, {name}",
                "ms",
                digits=1,
            )
            for kind in ("later", "resumed")
            for until, what in (("up.", ", until it is up"), ("", ""))
            for side, name in (("client", "client"), ("server", "server"), ("both", "both ends"))
        ),
    ]


ROWS: Final = (
    *(row for prefix, title, size in BURSTS for row in message_rows(prefix, title, size)),
    *round_trip_rows("loop", "live, `async def` handlers"),
    *round_trip_rows("live", "live"),
    *round_trip_rows("durable", "durable"),
    *(
        Row(f"handshake.{kind}.{side}", f"handshake alone, {kind}: CPU, {side}", "ms", digits=2)
        for kind in ("full", "resumed")
        for side in ("initiator", "responder")
    ),
    *connect_rows("plain", "connect"),
    *connect_rows("tls", "connect with TLS"),
    Row("relay.alone_us", "relay in the middle, one at a time: its CPU", "us"),
    Row("relay.loaded_us", "relay in the middle, loaded: its CPU", "us"),
    Row("relay.rate", "relay in the middle: rate", "msg/s", is_less_better=False),
    Row("relay.p50", "round trip over a relay: median", "ms", digits=2),
    Row("relay.p99", "round trip over a relay: 99 of 100 within", "ms", digits=2),
    Row("enqueue.rate", "durable enqueue, peer absent: rate", "msg/s", is_less_better=False),
    Row("enqueue.cpu_us", "durable enqueue, peer absent: CPU", "us", digits=1),
    Row("version.cpu", "`ironmesh --version`: CPU", "s", digits=3),
    Row("version.wall", "`ironmesh --version`: time", "s", digits=3),
    Row("help.cpu", "`ironmesh --help`: CPU", "s", digits=3),
    Row("help.wall", "`ironmesh --help`: time", "s", digits=3),
    Row("start.cpu", "node up, keys exist: CPU", "s", digits=2),
    Row("start.wall", "node up, keys exist: time", "s", digits=2),
    *(
        Row(f"idle.{measure}{suffix}", f"idle memory, {setting}: {title}", "MB", digits=1)
        for suffix, setting in (("", "as installed"), (".no_mdns", "without mDNS"))
        for measure, title in (("rss", "resident"), ("pss", "its share"), ("uss", "its own"))
    ),
)


@dataclass(slots=True)
class Results:
    """All values, by contestant and row; each is a list with one value a run."""

    machine: dict[str, str]
    settings: dict[str, Any]
    titles: dict[str, str]
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    """Why a figure is missing, for people."""
    load: list[float] = field(default_factory=list)
    """The load average of one minute at the start of each round, and at the end."""
    million_ms: list[float] = field(default_factory=list)
    """What a million additions took then: on a shared host a processor is not always as fast."""
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    """Where the CPU of a message of ours goes; see `bench.stages`."""

    def add(self, contestant: str, figures: dict[str, float]) -> None:
        """Add the figures of one run."""
        known = self.values.setdefault(contestant, {})
        for key, value in figures.items():
            known.setdefault(key, []).append(value)

    def leave_out(self, why: str) -> None:
        """Say, once, why a figure is missing."""
        if why not in self.left_out:
            self.left_out.append(why)

    def median(self, contestant: str, key: str) -> float | None:
        """Return the middle value of a row; None where there is none."""
        values = self.values.get(contestant, {}).get(key)
        return statistics.median(values) if values else None

    def ratio(self, base: str, other: str, row: Row) -> float | None:
        """Return how many times better `base` is: the middle one of the ratios of each round.

        Both were measured one right after the other, so that a machine that is busy for a while
        slows both down.
        """
        ours, theirs = (self.values.get(key, {}).get(row.key, []) for key in (base, other))
        if len(ours) != len(theirs):  # one of them failed in some round
            ours, theirs = (
                [statistics.median(values)] if values else [] for values in (ours, theirs)
            )
        pairs = [pair if row.is_less_better else pair[::-1] for pair in zip(ours, theirs)]  # noqa: B905
        ratios = [worse / better for better, worse in pairs if better and worse]
        return statistics.median(ratios) if ratios else None

    def note_load(self) -> None:
        """Note how busy the machine is, and how fast."""
        self.million_ms.append(round(_million_ms(), 1))
        if hasattr(os, "getloadavg"):
            self.load.append(round(os.getloadavg()[0], 2))

    def to_json(self) -> dict[str, Any]:
        """Return everything, with the medians beside the single values."""
        medians = {
            contestant: {key: statistics.median(values) for key, values in rows.items()}
            for contestant, rows in self.values.items()
        }
        return {**asdict(self), "medians": medians}


def machine_facts() -> dict[str, str]:
    """Return what a reader must know of the machine; nothing that names it."""
    facts = {
        "processors": str(os.cpu_count()),
        "processor": _processor_model(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }
    return {name: fact for name, fact in facts.items() if fact}


def _million_ms() -> float:
    began, total = time.process_time(), 0
    for number in range(1_000_000):
        total += number
    return (time.process_time() - began) * 1e3


def _processor_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else ""

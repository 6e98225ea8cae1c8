"""What the benchmarks found, as plain values; the table, the plot and the JSON are made of them."""

from __future__ import annotations

import os
import platform
import statistics
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


def message_rows(prefix: str, title: str) -> list[Row]:
    """Return the rows of one burst."""
    return [
        Row(f"{prefix}.cpu_us", f"{title}: CPU, both ends", "us"),
        Row(f"{prefix}.send_us", f"{title}: CPU, sender", "us"),
        Row(f"{prefix}.receive_us", f"{title}: CPU, receiver", "us"),
        Row(f"{prefix}.rate", f"{title}: rate", "msg/s", is_less_better=False),
        Row(f"{prefix}.arrived", f"{title}: arrived", "%", is_less_better=False),
    ]


BURSTS: Final = tuple((f"message.{size}", title, size) for size, title in MESSAGE_SIZES)
ROWS: Final = (
    *(row for prefix, title, _ in BURSTS for row in message_rows(prefix, title)),
    *message_rows("live.64", "64 B, `durable=False`"),
    Row("round_trip.p50", "round trip 64 B, median", "ms", digits=2),
    Row("round_trip.p99", "round trip 64 B, 99 of 100 within", "ms", digits=2),
    Row("handshake.first.client", "first handshake of a process: CPU, client", "ms", digits=1),
    Row("handshake.first.server", "first handshake of a process: CPU, server", "ms", digits=1),
    Row("handshake.next.client", "later handshake: CPU, client", "ms", digits=1),
    Row("handshake.next.server", "later handshake: CPU, server", "ms", digits=1),
    Row("enqueue.rate", "durable enqueue, peer absent: rate", "msg/s", is_less_better=False),
    Row("enqueue.cpu_us", "durable enqueue, peer absent: CPU", "us"),
    Row("help.cpu", "`ironmesh --help`: CPU", "s", digits=2),
    Row("help.wall", "`ironmesh --help`: time", "s", digits=2),
    Row("start.cpu", "node up, keys exist: CPU", "s", digits=2),
    Row("start.wall", "node up, keys exist: time", "s", digits=2),
    Row("idle.memory", "idle memory", "MB", digits=1),
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


def _processor_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else ""

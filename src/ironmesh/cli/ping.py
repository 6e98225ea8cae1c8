"""`ironmesh ping`."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Final

import click

from ironmesh.cli.options import NumberRange, connect, node_options
from ironmesh.cli.output import print_json, who
from ironmesh.control.api import PingView
from ironmesh.control.client import ControlClient

EXIT_SILENT: Final = 1
MAX_TIMEOUT_S: Final = 20.0


@click.command("ping")
@click.argument("peer")
@click.option("--count", type=click.IntRange(1, 10_000), default=4, show_default=True)
@click.option(
    "--interval",
    "interval_s",
    type=NumberRange(0.2),
    default=1.0,
    show_default=True,
    help="Seconds between two.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=NumberRange(0.1, MAX_TIMEOUT_S),
    default=5.0,
    show_default=True,
    help="Seconds that each answer may take.",
)
@node_options
def ping_command(
    peer: str,
    count: int,
    interval_s: float,
    timeout_s: float,
    name: str | None,
    home: Path,
    *,
    as_json: bool,
) -> int:
    """Measure the way to PEER (a name or node id) and back, over the session that is up.

    Ends with exit code 1 if no answer comes.
    """
    answers: list[PingView] = []
    with connect(home, name) as node:
        for number in range(count):
            if number:
                time.sleep(interval_s)
            answers.append(_ping(node, peer, timeout_s))
            if not as_json:
                click.echo(_line(answers[-1]))
    times = [answer.rtt_ms for answer in answers if answer.rtt_ms is not None]
    if as_json:
        print_json({"peer": answers[0].node_id, "sent": count, "answered": len(times), **_of(times),
                    "rtt_ms": [answer.rtt_ms for answer in answers]})  # fmt: skip
    else:
        click.echo(f"{count} sent, {len(times)} answered{_summary(times)}")
    return 0 if times else EXIT_SILENT


def _ping(node: ControlClient, peer: str, timeout_s: float) -> PingView:
    answer: PingView = node.call("ping", target=peer, timeout_s=timeout_s)
    return answer


def _line(answer: PingView) -> str:
    came = "no answer" if answer.rtt_ms is None else f"{answer.rtt_ms:.2f} ms"
    return f"{who(answer.name, answer.node_id)} at {answer.address}: {came}"


def _of(times: list[float]) -> dict[str, float | None]:
    if not times:
        return {"min_ms": None, "avg_ms": None, "max_ms": None}
    return {
        "min_ms": min(times),
        "avg_ms": round(statistics.fmean(times), 3),
        "max_ms": max(times),
    }


def _summary(times: list[float]) -> str:
    if not times:
        return ""
    return f"; min/avg/max {min(times):.2f}/{statistics.fmean(times):.2f}/{max(times):.2f} ms"

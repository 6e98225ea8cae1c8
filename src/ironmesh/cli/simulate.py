"""`ironmesh simulate`."""

from __future__ import annotations

import gc
import sys
import time
from pathlib import Path
from typing import Any, Final

import click

from ironmesh.cli.options import HomePath, NumberRange
from ironmesh.cli.output import print_json, size
from ironmesh.sim.picture import draw
from ironmesh.sim.scenario import Report, Run, Scenario
from ironmesh.sim.topology import DEGREE, SHAPES

EXIT_NOT_ROUTED: Final = 1
MAX_NODES: Final = 5000
_PATIENCE_S: Final = 1.0
_ERASE: Final = "\r\x1b[K"


class Share(click.ParamType[float]):
    """A share of something: `5%`, or `0.05`.

    Args:
        may_be_all: 100% is allowed as well.
    """

    name = "share"

    def __init__(self, *, may_be_all: bool = False) -> None:
        self._may_be_all = may_be_all

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        text = str(value).strip()
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            share = -1.0
        if not (0 <= share < 1 or (share == 1 and self._may_be_all)):
            self.fail(f"{text!r} is no share: write 5% or 0.05", param, ctx)
        return share


@click.command("simulate")
@click.option("--nodes", type=click.IntRange(2, MAX_NODES), default=200, show_default=True)
@click.option("--topology", type=click.Choice(list(SHAPES)), default="geometric", show_default=True)
@click.option(
    "--degree",
    type=NumberRange(1, 64),
    default=DEGREE,
    show_default=True,
    help="Links of a node, on average, where the topology leaves it open.",
)
@click.option(
    "--loss", type=Share(), default=0.0, help="Share of packets that links lose, such as 5%."
)
@click.option(
    "--failing",
    type=Share(),
    default=0.1,
    help="Share of nodes that stop at once.  [default: 10%]",
)
@click.option(
    "--vanishing",
    type=Share(may_be_all=True),
    default=0.5,
    help="Share of these that vanish as a host without power; the others end as a process does.  "
    "[default: 50%]",
)
@click.option(
    "--delay",
    "slowest_ms",
    type=NumberRange(1, 10_000),
    default=10.0,
    show_default=True,
    help="Milliseconds that the slowest link takes; the fastest takes 1.",
)
@click.option(
    "--rest",
    "rest_s",
    type=NumberRange(0, 86_400),
    default=600.0,
    show_default=True,
    help="Seconds in which it comes to rest, and as many in which its traffic is counted; "
    "0 = nodes stop as soon as it has started.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="One seed, one run.")
@click.option("--plot", type=HomePath(), help="Write a picture of the mesh (SVG) to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def simulate_command(
    nodes: int,
    topology: str,
    degree: float,
    loss: float,
    failing: float,
    vanishing: float,
    slowest_ms: float,
    rest_s: float,
    seed: int,
    plot: Path | None,
    *,
    as_json: bool,
) -> int:
    """Try a mesh out before it is built: the routers of many nodes under a virtual clock.

    It starts, rests, loses some of its nodes at once, and is repaired. No network is touched.
    Ends with exit code 1 if a connected pair of nodes is left without a way.
    """
    if plot is not None:
        plot.open("ab").close()  # a run may take hours: what cannot be written is said before
    run = Run(
        Scenario(
            nodes=nodes,
            topology=topology,
            degree=degree,
            loss=loss,
            failing=failing,
            vanishing=vanishing,
            slowest_s=slowest_ms / 1000,
            settle_s=rest_s,
            rest_s=rest_s,
            seed=seed,
        )
    )
    _watch(run)
    report = run.report()
    if as_json:
        print_json(report)
    else:
        click.echo("\n".join(_lines(report)))
    if plot is not None:
        weights = run.sent_before if run.rest_rates is None else run.rest_rates
        picture = draw(run.mesh.topology, weights, run.failed, _caption(report))
        plot.write_text(picture, encoding="utf-8")
    return EXIT_NOT_ROUTED if None in (report.converged_s, report.repaired_s) else 0


def _watch(run: Run) -> None:
    """Go through the run; say on a terminal how far it is.

    It makes millions of small things that live to its end: looking for garbage only costs time,
    then and when the process ends.
    """
    start = time.monotonic()
    shows = sys.stderr is not None and sys.stderr.isatty()
    gc.disable()
    try:
        for what in run.steps():
            if shows and time.monotonic() - start > _PATIENCE_S:
                sys.stderr.write(f"{_ERASE}{what}")
                sys.stderr.flush()
    finally:
        gc.freeze()
        gc.enable()
    if shows:
        sys.stderr.write(_ERASE)
        sys.stderr.flush()


def _lines(report: Report) -> list[str]:
    rows = {
        "mesh": f"{report.nodes} nodes, {report.links} links, {report.topology}",
        "links": f"{report.degree} a node; the longest way has {report.diameter_hops} hops",
        "start": f"every pair has a way {_after(report.converged_s)}; {size(report.start_bytes)} "
        "a node",
        **_rest(report),
        "failure": f"{report.failed} nodes stop at once, {report.vanished} of them in silence; "
        f"{size(report.repair_bytes)} a node",
        "repair": f"every pair has a way again {_after(report.repaired_s)}",
        "meanwhile": f"{report.delivered_in_repair:.1%} delivered at the first try, in 10 s",
        "circles": f"none, looked for {report.loop_checks} times",
    }
    return [f"{name:<10} {text}" for name, text in rows.items()]


def _rest(report: Report) -> dict[str, str]:
    rate, busiest = report.rest_bytes_per_s, report.busiest_bytes_per_s
    if rate is None or busiest is None or report.delivered_at_rest is None:
        return {}
    return {
        "at rest": f"{rate:.0f} bytes/s a node, {busiest:.0f} at the busiest",
        "delivered": f"{report.delivered_at_rest:.1%} at the first try",
    }


def _after(seconds: float | None) -> str:
    return "not within 2 minutes" if seconds is None else f"after {seconds:.1f} s"


def _caption(report: Report) -> list[str]:
    mesh = f"{report.nodes} nodes, {report.links} links, {report.topology}, seed {report.seed}"
    start = f"every pair has a way {_after(report.converged_s)}"
    failure = f"{report.failed} nodes (red) stop at once: repaired {_after(report.repaired_s)}"
    rate = report.rest_bytes_per_s
    rest = "" if rate is None else f"; at rest {rate:.0f} bytes/s a node"
    return [f"{mesh}: {start}", f"{failure}{rest}"]

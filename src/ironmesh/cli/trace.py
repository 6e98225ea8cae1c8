"""`ironmesh trace`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from ironmesh.cli.options import NumberRange, connect, node_options
from ironmesh.cli.output import print_json, who
from ironmesh.cli.progress import working
from ironmesh.control.mesh_views import HopView, TraceView

EXIT_LOST: Final = 1
MAX_TIMEOUT_S: Final = 20.0

_OUTCOMES: Final = {
    "arrived": "",
    "passed_on": "",
    "no_route": "knows no route any further",
    "hop_limit": "may not hand it on any more",
    "does_not_relay": "does not relay",
}


@click.command("trace")
@click.argument("peer")
@click.option(
    "--timeout",
    "timeout_s",
    type=NumberRange(0.1, MAX_TIMEOUT_S),
    default=5.0,
    show_default=True,
    help="Seconds that all answers may take.",
)
@node_options
def trace_command(
    peer: str, timeout_s: float, name: str | None, home: Path, *, as_json: bool
) -> int:
    """Show who is on the way to PEER (a name or node id), and how long each takes to answer.

    Every node answers for itself, back along the way; one on the way could lie about those behind
    it. Ends with exit code 1 if PEER does not answer.
    """
    with connect(home, name) as node, working(f"asking those on the way to {peer}"):
        traced: TraceView = node.call("trace", target=peer, timeout_s=timeout_s)
    if as_json:
        print_json(traced)
    else:
        for hop in traced.hops:
            click.echo(_line(hop))
        if not traced.has_arrived:
            click.echo(f"{who(traced.name, traced.node_id)} did not answer")
    return 0 if traced.has_arrived else EXIT_LOST


def _line(hop: HopView) -> str:
    said = _OUTCOMES.get(hop.outcome, hop.outcome)
    line = f"{hop.hop:>3}  {who(hop.name, hop.node_id)}: {hop.rtt_ms:.2f} ms"
    return f"{line}, {said}" if said else line

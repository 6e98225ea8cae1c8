"""`ironmesh routes`."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Final

import click

from ironmesh.cli.options import connect, node_options
from ironmesh.cli.output import SHORT_ID, Column, print_json, print_table
from ironmesh.control.client import ControlClient
from ironmesh.control.mesh_views import NextHopView, RouteView
from ironmesh.types import WireKind

WATCH_S: Final = 2.0

_COLUMNS: Final = (
    Column("NAME", is_flexible=True),
    Column("NODE ID"),
    Column("HOPS"),
    Column("METRIC"),
    Column("BY", is_flexible=True),
    Column("BACKUPS", is_flexible=True),
)
_CLEAR: Final = "\x1b[2J\x1b[H"


@click.command("routes")
@click.option("--watch", is_flag=True, help="Show them anew every two seconds, until Ctrl-C.")
@node_options
def routes_command(name: str | None, home: Path, *, watch: bool, as_json: bool) -> None:
    """Show how each node of the mesh is reached: over which peer, and which could take over.

    The metric grows with delay, loss and radio; a hop on a LAN is about 64.
    """
    with connect(home, name) as node, contextlib.suppress(KeyboardInterrupt):
        _show(node, as_json=as_json)
        while watch:
            time.sleep(WATCH_S)
            if not as_json:
                click.echo(_CLEAR, nl=False)
            _show(node, as_json=as_json)


def _show(node: ControlClient, *, as_json: bool) -> None:
    routes: list[RouteView] = node.call("routes")
    if as_json:
        print_json(routes)
    elif routes:
        print_table(_COLUMNS, [_row(route) for route in routes])
    else:
        click.echo("no routes: no peer of ours is online, or --mesh-routing is off")


def _row(route: RouteView) -> tuple[str, ...]:
    return (
        route.name or "-",
        route.node_id,
        str(route.hops),
        _metric(route),
        "direct" if route.hops == 1 else _name(route.next_hop),
        ", ".join(map(_name, route.backups)) or "-",
    )


def _metric(route: RouteView) -> str:
    if route.wire == WireKind.LEGACY:
        return "legacy"
    return f"{route.metric}{' radio' if route.is_radio else ''}"


def _name(hop: NextHopView) -> str:
    return hop.name or hop.node_id[:SHORT_ID]

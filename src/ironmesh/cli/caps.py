"""`ironmesh caps`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from ironmesh.cli.options import connect, node_options
from ironmesh.cli.output import Column, print_json, print_table
from ironmesh.control.mesh_views import CapabilityView

_COLUMNS: Final = (
    Column("CAPABILITY", is_flexible=True),
    Column("NAME", is_flexible=True),
    Column("NODE ID"),
    Column("HOPS"),
)


@click.command("caps")
@click.argument("glob", default="*")
@node_options
def caps_command(glob: str, name: str | None, home: Path, *, as_json: bool) -> None:
    """Show what this node and the others of the mesh can do; with GLOB, such as 'llm:*', some."""
    with connect(home, name) as node:
        found: list[CapabilityView] = node.call("capabilities", pattern=glob)
    if as_json:
        print_json(found)
    elif not found:
        click.echo(f"nobody has a capability like {glob!r}")
    else:
        print_table(_COLUMNS, [_row(view) for view in found])


def _row(view: CapabilityView) -> tuple[str, ...]:
    hops = "?" if view.hops is None else "this node" if view.hops == 0 else str(view.hops)
    return view.capability, view.name or "-", view.node_id, hops

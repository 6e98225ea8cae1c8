"""`ironmesh map`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from ironmesh.cli.map_picture import as_dot, as_svg
from ironmesh.cli.options import HomePath, connect, node_options
from ironmesh.cli.output import clean, print_json
from ironmesh.cli.progress import working
from ironmesh.control.mesh_views import MapView
from ironmesh.types import NodeId

_FORMATS: Final = {"dot": as_dot, "svg": as_svg}


@click.command("map")
@click.option("--dot", "form", flag_value="dot", help="Print it for Graphviz.")
@click.option("--svg", "form", flag_value="svg", help="Print it as a picture.")
@click.option("--output", "target", type=HomePath(), help="Write to this file instead.")
@node_options
def map_command(
    form: str | None,
    target: Path | None,
    name: str | None,
    home: Path,
    *,
    as_json: bool,
) -> None:
    """Draw the mesh as a running node sees it: every node, and one way to each.

    Those on the way are asked who they are. Where one does not answer, the line is dashed.
    """
    with connect(home, name) as node, working("asking who is on the way"):
        view: MapView = node.call("map")
    if as_json:
        print_json(view)
        return
    text = _tree(view) if form is None else _FORMATS[form](view)
    if target is None:
        click.echo(text)
    else:
        target.write_text(text + "\n", encoding="utf-8")


def _tree(view: MapView) -> str:
    """Return the map as an indented list."""
    names = {node.node_id: clean(node.name) or node.node_id[:8] for node in view.nodes}
    below: dict[NodeId, list[NodeId]] = {}
    dashed = set()
    for edge in view.edges:
        below.setdefault(edge.near, []).append(edge.far)
        if not edge.is_known:
            dashed.add(edge.far)
    lines: list[str] = []
    seen: set[NodeId] = set()

    def show(node_id: NodeId, depth: int) -> None:
        if node_id in seen:
            return
        seen.add(node_id)
        mark = " (others may be between)" if node_id in dashed else ""
        lines.append(f"{'  ' * depth}{names[node_id]}{mark}")
        for far in sorted(below.get(node_id, ()), key=lambda each: names[each]):
            show(far, depth + 1)

    show(view.nodes[0].node_id, 0)
    return "\n".join(lines)

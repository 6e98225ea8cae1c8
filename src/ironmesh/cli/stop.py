"""`ironmesh stop`."""

from __future__ import annotations

from pathlib import Path

import click

from ironmesh.cli.nodes import running_node
from ironmesh.cli.options import node_options
from ironmesh.cli.output import print_json
from ironmesh.cli.progress import working
from ironmesh.control.client import ControlClient
from ironmesh.store.node_lock import wait_released


@click.command("stop")
@click.option(
    "--timeout", "timeout_s", default=10.0, show_default=True, help="Seconds to wait at most."
)
@node_options
def stop_command(timeout_s: float, name: str | None, home: Path, *, as_json: bool) -> None:
    """Stop a running node, and wait until it has ended."""
    node = running_node(home, name)
    with ControlClient.connect(node.path) as client:
        client.call("stop")
    with working(f"waiting for {node.name} to end"):
        wait_released(home / "nodes" / node.name, timeout_s)
    if as_json:
        print_json({"name": node.name, "stopped": True})
    else:
        click.echo(f"{node.name} has stopped")

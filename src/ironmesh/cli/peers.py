"""`ironmesh peers`."""

from __future__ import annotations

from pathlib import Path

import click

from ironmesh.cli.options import connect, node_options
from ironmesh.cli.output import SHORT_ID, Column, print_json, print_table
from ironmesh.control.api import PeerView
from ironmesh.control.health import is_legacy_marked

_COLUMNS = (
    Column("NAME", is_flexible=True),
    Column("NODE ID"),
    Column("ADDRESS", is_flexible=True),
    Column("LINK"),
)


@click.command("peers")
@node_options
def peers_command(name: str | None, home: Path, *, as_json: bool) -> None:
    """Show the peers of a running node: direct ones, those behind others, those offline."""
    with connect(home, name) as node:
        peers: list[PeerView] = node.call("peers")
    if as_json:
        print_json(peers)
    elif not peers:
        click.echo("no peers yet")
    else:
        print_table(
            _COLUMNS,
            [(peer.name, peer.node_id, _address(peer, peers), _link(peer)) for peer in peers],
        )


def _address(peer: PeerView, peers: list[PeerView]) -> str:
    if peer.via is None:
        return peer.address
    names = {each.node_id: each.name for each in peers}
    return f"over {names.get(peer.via) or peer.via[:SHORT_ID]}"


def _link(peer: PeerView) -> str:
    if not peer.is_online:
        return "offline"
    if peer.hops > 1:
        return f"{peer.hops} hops"
    rtt = "" if peer.rtt_ms is None else f" {peer.rtt_ms:.0f}ms"
    return peer.direction + rtt + (" legacy" if is_legacy_marked(peer) else "")

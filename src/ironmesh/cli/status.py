"""`ironmesh status`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import click

from ironmesh.cli.nodes import running_node
from ironmesh.cli.options import node_options
from ironmesh.cli.output import Column, age, clean, duration, level_word, print_json, print_table
from ironmesh.control.api import NodeState, OutboxView, PeerView
from ironmesh.control.client import ControlClient
from ironmesh.control.health import HealthLine, Level, health, is_legacy_marked
from ironmesh.errors import NotRunningError

EXIT_NOT_RUNNING: Final = 1

_COLUMNS: Final = (
    Column("NAME", is_flexible=True),
    Column("NODE ID"),
    Column("STATE"),
    Column("RTT"),
    Column("SENT"),
    Column("GOT"),
    Column("SINCE"),
)


@click.command("status")
@node_options
def status_command(name: str | None, home: Path, *, as_json: bool) -> int:
    """Show how a node is: first what needs a person, then its peers.

    Ends with exit code 1 if the node does not run.
    """
    try:
        path = running_node(home, name).path
    except NotRunningError as error:
        return _tell_stopped(error, as_json=as_json)
    with ControlClient.connect(path) as node:
        state: NodeState = node.call("state")
        peers: list[PeerView] = node.call("peers")
        waiting: list[OutboxView] = node.call("outbox_list")
    lines = health(state, peers, waiting)
    if as_json:
        print_json({"is_running": True, "health": lines, "state": state, "peers": peers})
        return 0
    click.echo(
        f"{state.name} is running for {duration(state.uptime_s)}"
        f" (process {state.pid}, version {state.version})"
    )
    click.echo(f"node id {state.node_id}")
    for line in lines:
        click.echo(f"{level_word(line.level)} {clean(line.text)}")
    if peers:
        click.echo()
        print_table(_COLUMNS, [_row(peer, time.time()) for peer in peers])
    return 0


def _tell_stopped(error: NotRunningError, *, as_json: bool) -> int:
    if as_json:
        line = HealthLine("running", Level.FAIL, f"{error.what}: {error.fix}")
        print_json({"is_running": False, "health": [line], "state": None, "peers": []})
    else:
        click.echo(f"{level_word(Level.FAIL)} {clean(error.what)}")
        click.echo(f"     {clean(error.fix)}, or look for the cause with: ironmesh doctor")
    return EXIT_NOT_RUNNING


def _row(peer: PeerView, now: float) -> list[Any]:
    state = "legacy" if is_legacy_marked(peer) else "online" if peer.is_online else "offline"
    if peer.hops > 1:
        state = f"{peer.hops} hops"
    return [
        peer.name,
        peer.node_id,
        state,
        "-" if peer.rtt_ms is None else f"{peer.rtt_ms:.1f}ms",
        str(peer.messages_sent),
        str(peer.messages_received),
        "-" if peer.connected_at is None else age(peer.connected_at, now),
    ]

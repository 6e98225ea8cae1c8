"""`ironmesh history`: what was sent and what arrived; without a running node, from its files."""

from __future__ import annotations

import time
from typing import Any, Final

import click

from ironmesh.cli.durations import Duration
from ironmesh.cli.offline import ask, message_options
from ironmesh.cli.output import Column, age, print_json, print_table, size
from ironmesh.control.api import MAX_LIST, Direction, HistoryView
from ironmesh.types import MessageType

DEFAULT_LIMIT: Final = 50

_COLUMNS: Final = (
    Column("AGE"),
    Column("MESSAGE", is_flexible=True),
    Column("SIZE"),
    Column("STATE"),
    Column("ID"),
)


@click.command("history")
@click.argument("peer", required=False)
@click.option("--since", type=Duration(), metavar="TIME", help="Only this long ago: 10m, 1h, 2d.")
@click.option("--direction", type=click.Choice(["sent", "received"]), help="Only this direction.")
@click.option(
    "--limit",
    type=click.IntRange(1, MAX_LIST),
    default=DEFAULT_LIMIT,
    show_default=True,
    help="Rows.",
)
@message_options
def history_command(
    peer: str | None,
    since: float | None,
    direction: Direction | None,
    limit: int,
    *,
    as_json: bool,
    **options: Any,
) -> None:
    """Show what was sent and what arrived, the newest first; with PEER, what concerns it."""
    now = time.time()
    found: list[HistoryView] = ask(
        options,
        "history",
        peer=peer,
        direction=direction,
        since=0.0 if since is None else now - since,
        limit=limit,
    )
    if as_json:
        print_json(found)
    elif not found:
        click.echo("no messages")
    else:
        print_table(_COLUMNS, [_row(view, now) for view in found])


def _row(view: HistoryView, now: float) -> tuple[str, ...]:
    way = "to" if view.direction == "sent" else "from"
    label = f"{way} {view.name or view.node_id}"
    if view.type != MessageType.MSG:
        label = f"{label} [{view.type}]"
    return age(view.at, now), label, size(view.size_bytes), view.state, view.id

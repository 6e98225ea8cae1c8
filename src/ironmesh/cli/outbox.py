"""`ironmesh outbox`: what waits to be delivered; without a running node, from its files."""

from __future__ import annotations

import time
from typing import Any, Final

import click
import msgspec

from ironmesh.cli.offline import ask, ask_running, message_options
from ironmesh.cli.output import (
    Column,
    age,
    clean,
    local_time,
    print_json,
    print_table,
    size,
    who,
)
from ironmesh.control.api import MAX_LIST, OutboxDetail, OutboxView
from ironmesh.errors import NotRunningError

_COLUMNS: Final = (
    Column("ID"),
    Column("TO", is_flexible=True),
    Column("STATE"),
    Column("SIZE"),
    Column("AGE"),
    Column("LEFT"),
)


@click.group("outbox")
def outbox_group() -> None:
    """See and change what waits to be delivered."""


@outbox_group.command("list")
@click.argument("peer", required=False)
@click.option(
    "--limit", type=click.IntRange(1, MAX_LIST), default=1000, show_default=True, help="Rows."
)
@message_options
def list_command(peer: str | None, limit: int, *, as_json: bool, **options: Any) -> None:
    """Show what has not ended, the oldest first; with PEER, a name or node id, what is for it."""
    found: list[OutboxView] = ask(options, "outbox_list", peer=peer, limit=limit)
    if as_json:
        print_json(found)
        return
    if not found:
        click.echo("nothing waits")
        return
    now = time.time()
    print_table(_COLUMNS, [_row(view, now) for view in found])
    if len(found) == limit:
        click.echo(f"the first {limit}; see more with --limit", err=True)


@outbox_group.command("show")
@click.argument("message", metavar="ID")
@message_options
def show_command(message: str, *, as_json: bool, **options: Any) -> None:
    """Show a message, ended or not; of its ID the beginning is enough, where that is unique."""
    detail: OutboxDetail = ask(options, "outbox_show", message=message)
    if as_json:
        shown: dict[str, Any] = msgspec.to_builtins(detail)
        print_json(shown if detail.text is None else shown | {"text": detail.text})
        return
    lines = {
        "Id": detail.id,
        "To": f"{clean(detail.name) or '(unnamed)'} {detail.node_id}",
        "State": _state(detail),
        "Type": clean(detail.type),
        "Priority": detail.priority.value,
        "Size": size(detail.size_bytes),
        "Accepted": local_time(detail.accepted_at),
        "Attempts": str(detail.attempts),
    }
    if detail.ended_at is None:
        lines["Expires"] = local_time(detail.expires_at)
    else:
        lines["Ended"] = local_time(detail.ended_at)
    for title, value in lines.items():
        click.echo(f"{title + ':':<10}{value}")
    click.echo()
    if detail.text is None:
        click.echo("(not text; see --json)")
    else:
        click.echo("\n".join(clean(line) for line in detail.text.splitlines()))


@outbox_group.command("retry")
@click.argument("messages", metavar="ID...", nargs=-1, required=True)
@message_options
def retry_command(messages: tuple[str, ...], *, as_json: bool, **options: Any) -> None:
    """Let messages go again now, whatever they wait for."""
    _tell("trying", _change(options, "outbox_retry", messages), as_json=as_json)


@outbox_group.command("cancel")
@click.argument("messages", metavar="ID...", nargs=-1, required=True)
@message_options
def cancel_command(messages: tuple[str, ...], *, as_json: bool, **options: Any) -> None:
    """Take messages back; one that is on its way at this moment may still arrive."""
    _tell("cancelled", _change(options, "outbox_cancel", messages), as_json=as_json)


def _change(options: dict[str, Any], call: str, messages: tuple[str, ...]) -> list[OutboxView]:
    try:
        return [ask_running(options, call, message=message) for message in messages]
    except NotRunningError as error:
        what = f"{error.what}, and only a running node can do that"
        raise NotRunningError(what, error.fix) from error


def _tell(done: str, views: list[OutboxView], *, as_json: bool) -> None:
    if as_json:
        print_json(views)
        return
    for view in views:
        click.echo(f"{done} {view.id} to {who(view.name, view.node_id)}")


def _row(view: OutboxView, now: float) -> tuple[str, ...]:
    to = view.name or view.node_id
    return (
        view.id,
        to,
        view.state,
        size(view.size_bytes),
        age(view.accepted_at, now),
        _left(view.expires_at, now),
    )


def _left(expires_at: float, now: float) -> str:
    if expires_at <= now:
        return "over"
    left = age(now, expires_at)
    return "<1m" if left == "now" else left


def _state(view: OutboxView) -> str:
    return f"{view.state} ({clean(view.reason)})" if view.reason else view.state

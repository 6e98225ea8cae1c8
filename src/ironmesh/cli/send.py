"""`ironmesh send`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from ironmesh.cli.durations import Duration
from ironmesh.cli.options import connect, node_options
from ironmesh.cli.output import clean, print_json, who
from ironmesh.cli.progress import working
from ironmesh.control.api import SentView
from ironmesh.control.client import CALL_TIMEOUT_S
from ironmesh.delivery.records import DEFAULT_LIFETIME_S, OutboxState
from ironmesh.errors import MessageTooLargeError, NotDeliveredError, NotYetDeliveredError
from ironmesh.types import MessagePriority, MessageType

MAX_PAYLOAD_BYTES: Final = 16 * 1024 * 1024
"""What fits a line of the control protocol; the wire may take less."""
GOOD_ENDS: Final = frozenset({OutboxState.DELIVERED, OutboxState.SENT})
"""`sent` is the best that a published node allows."""


@click.command("send")
@click.argument("peer")
@click.argument("text")
@click.option("--type", "msg_type", default=MessageType.MSG.value, show_default=True)
@click.option(
    "--priority",
    type=click.Choice([priority.value for priority in MessagePriority], case_sensitive=False),
    default=MessagePriority.NORMAL.value,
    show_default=True,
)
@click.option("--wait", is_flag=True, help="Wait for the end; exit code 0 only if it is good.")
@click.option(
    "--timeout",
    type=Duration(),
    default="30s",
    show_default=True,
    metavar="TIME",
    help="With --wait: how long; the message goes on.",
)
@click.option("--ttl", type=Duration(), metavar="TIME", help="Give it up after so long.  [24h]")
@click.option("--live", is_flag=True, help="Over the session that is up now, or not at all.")
@node_options
def send_command(
    peer: str,
    text: str,
    msg_type: str,
    priority: str,
    timeout: float,
    ttl: float | None,
    name: str | None,
    home: Path,
    *,
    wait: bool,
    live: bool,
    as_json: bool,
) -> int:
    """Send TEXT to PEER, a name or node id; `-` sends standard input, byte for byte.

    TIME is in seconds, or as 30s, 10m, 1h, 2d.
    """
    if live and (wait or ttl is not None):
        raise click.UsageError("--live goes at once and is not confirmed: no --wait, no --ttl")
    payload = _standard_input() if text == "-" else text.encode("utf-8", "surrogateescape")
    patience_s = timeout if wait else 0.0
    with connect(home, name) as node, working(f"waiting for {clean(peer)}"):
        sent: SentView = node.call(
            "send",
            patience_s + CALL_TIMEOUT_S,
            target=peer,
            payload=payload,
            msg_type=msg_type,
            priority=MessagePriority(priority.upper()),
            ttl_s=DEFAULT_LIFETIME_S if ttl is None else ttl,
            is_durable=not live,
            wait_s=patience_s if wait else None,
        )
    target = peer if peer == sent.node_id else who(peer, sent.node_id)
    if as_json:
        print_json(sent)
        return 0 if not wait or sent.state in GOOD_ENDS else 1
    if wait:
        _check_end(sent, target, timeout)
    click.echo(f"{sent.state} {sent.id} to {target}")
    if wait and sent.state == OutboxState.SENT:
        click.echo(f"note: {target} cannot confirm that it arrived", err=True)
    return 0


def _check_end(sent: SentView, target: str, timeout_s: float) -> None:
    """Raise unless the message ended well.

    Raises:
        NotDeliveredError: it ended otherwise.
        NotYetDeliveredError: it has not ended.
    """
    if sent.state in GOOD_ENDS:
        return
    why = f" ({clean(sent.reason)})" if sent.reason else ""
    if OutboxState(sent.state).is_end:
        raise NotDeliveredError(
            f"{sent.id} to {target} was not delivered: {sent.state}{why}", "send a new one"
        )
    raise NotYetDeliveredError(
        f"{sent.id} to {target} is {sent.state}{why} after {timeout_s:g} s and goes on",
        f"see: ironmesh outbox show {sent.id}",
    )


def _standard_input() -> bytes:
    payload = sys.stdin.buffer.read(MAX_PAYLOAD_BYTES + 1)
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise MessageTooLargeError(
            f"the message is longer than {MAX_PAYLOAD_BYTES} bytes", "send it in parts"
        )
    return payload

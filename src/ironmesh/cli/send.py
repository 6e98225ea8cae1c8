"""`ironmesh send`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from ironmesh.cli.options import connect, node_options
from ironmesh.cli.output import print_json, who
from ironmesh.control.api import SentView
from ironmesh.errors import MessageTooLargeError
from ironmesh.types import MessagePriority, MessageType

MAX_PAYLOAD_BYTES: Final = 16 * 1024 * 1024
"""What fits a line of the control protocol; the wire may take less."""


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
@node_options
def send_command(
    peer: str,
    text: str,
    msg_type: str,
    priority: str,
    name: str | None,
    home: Path,
    *,
    as_json: bool,
) -> None:
    """Send TEXT to PEER, a name or node id; `-` sends standard input, byte for byte."""
    payload = _standard_input() if text == "-" else text.encode("utf-8", "surrogateescape")
    with connect(home, name) as node:
        sent: SentView = node.call(
            "send",
            target=peer,
            payload=payload,
            msg_type=msg_type,
            priority=MessagePriority(priority.upper()),
        )
    if as_json:
        print_json(sent)
    else:
        target = peer if peer == sent.node_id else who(peer, sent.node_id)
        click.echo(f"{sent.state} {sent.id} to {target}")


def _standard_input() -> bytes:
    payload = sys.stdin.buffer.read(MAX_PAYLOAD_BYTES + 1)
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise MessageTooLargeError(
            f"the message is longer than {MAX_PAYLOAD_BYTES} bytes", "send it in parts"
        )
    return payload

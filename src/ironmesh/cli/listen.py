"""`ironmesh listen`: what arrives, printed, or handed to a command that may answer."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from ironmesh.cli.options import connect, node_options
from ironmesh.cli.output import clean, print_json, warn, who
from ironmesh.control.api import MessageEvent, MissedEvent, OperatorEvent
from ironmesh.control.client import ControlClient
from ironmesh.errors import ControlError, NotRunningError
from ironmesh.types import MessageType

REPLY_TYPES: Final = {MessageType.REQ.value: MessageType.RESP.value}
"""What a reply is, where it is not MSG."""


@click.command("listen")
@click.option("--from", "source", help="Only messages of this peer: a name or node id.")
@click.option("--type", "msg_type", help="Only messages of this type.")
@click.option("--count", type=click.IntRange(1), help="End after so many messages.")
@click.option(
    "--exec",
    "command",
    metavar="CMD",
    help="Run CMD for each message, one after the other; what it prints is the reply.",
)
@node_options
def listen_command(
    source: str | None,
    msg_type: str | None,
    count: int | None,
    command: str | None,
    name: str | None,
    home: Path,
    *,
    as_json: bool,
) -> None:
    """Print what arrives at a running node, until it stops or Ctrl-C.

    CMD gets the payload on standard input, and IRONMESH_FROM (node id), IRONMESH_FROM_NAME,
    IRONMESH_MESSAGE_ID and IRONMESH_MESSAGE_TYPE in its environment.
    """
    with contextlib.ExitStack() as stack:
        events = stack.enter_context(connect(home, name)).events()
        replies = stack.enter_context(connect(home, name)) if command else None
        click.echo("listening; Ctrl-C ends", err=True)
        for message in _messages(events, source, msg_type):
            if as_json:
                print_json(as_shown(message))
            elif command is None:
                click.echo(as_line(message))
            if command is not None and replies is not None:
                _answer(replies, command, message)
            count = None if count is None else count - 1
            if count == 0:
                return
    raise NotRunningError("the node stopped", "start it again to go on listening")


def as_shown(message: MessageEvent) -> dict[str, Any]:
    """Return a message for `--json`: its fields, and `text` where the payload is UTF-8."""
    shown: dict[str, Any] = msgspec.to_builtins(message)
    return shown if message.text is None else shown | {"text": message.text}


def as_line(message: MessageEvent) -> str:
    """Return a message for a person; only the first line can look like a message."""
    name = clean(message.source_name) or message.source[:8]
    label = name if message.type == MessageType.MSG else f"{name} [{clean(message.type)}]"
    if message.text is None:
        return f"{label}: ({len(message.payload)} bytes, not text)"
    first, *others = message.text.splitlines() or [""]
    return "\n".join([f"{label}: {clean(first)}", *(f"    {clean(line)}" for line in others)])


def _messages(
    events: Iterator[OperatorEvent], source: str | None, msg_type: str | None
) -> Iterator[MessageEvent]:
    for event in events:
        if isinstance(event, MissedEvent):
            warn(f"too slow: {event.count} events were missed here")
        if not isinstance(event, MessageEvent):
            continue
        is_wanted_source = source is None or source in {event.source_name, event.source}
        if is_wanted_source and msg_type in {None, event.type}:
            yield event


def _answer(replies: ControlClient, command: str, message: MessageEvent) -> None:
    """Run the operator's command on a message and send back what it prints."""
    environment = os.environ | {
        "IRONMESH_FROM": message.source,
        "IRONMESH_FROM_NAME": clean(message.source_name),
        "IRONMESH_MESSAGE_ID": message.id,
        "IRONMESH_MESSAGE_TYPE": clean(message.type),
    }
    # The operator wrote the command line; what a peer wrote reaches it on standard input only.
    done = subprocess.run(  # noqa: S602
        command,
        shell=True,
        input=message.payload,
        stdout=subprocess.PIPE,
        env=environment,
        check=False,
    )
    if done.returncode != 0:
        warn(f"the command ended with exit code {done.returncode}; nothing was replied")
        return
    if not done.stdout:
        return
    try:
        replies.call(
            "send",
            target=message.source,
            payload=done.stdout,
            msg_type=REPLY_TYPES.get(message.type, MessageType.MSG.value),
        )
    except ControlError as error:
        warn(f"the reply to {who(message.source_name, message.source)} was not accepted: {error}")

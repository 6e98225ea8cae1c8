"""`ironmesh trust`: asks the running node; without one, works on its files."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import click

from ironmesh.cli.nodes import only_node, running_node
from ironmesh.cli.options import json_option
from ironmesh.cli.output import Column, age, clean, local_time, print_json, print_table, warn, who
from ironmesh.cli.passphrase import node_passphrases
from ironmesh.cli.setting_flags import asked_name, setting_flags, settings_of
from ironmesh.control.api import PinView
from ironmesh.control.client import ControlClient
from ironmesh.errors import NotBuiltError, NotRunningError, TrustError
from ironmesh.settings.node import node_config
from ironmesh.settings.resolve import Settings
from ironmesh.trust.fingerprint import digits_of, words_of
from ironmesh.types import NodeId

Function = TypeVar("Function", bound=Callable[..., Any])

_COLUMNS: Final = (
    Column("NODE ID"),
    Column("NAME", is_flexible=True),
    Column("STATE"),
    Column("WIRE"),
    Column("LAST"),
)
_WIRES: Final = {
    "native": "native, and nothing less is accepted",
    "legacy": "legacy (0.8)",
    "": "(not kept)",
}
_CAPABILITIES: Final = Column("CAPABILITIES", is_flexible=True)


_node_flags: Final = setting_flags(
    "name",
    "home",
    "passphrase_file",
    "keys_passphrase_file",
    "keys_path",
    "trust_path",
    "audit_path",
)


def _node_options(function: Function) -> Function:
    """Add what says whose pins, and opens the files of a node that is stopped."""
    return _node_flags(json_option(function))


@click.group("trust")
def trust_group() -> None:
    """See and change who is trusted."""


@trust_group.command("list")
@click.option("--show-caps", is_flag=True, help="Show what each peer announced that it can do.")
@_node_options
def list_command(*, show_caps: bool, as_json: bool, **options: Any) -> None:
    """Show every pinned key, and those that are revoked."""
    pins: list[PinView] = _call(options, "trust_list")
    if as_json:
        print_json(pins)
        return
    if not pins:
        click.echo("nobody is pinned yet")
        return
    now = time.time()
    columns = [*_COLUMNS, _CAPABILITIES] if show_caps else _COLUMNS
    rows = [_row(pin, now) for pin in pins]
    if show_caps:
        rows = [[*row, _capabilities(pin)] for row, pin in zip(rows, pins, strict=True)]
    print_table(columns, rows)
    if any(pin.is_verified for pin in pins):
        click.echo("* the fingerprint is verified")


@trust_group.command("show")
@click.argument("peer")
@_node_options
def show_command(peer: str, *, as_json: bool, **options: Any) -> None:
    """Show all that is known of PEER, a name or node id."""
    pin: PinView = _call(options, "trust_show", who=peer)
    if as_json:
        print_json(pin)
        return
    lines = {
        "Name": clean(pin.name) or "(none)",
        "Fingerprint": pin.node_id,
        "Words": words_of(pin.node_id),
        "Public key": pin.public_key_b64 or "(not kept)",
        "State": pin.state,
        "Verified": "yes" if pin.is_verified else f"no (ironmesh trust verify {pin.node_id[:8]})",
        "Wire": _WIRES[pin.wire],
        "Online": "yes" if pin.is_online else "no",
        "First seen": local_time(pin.first_seen),
        "Last seen": local_time(pin.last_seen),
        "Capabilities": _capabilities(pin),
    }
    if pin.reason:
        lines["Reason"] = clean(pin.reason)
    for title, value in lines.items():
        click.echo(f"{title + ':':<14}{value}")


@trust_group.command("pin")
@click.argument("peer_name", metavar="NAME")
@click.argument("public_key")
@click.option(
    "--unverified", is_flag=True, help="You did not get the key from its owner by a safe way."
)
@_node_options
def pin_command(
    peer_name: str, public_key: str, *, unverified: bool, as_json: bool, **options: Any
) -> None:
    """Trust PUBLIC_KEY (base64, as `ironmesh keys info` shows it) as the peer NAME."""
    pin: PinView = _call(
        options,
        "trust_pin",
        public_key_b64=public_key,
        name=peer_name,
        is_verified=not unverified,
    )
    _tell("pinned", pin, as_json=as_json)


@trust_group.command("revoke")
@click.argument("peer")
@click.option("--reason", default="", help="For people.")
@_node_options
def revoke_command(peer: str, reason: str, *, as_json: bool, **options: Any) -> None:
    """Bar the key of PEER, a name or node id, for good; its session ends.

    The whole mesh is told by a node that is a --revocation-authority of the others, or whose own
    key it is: at once, or when it runs again.
    """
    pin: PinView = _call(options, "trust_revoke", who=peer, reason=reason)
    _tell("revoked", pin, as_json=as_json, name="" if peer == pin.node_id else peer)


@trust_group.command("forget")
@click.argument("peer")
@_node_options
def forget_command(peer: str, *, as_json: bool, **options: Any) -> None:
    """Remove the pin of PEER, a name or node id: its next contact is a first one."""
    pin: PinView = _call(options, "trust_forget", who=peer)
    _tell("forgotten", pin, as_json=as_json)


@trust_group.command("verify")
@click.argument("peer")
@click.argument("fingerprint", nargs=-1)
@_node_options
def verify_command(
    peer: str, fingerprint: tuple[str, ...], *, as_json: bool, **options: Any
) -> None:
    """Confirm that the key pinned as PEER, a name or node id, is that of its owner.

    Let the owner tell you the 12 words, or the 32 hex digits, of the peer's fingerprint in a way
    that nobody can fake: in person, or by a call with a voice that you know. `ironmesh keys info`
    shows them there. Give them as FINGERPRINT, or compare what is shown.
    """
    with _asking(options) as asked:
        text = " ".join(fingerprint)
        if not text:
            pin: PinView = asked.call("trust_show", who=peer)
            _compare(pin, asked.own_id())
            text = pin.node_id
        verified: PinView = asked.call("trust_verify", who=peer, fingerprint=text)
    _tell("verified", verified, as_json=as_json)


def _compare(pin: PinView, own_id: NodeId) -> None:
    """Show both fingerprints, and let a person say whether the other side sees the same.

    Raises:
        TrustError: they differ, or nobody is there to ask.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        raise TrustError(
            "there is no terminal to compare fingerprints at",
            f"give the peer's own: ironmesh trust verify {pin.node_id[:8]} WORD WORD ...",
        )
    name = clean(pin.name) or pin.node_id[:8]
    for title, node_id in ((name, pin.node_id), ("this node", own_id)):
        click.echo(f"{title}:\n  {words_of(node_id)}\n  {digits_of(node_id)}", err=True)
    question = f"Do both stand on the screen of {name}'s owner as well, word by word?"
    if not click.confirm(question, err=True):
        raise TrustError(
            "the fingerprints were not confirmed",
            f"if they differ, somebody is in the middle: ironmesh trust forget {pin.node_id}",
        )


@dataclass(frozen=True, slots=True)
class _Asked:
    """A node to ask, running or not."""

    call: Callable[..., Any]
    own_id: Callable[[], NodeId]


def _call(options: dict[str, Any], call: str, /, **params: Any) -> Any:
    with _asking(options) as asked:
        return asked.call(call, **params)


@contextlib.contextmanager
def _asking(options: dict[str, Any]) -> Iterator[_Asked]:
    """Yield the running node; if it does not run, what does the same on its files."""
    settings = settings_of(options)
    try:
        running = running_node(settings.home, asked_name(settings))
    except (NotRunningError, NotBuiltError):
        with _files(settings_of(options, only_node)) as asked:
            yield asked
        return
    with ControlClient.connect(running.path) as client:
        yield _Asked(client.call, lambda: client.call("state").node_id)


@contextlib.contextmanager
def _files(settings: Settings) -> Iterator[_Asked]:
    from ironmesh.control.offline import OfflineTrust

    found = node_passphrases(settings, os.environ)
    with OfflineTrust(node_config(settings, found.secrets)) as trust:
        yield _Asked(lambda call, **params: getattr(trust, call)(**params), trust.own_id)
        for notice in (*found.warnings, *trust.take_notices()):
            warn(notice)


def _row(pin: PinView, now: float) -> list[str]:
    state = f"{pin.state}*" if pin.is_verified else pin.state
    return [pin.node_id, pin.name, state, pin.wire or "-", age(pin.last_seen, now)]


def _capabilities(pin: PinView) -> str:
    accepted = clean(", ".join(pin.capabilities)) or "none"
    if not pin.capabilities_pending:
        return accepted
    return f"{accepted}; pending: {clean(', '.join(pin.capabilities_pending))}"


def _tell(done: str, pin: PinView, *, as_json: bool, name: str | None = None) -> None:
    if as_json:
        print_json(pin)
    else:
        label = pin.name if name is None else name
        click.echo(f"{done} {who(label, pin.node_id) if label else pin.node_id}")

"""`ironmesh setup`: everything that a node needs before its first start."""

from __future__ import annotations

import os
import shlex
import signal
from dataclasses import dataclass
from typing import Any, Final

import click

from ironmesh.cli import setup_answers as answers
from ironmesh.cli.nodes import node_names
from ironmesh.cli.options import json_option
from ironmesh.cli.output import clean, print_json, warn
from ironmesh.cli.passphrase import DEFAULT_FILE, FILE_VARIABLE, KEYCHAIN_VARIABLE, VARIABLE
from ironmesh.cli.progress import working
from ironmesh.cli.setting_flags import setting_flags, settings_of
from ironmesh.config import MODERATE_KDF
from ironmesh.crypto.passphrase import estimate_bits, weakness
from ironmesh.errors import NotBuiltError
from ironmesh.settings.published import import_published
from ironmesh.settings.setup import Done, Plan, carry_out
from ironmesh.settings.sources import Level as SourceLevel
from ironmesh.settings.sources import default_home

_WINNING: Final = (FILE_VARIABLE, KEYCHAIN_VARIABLE, VARIABLE)


@dataclass(frozen=True, slots=True)
class Ways:
    """How `setup` goes about it, beside what the settings say."""

    non_interactive: bool
    passphrase_from_env: bool
    generate_passphrase: bool
    force: bool
    gate: bool | None


@click.command("setup")
@setting_flags("name", "home", "port", "mesh", "passphrase_file", "keys_path", "allowed_peers")
@click.option("--non-interactive", is_flag=True, help="Ask nothing.")
@click.option("--passphrase-from-env", is_flag=True, help=f"Take it from {answers.SETUP_VARIABLE}.")
@click.option("--generate-passphrase", is_flag=True, help="Make a random one, and show it once.")
@click.option("--force", is_flag=True, help="Write anew what is there; the old files are kept.")
@click.option("--enable-trust-gate/--no-trust-gate", "gate", default=None, hidden=True)
@json_option
def setup_command(
    *,
    non_interactive: bool,
    passphrase_from_env: bool,
    generate_passphrase: bool,
    force: bool,
    gate: bool | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Set a node up: passphrase file, identity, configuration.

    Asks for what no flag gives. An identity that is there is kept; nothing is overwritten without
    --force, and with it the old files stay beside the new ones. If it is interrupted, nothing has
    changed.
    """
    ways = Ways(non_interactive, passphrase_from_env, generate_passphrase, force, gate)
    _check(ways)
    notice = import_published(settings_of(flags).home)
    if notice is not None:
        warn(notice)
    plan, is_made = _plan(flags, ways)
    with working("making the identity"):
        bits = estimate_bits(plan.passphrase)
        done = carry_out(plan, MODERATE_KDF, os.urandom, on_written=_ignore_interrupts)
    _warn(plan, done, bits)
    if as_json:
        print_json(_facts(plan, done, bits))
    else:
        _tell(plan, done, bits, is_passphrase_shown=is_made)


def _ignore_interrupts() -> None:
    """Let nobody believe that nothing has changed when everything has."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def run_command_of(plan: Plan) -> str:
    """Return the command that starts the node, as a shell takes it."""
    home = [] if plan.home == default_home() else ["--home", str(plan.home)]
    return shlex.join(["ironmesh", "run", *home, "--name", plan.name])


def _check(ways: Ways) -> None:
    if ways.gate:
        raise NotBuiltError("the trust gate is not in this version yet", "leave it out")
    if ways.passphrase_from_env and ways.generate_passphrase:
        raise click.UsageError("give --passphrase-from-env or --generate-passphrase, not both")
    if not ways.non_interactive:
        answers.require_terminal()


def _plan(flags: dict[str, Any], ways: Ways) -> tuple[Plan, bool]:
    """Return what shall be, and whether the passphrase is one that nobody has seen."""
    is_asking = not ways.non_interactive
    name = answers.node_name(settings_of(flags), is_asking=is_asking)
    settings = settings_of({**flags, "name": name})
    values = answers.node_values(settings, is_asking=is_asking)
    default_file = settings.home / DEFAULT_FILE
    file = settings["passphrase_file"] or default_file
    chosen = answers.mesh_passphrase(
        file,
        is_from_env=ways.passphrase_from_env,
        is_generated=ways.generate_passphrase,
        is_asking=is_asking,
    )
    if settings.origin("mesh").level is not SourceLevel.DEFAULT:
        values["mesh"] = settings["mesh"]
    if file != default_file:
        values["passphrase_file"] = file
    if settings["keys_path"] is not None:
        values["keys_path"] = settings["keys_path"]
    plan = Plan(
        name=name,
        home=settings.home,
        passphrase=chosen.passphrase,
        passphrase_file=file,
        is_passphrase_new=chosen.is_new,
        keys_path=settings["keys_path"],
        values=values,
        is_forced=ways.force,
    )
    return plan, chosen.is_made


# --- What was done -------------------------------------------------------------------------------


def _warn(plan: Plan, done: Done, bits: float) -> None:
    for text in (*done.notices, weakness(bits)):
        if text:
            warn(text)
    for variable in _WINNING:
        if os.environ.get(variable):
            warn(f"{variable} is set and wins over the passphrase file: unset it")
    others = [name for name in node_names(plan.home) if name != plan.name]
    kept = [path for path in done.set_aside if path.parent == plan.passphrase_file.parent]
    if others and plan.is_passphrase_new and kept:
        warn(f"{', '.join(others)} may need the old passphrase, which is in {kept[0]}")


def _facts(plan: Plan, done: Done, bits: float) -> dict[str, Any]:
    return {
        "name": plan.name,
        "node_id": done.node_id,
        "config_file": str(done.config_file),
        "keys_file": str(done.keys_file),
        "passphrase_file": str(plan.passphrase_file),
        "passphrase_bits": round(bits),
        "set_aside": [str(path) for path in done.set_aside],
        "run": run_command_of(plan),
    }


def _tell(plan: Plan, done: Done, bits: float, *, is_passphrase_shown: bool) -> None:
    peers = _peers(plan)
    lines = {
        "Node": f"{plan.name} ({done.node_id})",
        "Port": str(plan.values["port"]),
        "Peers": ", ".join(peers) or "(none named)",
        "Configuration": str(done.config_file),
        "Identity": f"{done.keys_file} (encrypted)",
        "Passphrase": f"{plan.passphrase_file} (about {bits:.0f} bits)",
        "Kept aside": ", ".join(map(str, done.set_aside)),
    }
    for title, value in lines.items():
        if value:
            click.echo(f"{title + ':':<15}{clean(value)}")
    if is_passphrase_shown:
        shown = plan.passphrase.reveal().decode()
        click.echo(f"\nThe new passphrase, shown this once:\n\n    {shown}")
    peer = next(iter(peers), "bob")
    mesh = ["--mesh", str(plan.values["mesh"])] if "mesh" in plan.values else []
    other = ["ironmesh", "setup", *mesh, "--name", peer, "--allowed-peers", plan.name]
    click.echo(
        f"\nStart it:\n\n    {run_command_of(plan)}\n\n"
        "On the second machine, with the same passphrase:\n\n"
        f"    {shlex.join(other)}\n\n"
        "Something wrong? ironmesh doctor"
    )


def _peers(plan: Plan) -> tuple[str, ...]:
    peers = plan.values.get("allowed_peers", ())
    assert isinstance(peers, tuple)
    return peers

"""What `ironmesh setup` has to know: from flags, files and the environment, else from a person."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import click

from ironmesh.cli.output import clean, warn
from ironmesh.cli.passphrase import from_variable, prompt_new
from ironmesh.config import MAX_NAME_BYTES, check_name
from ironmesh.crypto.passphrase import check_length
from ironmesh.errors import ConfigError, PassphraseError
from ironmesh.settings.kinds import Value
from ironmesh.settings.resolve import Settings
from ironmesh.settings.setup import free_port, random_passphrase
from ironmesh.settings.sources import Level
from ironmesh.settings.table import BY_NAME
from ironmesh.store.passphrase_file import read_passphrase_file
from ironmesh.types import Secret

SETUP_VARIABLE: Final = "IRONMESH_SETUP_PASSPHRASE"
TRIES: Final = 3

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Chosen:
    """The mesh passphrase."""

    passphrase: Secret
    is_new: bool
    """It is not in its file yet."""
    is_made: bool = False
    """It was made just now, and nobody has seen it."""


def require_terminal() -> None:
    """Check that there is somebody to ask.

    Raises:
        ConfigError: there is not.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigError(
            "there is no terminal to ask on", "add --non-interactive, and say the rest by flags"
        )


def node_name(settings: Settings, *, is_asking: bool) -> str:
    """Return the name of the node that is set up.

    Raises:
        ConfigError: no node may have it.
        click.UsageError: nothing gives one, and nobody is asked.
    """
    if settings.origin("name").level in {Level.FLAG, Level.ENVIRONMENT}:
        return check_name(settings.name)
    if not is_asking:
        raise click.UsageError("the node has no name: give --name NAME")
    return _ask("Name of this node", settings["name"] or _host_name(), check_name)


def node_values(settings: Settings, *, is_asking: bool) -> dict[str, Value]:
    """Return port and peers for the node's file: what was given, else the answers.

    Raises:
        ConfigError: there was no usable answer.
    """
    port: Value = settings["port"]
    if settings.origin("port").level is Level.DEFAULT:
        port = free_port(settings.home, settings.name, settings["port"])
        if is_asking:
            port = _ask("TCP port", str(port), BY_NAME["port"].kind.from_text)
    peers: Value = settings["allowed_peers"]
    if peers is None and is_asking:
        click.echo(
            "Names of the nodes that this one calls, and that may call it, comma separated."
            "\nEmpty: it calls nobody, and every member of the mesh may call it.",
            err=True,
        )
        peers = _ask("Peers", "", BY_NAME["allowed_peers"].kind.from_text) or None
    return {"port": port} if peers is None else {"port": port, "allowed_peers": peers}


def mesh_passphrase(
    file: Path, *, is_from_env: bool, is_generated: bool, is_asking: bool
) -> Chosen:
    """Return the passphrase: as a flag says, else as the environment or the file has it, else new.

    Args:
        file: where it is, or shall be.

    Raises:
        PassphraseError: it is too short or cannot be read, or nothing gives one.
    """
    existing = _existing(file)
    if is_generated:
        return Chosen(random_passphrase(), is_new=True, is_made=True)
    if is_from_env and not os.environ.get(SETUP_VARIABLE):
        raise PassphraseError(f"{SETUP_VARIABLE} is not set", "set it, or leave out the flag")
    if os.environ.get(SETUP_VARIABLE):
        wanted = from_variable(os.environ, SETUP_VARIABLE).passphrase
        check_length(wanted)
        return Chosen(wanted, is_new=wanted != existing)
    if existing is not None:
        click.echo(f"The passphrase in {clean(str(file))} is used.", err=True)
        check_length(existing)
        return Chosen(existing, is_new=False)
    if not is_asking:
        raise PassphraseError(
            "there is no passphrase",
            f"set {SETUP_VARIABLE}, or add --generate-passphrase, or write {file}",
        )
    if click.confirm("Make a random mesh passphrase? (No: choose one)", default=True, err=True):
        return Chosen(random_passphrase(), is_new=True, is_made=True)
    return Chosen(_asked_passphrase(), is_new=True)


def _existing(file: Path) -> Secret | None:
    if not os.path.lexists(file):
        return None
    found = read_passphrase_file(file)
    if found.warning:
        warn(found.warning)
    return found.passphrase


def _asked_passphrase() -> Secret:
    for _ in range(TRIES - 1):
        try:
            return prompt_new("Mesh passphrase")
        except PassphraseError as error:
            click.echo(f"{error}", err=True)
    return prompt_new("Mesh passphrase")


def _ask(what: str, default: str, check: Callable[[str], Answer]) -> Answer:
    for _ in range(TRIES):
        answer = click.prompt(what, default=default, show_default=bool(default), err=True)
        try:
            return check(answer)
        except ConfigError as error:
            click.echo(f"{error}", err=True)
    raise ConfigError(f"{what}: no usable answer", "start again")


def _host_name() -> str:
    """Return a name for a node: that of this machine, as far as a node may have it."""
    name = re.sub(r"[^\w.-]", "-", socket.gethostname().partition(".")[0]).strip(".-")
    return name.encode()[:MAX_NAME_BYTES].decode(errors="ignore") or "agent"

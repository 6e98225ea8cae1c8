"""Where the command line takes passphrases from; never from its arguments."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from ironmesh.cli.keychain import open_keychain
from ironmesh.crypto.passphrase import check_length
from ironmesh.errors import ConfigError, PassphraseError
from ironmesh.settings.node import Passphrases
from ironmesh.settings.resolve import Settings
from ironmesh.settings.sources import Level
from ironmesh.store.passphrase_file import read_passphrase_file
from ironmesh.types import Secret

FILE_VARIABLE: Final = "IRONMESH_PASSPHRASE_FILE"
KEYCHAIN_VARIABLE: Final = "IRONMESH_PASSPHRASE_KEYCHAIN"
VARIABLE: Final = "IRONMESH_PASSPHRASE"
KEYS_VARIABLE: Final = "IRONMESH_KEYS_PASSPHRASE"
LEGACY_VARIABLE: Final = "IRONMESH_LEGACY_PASSPHRASE"
PREVIOUS_VARIABLE: Final = "IRONMESH_PREVIOUS_PASSPHRASE"
DEFAULT_FILE: Final = "passphrase"
"""In the home folder: where `ironmesh setup` writes the passphrase."""

_YES: Final = frozenset({"1", "true", "yes"})
_NO: Final = frozenset({"", "0", "false", "no"})


@dataclass(frozen=True, slots=True)
class Resolved:
    """A passphrase, and what people should know about where it came from."""

    passphrase: Secret
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodePassphrases:
    """The passphrases of a node, and what people should know about where they came from."""

    secrets: Passphrases
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the mesh passphrase of a node may be, beside the environment and a prompt."""

    name: str
    """Under which the keychain keeps it."""
    file: Path | None = None
    """As given by `--passphrase-file` or `IRONMESH_PASSPHRASE_FILE`."""
    configured: Path | None = None
    """As given by a configuration file."""
    home: Path | None = None
    """The folder that may hold a file `passphrase`."""

    @classmethod
    def of(cls, settings: Settings) -> Sources:
        """Return the sources that settings name.

        Raises:
            ConfigError: the node has no name.
        """
        file = settings["passphrase_file"]
        is_direct = settings.origin("passphrase_file").level in {Level.FLAG, Level.ENVIRONMENT}
        return cls(
            settings.name,
            file if is_direct else None,
            None if is_direct else file,
            settings.home,
        )


def node_passphrases(settings: Settings, environ: Mapping[str, str]) -> NodePassphrases:
    """Return every passphrase that a node needs to start.

    Raises:
        ConfigError: the node has no name, or a date ends no passphrase.
        PassphraseError: the mesh passphrase cannot be found, or one is unusable.
    """
    mesh = mesh_passphrase(Sources.of(settings), environ)
    keys = other_passphrase(settings["keys_passphrase_file"], environ, KEYS_VARIABLE)
    legacy = other_passphrase(settings["legacy_passphrase_file"], environ, LEGACY_VARIABLE)
    previous = other_passphrase(settings["previous_passphrase_file"], environ, PREVIOUS_VARIABLE)
    for each in (legacy, previous):
        if each is not None:
            check_length(each.passphrase)
    if previous is None and settings["previous_passphrase_until"] is not None:
        raise ConfigError(
            f"{settings.origin('previous_passphrase_until')} ends a passphrase that is not given",
            "add --previous-passphrase-file FILE, or leave it out",
        )
    return NodePassphrases(
        Passphrases(
            mesh.passphrase,
            keys=keys.passphrase if keys else None,
            legacy=legacy.passphrase if legacy else None,
            previous=previous.passphrase if previous else None,
        ),
        tuple(text for each in (mesh, keys, legacy, previous) if each for text in each.warnings),
    )


def mesh_passphrase(sources: Sources, environ: Mapping[str, str]) -> Resolved:
    """Return the mesh passphrase of a node, from the first source that there is.

    In this order: `--passphrase-file`, `IRONMESH_PASSPHRASE_FILE`, the keychain with
    `IRONMESH_PASSPHRASE_KEYCHAIN`, `IRONMESH_PASSPHRASE`, `passphrase_file` of a configuration
    file, the file `passphrase` in the home folder, a prompt on a terminal.

    Raises:
        PassphraseError: no source, an unusable one, or fewer than 12 characters.
    """
    source = first_source(sources, environ)
    resolved = _asked() if source is None else source.load()
    check_length(resolved.passphrase)
    return resolved


@dataclass(frozen=True, slots=True)
class PassphraseSource:
    """A source that can do without a person."""

    where: str
    """For people."""
    load: Callable[[], Resolved]
    """Raises `PassphraseError` if it is unusable; the length is not checked yet."""


def first_source(sources: Sources, environ: Mapping[str, str]) -> PassphraseSource | None:
    """Return the first source of the mesh passphrase that there is, but for a prompt.

    Raises:
        PassphraseError: whether the keychain is one is unclear.
    """
    if sources.file is not None:
        return _file_source(sources.file)
    if _is_yes(environ):
        return PassphraseSource("the keychain", lambda: _from_keychain(sources.name))
    if environ.get(VARIABLE):
        return PassphraseSource(VARIABLE, lambda: from_variable(environ, VARIABLE))
    if sources.configured is not None:
        return _file_source(sources.configured)
    default = None if sources.home is None else sources.home / DEFAULT_FILE
    if default is not None and os.path.lexists(default):
        return _file_source(default)
    return None


def other_passphrase(
    file: Path | None, environ: Mapping[str, str], variable: str
) -> Resolved | None:
    """Return a further passphrase, from its file or its environment variable; None without.

    Raises:
        PassphraseError: it cannot be read or is empty.
    """
    if file is not None:
        return _from_file(file)
    if environ.get(variable):
        return from_variable(environ, variable)
    return None


def prompt_new(what: str) -> Secret:
    """Ask twice for a new passphrase.

    Raises:
        PassphraseError: there is no terminal, or it is too short.
    """
    if not _has_terminal():
        raise PassphraseError(
            f"there is no terminal to ask for {what}", "give it by a file or the environment"
        )
    text = click.prompt(f"{what} (12 characters or more)", hide_input=True, err=True)
    again = click.prompt("Once more", hide_input=True, err=True)
    if text != again:
        raise PassphraseError("the two entries differ", "try again")
    passphrase = Secret(text)
    check_length(passphrase)
    return passphrase


def _asked() -> Resolved:
    if _has_terminal():
        return Resolved(Secret(click.prompt("Mesh passphrase", hide_input=True, err=True)))
    raise PassphraseError(
        "there is no passphrase",
        f"give --passphrase-file FILE, or set {FILE_VARIABLE}, {KEYCHAIN_VARIABLE}=1 or {VARIABLE},"
        " or run ironmesh setup, or start from a terminal to be asked",
    )


def _file_source(file: Path) -> PassphraseSource:
    return PassphraseSource(str(file), lambda: _from_file(file))


def _from_file(file: Path) -> Resolved:
    found = read_passphrase_file(file)
    return Resolved(found.passphrase, (found.warning,) if found.warning else ())


def _from_keychain(name: str) -> Resolved:
    passphrase = open_keychain().load(name)
    if passphrase is None:
        raise PassphraseError(
            f"the keychain has no passphrase for {name!r}",
            f"store it with: ironmesh keys keychain-store --name {name}",
        )
    return Resolved(passphrase)


def from_variable(environ: Mapping[str, str], variable: str) -> Resolved:
    """Return the passphrase in an environment variable that is set.

    Raises:
        PassphraseError: it is not UTF-8.
    """
    warning = f"{variable} is visible to other processes of this user; prefer a file with mode 600"
    try:
        return Resolved(Secret(environ[variable]), (warning,))
    except UnicodeEncodeError:
        raise PassphraseError(f"{variable} is not UTF-8 text", "use another one") from None


def _is_yes(environ: Mapping[str, str]) -> bool:
    value = environ.get(KEYCHAIN_VARIABLE, "").strip().lower()
    if value not in _YES | _NO:
        raise PassphraseError(f"{KEYCHAIN_VARIABLE} is neither yes nor no", "write 1 or 0")
    return value in _YES


def _has_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()

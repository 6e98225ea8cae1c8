"""Where the command line takes passphrases from; never from its arguments."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from ironmesh.cli.keychain import open_keychain
from ironmesh.crypto.passphrase import check_length
from ironmesh.errors import PassphraseError
from ironmesh.store.passphrase_file import read_passphrase_file
from ironmesh.types import Secret

FILE_VARIABLE: Final = "IRONMESH_PASSPHRASE_FILE"
KEYCHAIN_VARIABLE: Final = "IRONMESH_PASSPHRASE_KEYCHAIN"
VARIABLE: Final = "IRONMESH_PASSPHRASE"
KEYS_VARIABLE: Final = "IRONMESH_KEYS_PASSPHRASE"

_YES: Final = frozenset({"1", "true", "yes"})
_NO: Final = frozenset({"", "0", "false", "no"})


@dataclass(frozen=True, slots=True)
class Resolved:
    """A passphrase, and what people should know about where it came from."""

    passphrase: Secret
    warnings: tuple[str, ...] = ()


def mesh_passphrase(name: str, file: Path | None, environ: Mapping[str, str]) -> Resolved:
    """Return the mesh passphrase of a node, from the first source that is given.

    In this order: `--passphrase-file`, `IRONMESH_PASSPHRASE_FILE`, the keychain with
    `IRONMESH_PASSPHRASE_KEYCHAIN`, `IRONMESH_PASSPHRASE`, a prompt on a terminal.

    Args:
        name: the node's name, under which the keychain keeps it.
        file: as given by `--passphrase-file`.
        environ: the environment.

    Raises:
        PassphraseError: no source, an unusable one, or fewer than 12 characters.
    """
    resolved = _resolve(name, file, environ)
    check_length(resolved.passphrase)
    return resolved


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


def _resolve(name: str, file: Path | None, environ: Mapping[str, str]) -> Resolved:
    if file is None and environ.get(FILE_VARIABLE):
        file = Path(environ[FILE_VARIABLE]).expanduser()
    if file is not None:
        return _from_file(file)
    if _is_yes(environ):
        return _from_keychain(name)
    if environ.get(VARIABLE):
        return from_variable(environ, VARIABLE)
    if _has_terminal():
        return Resolved(Secret(click.prompt("Mesh passphrase", hide_input=True, err=True)))
    raise PassphraseError(
        "there is no passphrase",
        f"give --passphrase-file FILE, or set {FILE_VARIABLE}, {KEYCHAIN_VARIABLE}=1 or {VARIABLE},"
        " or start from a terminal to be asked",
    )


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

"""Sets a node up: passphrase file, identity, configuration. All of it, or nothing."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ironmesh.config import KdfCost, NodeConfig
from ironmesh.crypto.passphrase import check_length
from ironmesh.errors import ConfigError, FileRefusedError
from ironmesh.files import create_private, make_private_dir
from ironmesh.settings.kinds import Value
from ironmesh.settings.sources import FILE_NAME, Level, config_paths, from_file
from ironmesh.settings.writing import as_toml
from ironmesh.store import keyfiles
from ironmesh.types import Random, Secret

_ALPHABET: Final = "abcdefghijkmnpqrstuvwxyz23456789"
"""32 characters that nobody mistakes for one another."""
_WORDS: Final = 6
_WORD_CHARS: Final = 5
_PORT_STEP: Final = 2
"""A node's second port is the next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a node shall have."""

    name: str
    home: Path
    passphrase: Secret
    passphrase_file: Path
    is_passphrase_new: bool
    """It is not in the file yet."""
    keys_path: Path | None
    values: Mapping[str, Value]
    """For the node's configuration file."""
    is_forced: bool
    """Files that are in the way are moved aside; the identity stays."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a setup did."""

    node_id: str
    keys_file: Path
    config_file: Path
    set_aside: tuple[Path, ...]
    """Where older files are now."""
    notices: tuple[str, ...]


def carry_out(
    plan: Plan, cost: KdfCost, random: Random, *, on_written: Callable[[], object] = lambda: None
) -> Done:
    """Write everything, or, whatever happens meanwhile, leave everything as it was.

    Args:
        cost: of the key derivation for the key file.
        on_written: called when everything is written; if that raises, everything is as it was.

    Raises:
        ConfigError: something is there already and `is_forced` is off, or cannot be written.
        PassphraseError: the passphrase is too short.
        KeyFileError: the passphrase does not open the identity that is there already.
    """
    check_length(plan.passphrase)
    node = NodeConfig(
        name=plan.name,
        passphrase=plan.passphrase,
        home=plan.home,
        keys_path=plan.keys_path,
        kdf=cost,
    )
    config_file = node.node_dir / FILE_NAME
    wanted = [config_file, *([plan.passphrase_file] if plan.is_passphrase_new else [])]
    in_the_way = [path for path in wanted if os.path.lexists(path)]
    if in_the_way and not plan.is_forced:
        raise ConfigError(
            f"there is already {' and '.join(map(str, in_the_way))}",
            "add --force to keep it aside and write it anew",
        )
    with contextlib.ExitStack() as undo, _translated():
        for folder in (plan.home, node.node_dir):
            _make_folder(folder, undo)
        if not plan.passphrase_file.parent.exists():
            _make_folder(plan.passphrase_file.parent, undo)
        loaded = _identity(node, random, undo)
        set_aside = tuple(_set_aside(path, undo) for path in in_the_way)
        if plan.is_passphrase_new:
            _create(plan.passphrase_file, plan.passphrase.reveal() + b"\n", undo)
        _create(config_file, as_toml(plan.values, f"The node {plan.name}."), undo)
        home_file = config_paths(plan.home, None)[Level.HOME_FILE]
        if not os.path.lexists(home_file):
            _create(home_file, as_toml({"name": plan.name}, "For all nodes of this folder."), undo)
        on_written()
        undo.pop_all()
    return Done(
        loaded.keys.identity.node_id, node.keys_file, config_file, set_aside, loaded.notices
    )


def random_passphrase() -> Secret:
    """Return a passphrase of 150 bits that a person can read out: six groups of five."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(_WORD_CHARS)) for _ in range(_WORDS))
    return Secret("-".join(groups))


def free_port(home: Path, name: str, wanted: int) -> int:
    """Return `wanted`, or the next port that no other node of this folder is set up with.

    Raises:
        ConfigError: the configuration of another node cannot be used.
    """
    nodes = home / "nodes"
    others = [entry.name for entry in nodes.iterdir()] if nodes.is_dir() else []
    taken = set()
    for other in others:
        found = from_file(config_paths(home, other)[Level.NODE_FILE], Level.NODE_FILE)
        if other != name and "port" in found:
            taken.add(found["port"].value)
    while wanted in taken:
        wanted += _PORT_STEP
    return wanted


def _identity(node: NodeConfig, random: Random, undo: contextlib.ExitStack) -> keyfiles.LoadedKeys:
    if not os.path.lexists(node.keys_file):
        undo.callback(node.keys_file.unlink, missing_ok=True)
    return keyfiles.load_or_create(node, random)


def _make_folder(folder: Path, undo: contextlib.ExitStack) -> None:
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        undo.callback(_remove_empty, each)
    make_private_dir(folder)


def _create(path: Path, data: bytes, undo: contextlib.ExitStack) -> None:
    if os.path.lexists(path):
        raise ConfigError(f"{path} was made by somebody else meanwhile", "try again")
    # Registered first: an interrupt may come right after the file is there.
    undo.callback(path.unlink, missing_ok=True)
    create_private(path, data)


def _set_aside(path: Path, undo: contextlib.ExitStack) -> Path:
    number = 1
    while os.path.lexists(kept := path.with_name(f"{path.name}.old-{number}")):
        number += 1
    undo.callback(_put_back, kept, path)
    path.rename(kept)
    return kept


def _put_back(kept: Path, path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        kept.rename(path)


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except FileRefusedError as error:
        raise ConfigError(error.what, error.fix) from error
    except OSError as error:
        raise ConfigError(
            f"{error.filename} cannot be written ({error.strerror})",
            "check the folder and the disk",
        ) from error

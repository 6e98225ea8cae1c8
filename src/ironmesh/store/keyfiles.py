"""A node's key file on disk: made, opened, migrated from the published package, described."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from ironmesh.config import KdfCost, NodeConfig, check_name
from ironmesh.crypto.identity import Identity
from ironmesh.crypto.keyfile import (
    MAX_FILE_BYTES,
    NodeKeys,
    OpenedKeys,
    StoredKeys,
    parse,
    seal_new,
)
from ironmesh.crypto.passphrase import check_length
from ironmesh.errors import FileRefusedError, KeyFileError, KeyFileExistsError
from ironmesh.files import (
    PRIVATE_FILE,
    create_private,
    exclusive,
    is_readable_by_others,
    make_private_dir,
    read_bounded,
    write_private,
)
from ironmesh.types import NodeId, Random, Secret

PUBLISHED_SUFFIX: Final = ".published"
LOCK_TIMEOUT_S: Final = 60.0
"""Longer than two key derivations take on a small board."""


class LoadedKeys(msgspec.Struct, frozen=True):
    """The keys of a node, and what people should know about how they came."""

    keys: NodeKeys
    notices: tuple[str, ...]
    """One sentence each, without a full stop."""


class KeyFileInfo(msgspec.Struct, frozen=True):
    """What a key file tells without its passphrase."""

    path: Path
    version: int
    agent_name: str
    node_id: NodeId
    public: bytes
    """Ed25519 public key, 32 bytes."""
    is_encrypted: bool


class Rotation(msgspec.Struct, frozen=True):
    """A node's change of identity."""

    old: NodeKeys
    """Still needed to sign the new identity for those who pinned the old one."""
    new: NodeKeys
    kept: Path
    """Where the old key file is now."""


def load_or_create(config: NodeConfig, random: Random) -> LoadedKeys:
    """Open the key file of a node; make it when there is none, migrate it when it is published.

    Costs one Argon2id; one more when the file is migrated or adopted. Safe when several
    processes start at once: one of them makes the file, the others read it.

    Raises:
        PassphraseError: a file must be made, and the passphrase is too short for it.
        WrongPassphraseError: the passphrase does not open the file.
        KeyFileError: the file is damaged or cannot be read or written. Nothing was overwritten.
    """
    return _Loader(config, random).load()


def generate(
    path: Path, name: str, passphrase: Secret, cost: KdfCost, random: Random
) -> KeyFileInfo:
    """Write a new identity to a new key file.

    Raises:
        ConfigError: nobody may have this name.
        PassphraseError: the passphrase is too short.
        KeyFileExistsError: there is a file at `path`; it is untouched.
        KeyFileError: it cannot be written.
    """
    check_length(passphrase)
    keys = NodeKeys.generate(check_name(name), random)
    save_new(path, seal_new(keys, passphrase, cost, random))
    return describe(path)


def rotate(path: Path, passphrase: Secret, cost: KdfCost, random: Random) -> Rotation:
    """Give a node a new identity under its old data key; the old key file is kept beside it.

    The caller holds the node's lock: a running node would go on with the old identity.

    Raises:
        PassphraseError: the passphrase is too short.
        WrongPassphraseError: the passphrase does not open the file.
        KeyFileError: there is none, or it cannot be read or written. Nothing was overwritten.
    """
    check_length(passphrase)
    with _translated(path), exclusive(_lock_of(path), LOCK_TIMEOUT_S):
        data = _read_existing(path)
        stored = _parse(path, data)
        old = _open(path, stored, passphrase).complete(random)
        new = msgspec.structs.replace(old, identity=Identity.generate(random))
        kept = path.with_name(f"{path.name}.{old.identity.node_id}")
        _keep(kept, data if stored.is_encrypted else seal_new(old, passphrase, cost, random))
        write_private(path, seal_new(new, passphrase, cost, random))
    return Rotation(old, new, kept)


def save_new(path: Path, data: bytes) -> None:
    """Write a new key file, in a folder that is made when missing.

    Raises:
        KeyFileExistsError: there is a file at `path`; it is untouched.
        KeyFileError: it cannot be written.
    """
    with _translated(path):
        if not path.parent.exists():
            make_private_dir(path.parent)
        try:
            create_private(path, data)
        except FileExistsError as error:
            raise KeyFileExistsError(
                f"there is a key file already at {path}", "move it away, or name another path"
            ) from error


def find(path: Path) -> StoredKeys | None:
    """Read a key file without opening its secrets; None when there is no such file.

    Raises:
        KeyFileError: it is damaged or cannot be read.
    """
    data = _read(path)
    return None if data is None else _parse(path, data)


def describe(path: Path) -> KeyFileInfo:
    """Tell what a key file says without its passphrase.

    Raises:
        KeyFileError: there is none, it is damaged, or it cannot be read.
    """
    stored = _parse(path, _read_existing(path))
    return KeyFileInfo(
        path=path,
        version=stored.version,
        agent_name=stored.agent_name,
        node_id=stored.node_id,
        public=stored.public,
        is_encrypted=stored.is_encrypted,
    )


class _Loader:
    """One run of `load_or_create`."""

    def __init__(self, config: NodeConfig, random: Random) -> None:
        self._config = config
        self._random = random
        self._path = config.keys_file
        own = config.keys_passphrase
        self._passphrase = config.passphrase if own is None else own
        self._notices: list[str] = []

    def load(self) -> LoadedKeys:
        with _translated(self._config.node_dir):
            make_private_dir(self._config.node_dir)
        # The second look is for the loser of a race to make the file: the winner's file counts.
        keys = self._existing() or self._made() or self._existing()
        if keys is None:
            raise KeyFileError(f"{self._path} vanished while it was read", "try again")
        return LoadedKeys(keys, tuple(self._notices))

    def _existing(self) -> NodeKeys | None:
        stored = find(self._path)
        if stored is None:
            return None
        if stored.is_published:
            return self._migrated()
        with _translated(self._path):
            if is_readable_by_others(self._path):
                self._path.chmod(PRIVATE_FILE)
                self._notices.append(f"{self._path} could be read by others; now only you can")
        return self._opened(self._path, stored)

    def _migrated(self) -> NodeKeys:
        """Rewrite a published file in our format, once, whoever else tries at the same time."""
        with _translated(self._path), exclusive(_lock_of(self._path), LOCK_TIMEOUT_S):
            data = _read_existing(self._path)
            stored = _parse(self._path, data)
            keys = self._opened(self._path, stored)
            if not stored.is_published:
                return keys
            kept = self._path.with_name(self._path.name + PUBLISHED_SUFFIX)
            if stored.is_encrypted:
                _keep(kept, data)
            write_private(self._path, self._sealed(keys))
        was = f"{self._path} was a published key file (version {stored.version})"
        if stored.is_encrypted:
            self._notices.append(f"{was} and is now in our format; the original is {kept}")
        else:
            self._notices.append(
                f"{was} that was not encrypted; the encrypted file took its place and no copy "
                "of the original was kept: if others could read it, make a new identity"
            )
        return keys

    def _made(self) -> NodeKeys | None:
        """Write the key file; None if another process was faster."""
        keys, notice = self._adoptable() or (self._new(), None)
        try:
            save_new(self._path, self._sealed(keys))
        except KeyFileExistsError:
            return None
        if notice is not None:
            self._notices.append(notice)
        return keys

    def _new(self) -> NodeKeys:
        check_length(self._passphrase)
        return NodeKeys.generate(self._config.name, self._random)

    def _adoptable(self) -> tuple[NodeKeys, str] | None:
        """The keys in the published package's key file, if its agent name is ours; a notice."""
        path = self._config.home / "keys.json"
        if self._config.keys_path is not None:
            return None
        try:
            stored = find(path)
        except KeyFileError as error:
            raise KeyFileError(
                f"this node's identity may be in a file that cannot be used ({error.what})",
                "repair it, or move it away to start with a new identity",
            ) from error
        if stored is None or stored.agent_name != self._config.name:
            return None
        notice = f"the identity in {path} has this node's name and was adopted; the file stays"
        if not stored.is_encrypted:
            notice += ", and its secret key is not encrypted: remove it once you do not need it"
        return self._opened(path, stored), notice

    def _opened(self, path: Path, stored: StoredKeys) -> NodeKeys:
        if not stored.is_encrypted:
            check_length(self._passphrase)
        keys = _open(path, stored, self._passphrase).complete(self._random)
        return (
            keys if keys.agent_name else msgspec.structs.replace(keys, agent_name=self._config.name)
        )

    def _sealed(self, keys: NodeKeys) -> bytes:
        return seal_new(keys, self._passphrase, self._config.kdf, self._random)


def _lock_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _read(path: Path) -> bytes | None:
    with _translated(path):
        try:
            return read_bounded(path, MAX_FILE_BYTES)
        except FileNotFoundError:
            return None


def _read_existing(path: Path) -> bytes:
    data = _read(path)
    if data is None:
        raise KeyFileError(f"there is no key file at {path}", "make one, or check the path")
    return data


def _parse(path: Path, data: bytes) -> StoredKeys:
    with _about(path):
        return parse(data)


def _open(path: Path, stored: StoredKeys, passphrase: Secret) -> OpenedKeys:
    with _about(path):
        return stored.open(passphrase)


def _keep(path: Path, data: bytes) -> None:
    """Keep the bytes of an old key file at `path`, where nothing else may be."""
    try:
        create_private(path, data)
    except FileExistsError as error:
        if _read(path) != data:
            raise KeyFileError(
                f"{path} is in the way of a copy of the old key file", "move it away"
            ) from error


@contextlib.contextmanager
def _about(path: Path) -> Iterator[None]:
    """Let an error about the content of a key file name the file."""
    try:
        yield
    except KeyFileError as error:
        raise type(error)(f"{path}: {error.what}", error.fix) from error


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Let a file that cannot be used be a `KeyFileError`."""
    try:
        yield
    except FileRefusedError as error:
        raise KeyFileError(error.what, error.fix) from error
    except OSError as error:
        raise KeyFileError(
            f"{path} cannot be read or written ({error.strerror})", "check the folder and the disk"
        ) from error

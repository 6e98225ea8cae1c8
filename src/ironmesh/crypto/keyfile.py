"""The key file: bytes to keys and back.

Version 4 is ours. A clear part says whose keys these are and how the passphrase is stretched; the
sealed part holds the Ed25519 seed and the data key, under which a node keeps its store and pins.

    stretched = Argon2id(passphrase, kdf.salt)
    box key   = derive(stretched, "ironmesh key file " || clear part)
    sealed    = nonce(24) || secretbox(box key, seed(32) || data key(32))
    checksum  = SHA-256(clear part || sealed)[:16]

The clear part is thus part of the key: nobody without the passphrase can change the name or the
public key of a file that still opens. The checksum tells damage from a wrong passphrase, for
people; no safety rests on it. A file is accepted only in the exact form in which we write it.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from ironmesh.config import KdfCost
from ironmesh.crypto import keyfile_published, sodium
from ironmesh.crypto.identity import Identity, node_id_of
from ironmesh.crypto.kdf import MAX_MEMORY_BYTES, MAX_PASSES, MIN_MEMORY_BYTES, stretch
from ironmesh.crypto.keyfile_published import (
    MAX_NAME_CHARS,
    RESTORE,
    Name,
    PublicKey,
    Salt,
    Version2,
    Version3,
    identity_of,
    no_passphrase,
    wrong_passphrase,
)
from ironmesh.errors import KeyFileError
from ironmesh.types import NodeId, Random, Secret

MAX_FILE_BYTES: Final = 64 * 1024
VERSION: Final = 4

_LABEL: Final = "ironmesh key file "
_SEALED_BYTES: Final = (
    sodium.BOX_NONCE_BYTES + sodium.BOX_TAG_BYTES + sodium.SEED_BYTES + sodium.KEY_BYTES
)
_CHECKSUM_BYTES: Final = 16


class _Kdf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Literal["argon2id13"]
    passes: Annotated[int, Meta(ge=1, le=MAX_PASSES)]
    memory_bytes: Annotated[int, Meta(ge=MIN_MEMORY_BYTES, le=MAX_MEMORY_BYTES)]
    salt: Salt


class _Clear(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    version: Literal[4] = VERSION
    agent_name: Name
    ed25519_public: PublicKey
    encrypted: Literal[True] = True
    kdf: _Kdf

    def encode(self) -> bytes:
        return msgspec.json.encode(self)


class _Version4(_Clear, frozen=True, forbid_unknown_fields=True, kw_only=True):
    sealed: Annotated[bytes, Meta(min_length=_SEALED_BYTES, max_length=_SEALED_BYTES)]
    checksum: Annotated[bytes, Meta(min_length=_CHECKSUM_BYTES, max_length=_CHECKSUM_BYTES)]

    def clear(self) -> bytes:
        return _Clear(
            agent_name=self.agent_name, ed25519_public=self.ed25519_public, kdf=self.kdf
        ).encode()

    def encode(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


class _AnyVersion(msgspec.Struct, frozen=True):
    version: int


class NodeKeys(msgspec.Struct, frozen=True):
    """All secrets of a node."""

    identity: Identity
    data_key: Secret
    """32 bytes: encrypts what the node keeps on disk; it survives a change of identity."""
    agent_name: str
    """The name that the key file states; for people."""

    @classmethod
    def generate(cls, agent_name: str, random: Random) -> NodeKeys:
        """Return new keys from 64 bytes of `random`."""
        return cls(Identity.generate(random), Secret(random(sodium.KEY_BYTES)), agent_name)


class OpenedKeys(msgspec.Struct, frozen=True):
    """What a key file of any version held."""

    identity: Identity
    data_key: Secret | None
    """None in files of the published package."""
    agent_name: str

    def complete(self, random: Random) -> NodeKeys:
        """Return the node's keys, with a data key from `random` where the file had none."""
        data_key = self.data_key
        if data_key is None:
            data_key = Secret(random(sodium.KEY_BYTES))
        return NodeKeys(self.identity, data_key, self.agent_name)


class StoredKeys(msgspec.Struct, frozen=True):
    """A well-formed key file: its public part, and the secrets still closed. `parse` makes one."""

    version: int
    agent_name: str
    public: bytes
    """Ed25519 public key, 32 bytes, as the file states it: proven only by `open`."""
    is_encrypted: bool
    _file: _Version4 | Version2

    @property
    def node_id(self) -> NodeId:
        """The node id of the public key."""
        return node_id_of(self.public)

    @property
    def is_published(self) -> bool:
        """The file is of the published package and should be migrated."""
        return self.version != VERSION

    def open(self, passphrase: Secret | None) -> OpenedKeys:
        """Open the secrets; costs one Argon2id where the file is encrypted.

        Args:
            passphrase: not needed for a file that is not encrypted.

        Raises:
            PassphraseError: the file is encrypted and there is no passphrase.
            WrongPassphraseError: the passphrase does not open it.
            KeyFileError: the secrets do not belong to the public part, or memory is short.
        """
        if isinstance(self._file, Version2):
            return OpenedKeys(self._file.open(passphrase), None, self.agent_name)
        if passphrase is None:
            raise no_passphrase()
        return _open(self._file, passphrase)


def parse(data: bytes) -> StoredKeys:
    """Read a key file of version 2, 3 or 4, at most 64 KiB.

    Raises:
        KeyFileError: too large, damaged, or of a version that we do not know.
    """
    if len(data) > MAX_FILE_BYTES:
        raise KeyFileError("the key file is larger than 64 KiB", RESTORE)
    try:
        file = _decode(data)
    except KeyFileError:
        raise
    except (ValueError, RecursionError) as error:
        raise KeyFileError("the key file is damaged", RESTORE) from error
    if not _is_name(file.agent_name):
        raise KeyFileError("the name in the key file holds control characters", RESTORE)
    return StoredKeys(file.version, file.agent_name, file.ed25519_public, file.encrypted, file)


def seal_new(keys: NodeKeys, passphrase: Secret, cost: KdfCost, random: Random) -> bytes:
    """Return a key file of version 4; costs one Argon2id.

    Args:
        random: gives the salt (16 bytes) and the nonce (24 bytes).

    Raises:
        KeyFileError: the name or the cost is out of bounds, or memory is short.
    """
    if not _is_name(keys.agent_name):
        raise KeyFileError("the name cannot stand in a key file", "use at most 256 characters")
    kdf = _Kdf("argon2id13", cost.passes, cost.memory_bytes, random(sodium.SALT_BYTES))
    name, public = keys.agent_name, keys.identity.public
    clear = _Clear(agent_name=name, ed25519_public=public, kdf=kdf).encode()
    nonce = random(sodium.BOX_NONCE_BYTES)
    secrets = keys.identity.seed.reveal() + keys.data_key.reveal()
    sealed = nonce + sodium.secretbox(_box_key(passphrase, kdf, clear), nonce, secrets)
    return _Version4(
        agent_name=name,
        ed25519_public=public,
        kdf=kdf,
        sealed=sealed,
        checksum=_checksum(clear, sealed),
    ).encode()


def _is_name(name: str) -> bool:
    return len(name) <= MAX_NAME_CHARS and name.isprintable()


def _decode(data: bytes) -> _Version4 | Version2:
    match msgspec.json.decode(data, type=_AnyVersion).version:
        case 2:
            return msgspec.json.decode(
                data, type=Version2, dec_hook=keyfile_published.decode_secret
            )
        case 3:
            return msgspec.json.decode(
                data, type=Version3, dec_hook=keyfile_published.decode_secret
            )
        case 4:
            file = msgspec.json.decode(data, type=_Version4)
        case other:
            raise KeyFileError(
                f"the key file has version {other}, which this program does not know",
                "use the program that wrote it, or a newer one of ours",
            )
    if file.encode() != data or file.checksum != _checksum(file.clear(), file.sealed):
        raise KeyFileError("the key file was changed since it was written", RESTORE)
    return file


def _open(file: _Version4, passphrase: Secret) -> OpenedKeys:
    box_key = _box_key(passphrase, file.kdf, file.clear())
    nonce, box = file.sealed[: sodium.BOX_NONCE_BYTES], file.sealed[sodium.BOX_NONCE_BYTES :]
    try:
        secrets = sodium.secretbox_open(box_key, nonce, box)
    except sodium.CryptoError as error:
        raise wrong_passphrase() from error
    seed, data_key = secrets[: sodium.SEED_BYTES], secrets[sodium.SEED_BYTES :]
    return OpenedKeys(identity_of(seed, file.ed25519_public), Secret(data_key), file.agent_name)


def _box_key(passphrase: Secret, kdf: _Kdf, clear: bytes) -> bytes:
    stretched = stretch(passphrase, kdf.salt, KdfCost(kdf.passes, kdf.memory_bytes))
    return sodium.derive(stretched, _LABEL + clear.decode())


def _checksum(clear: bytes, sealed: bytes) -> bytes:
    return sodium.sha256(clear + sealed)[:_CHECKSUM_BYTES]

"""From the mesh's passphrase to the secret that CPace works with, and how a node keeps it.

Argon2id is run when the passphrase or the mesh changes, not at each start: in between the secret
lies sealed beside the node's keys, in a box that only the same passphrase and mesh open.
"""

from __future__ import annotations

from typing import Final

from ironmesh.config import KdfCost
from ironmesh.crypto import sodium
from ironmesh.crypto.kdf import stretch
from ironmesh.errors import PassphraseError
from ironmesh.types import Random, Secret

MESH_SECRET_BYTES: Final = 32
GENERATIONS: Final = 256
"""Passphrases are numbered below this; after the last comes 0."""

_SALT_LABEL: Final = b"ironmesh v5 mesh"
_BOX_LABEL: Final = "ironmesh v5 mesh secret"
_FORMAT: Final = b"\x01"
_SEALED_BYTES: Final = (
    len(_FORMAT) + sodium.BOX_NONCE_BYTES + sodium.BOX_TAG_BYTES + MESH_SECRET_BYTES
)


def mesh_secret(passphrase: Secret, mesh_name: str, cost: KdfCost) -> Secret:
    """Return the mesh secret (32 bytes) of a passphrase: CPace's `prs` (docs/protocol.md).

    Args:
        passphrase: UTF-8; the same text in another Unicode form gives the same secret.
        cost: `MODERATE_KDF`: every node of the mesh must use the same.

    Raises:
        PassphraseError: not UTF-8.
        KeyFileError: the cost is out of bounds, or there is not enough memory.
    """
    salt = sodium.sha256(_SALT_LABEL + _nfc(mesh_name))[: sodium.SALT_BYTES]
    return Secret(stretch(Secret(_normal(passphrase)), salt, cost))


def seal_mesh_secret(
    data_key: Secret, passphrase: Secret, mesh_name: str, prs: Secret, random: Random
) -> bytes:
    """Return the mesh secret as it may lie on disk.

    Args:
        data_key: the key of the node's own data, 32 bytes.
    """
    nonce = random(sodium.BOX_NONCE_BYTES)
    key = _box_key(data_key, passphrase, mesh_name)
    return _FORMAT + nonce + sodium.secretbox(key, nonce, prs.reveal())


def open_mesh_secret(
    data_key: Secret, passphrase: Secret, mesh_name: str, sealed: bytes
) -> Secret | None:
    """Return the mesh secret, or None: of another passphrase, mesh or node, or damaged.

    None is no failure: `mesh_secret` makes it anew.
    """
    if len(sealed) != _SEALED_BYTES or not sealed.startswith(_FORMAT):
        return None
    nonce, box = sealed[1 : 1 + sodium.BOX_NONCE_BYTES], sealed[1 + sodium.BOX_NONCE_BYTES :]
    try:
        return Secret(sodium.secretbox_open(_box_key(data_key, passphrase, mesh_name), nonce, box))
    except sodium.CryptoError:
        return None


def _box_key(data_key: Secret, passphrase: Secret, mesh_name: str) -> bytes:
    key = sodium.derive(data_key.reveal(), _BOX_LABEL)
    name = _nfc(mesh_name)
    said = len(name).to_bytes(4, "big") + name + _normal(passphrase)
    return sodium.blake2b(said, size_bytes=sodium.KEY_BYTES, key=key)


def _normal(passphrase: Secret) -> bytes:
    try:
        return _nfc(passphrase.reveal().decode())
    except UnicodeDecodeError:
        # Not chained: the codec's error carries the passphrase.
        raise PassphraseError("the passphrase is not UTF-8 text", "use another one") from None


def _nfc(text: str) -> bytes:
    if text.isascii():
        return text.encode()
    from unicodedata import normalize  # a megabyte of tables

    return normalize("NFC", text).encode()

"""Remembers how strong the passphrase is, so that rating it is not work of every start.

The note is sealed under the data key and bound to the passphrase: it tells nothing to whoever
cannot open the key file, and a changed passphrase is rated anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from ironmesh.crypto import sodium
from ironmesh.errors import FileRefusedError
from ironmesh.files import read_bounded, write_private
from ironmesh.types import Random, Secret

FILE_NAME: Final = "passphrase-strength"
_MAX_BYTES: Final = 4096
_LABEL: Final = "ironmesh passphrase strength v1"


class _Note(msgspec.Struct, frozen=True):
    tag: bytes
    bits: float


def load_strength(path: Path, data_key: Secret, passphrase: Secret) -> float | None:
    """Return the rating of this passphrase in bits; None if there is none that can be read."""
    try:
        data = read_bounded(path, _MAX_BYTES)
        key = sodium.derive(data_key.reveal(), _LABEL)
        nonce, sealed = data[: sodium.BOX_NONCE_BYTES], data[sodium.BOX_NONCE_BYTES :]
        note = msgspec.json.decode(sodium.secretbox_open(key, nonce, sealed), type=_Note)
    except (OSError, FileRefusedError, sodium.CryptoError, msgspec.DecodeError):
        return None
    return note.bits if sodium.same(note.tag, _tag(key, passphrase)) else None


def save_strength(
    path: Path, data_key: Secret, passphrase: Secret, bits: float, random: Random
) -> None:
    """Write the rating of this passphrase.

    Raises:
        OSError: it cannot be written.
    """
    key = sodium.derive(data_key.reveal(), _LABEL)
    nonce = random(sodium.BOX_NONCE_BYTES)
    note = msgspec.json.encode(_Note(_tag(key, passphrase), bits))
    write_private(path, nonce + sodium.secretbox(key, nonce, note))


def _tag(key: bytes, passphrase: Secret) -> bytes:
    return sodium.hmac_sha256(key, passphrase.reveal())

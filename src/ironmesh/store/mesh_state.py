"""What the mesh part of a node keeps over a restart: prekeys, the number of its beacon, routes,
revocations, capabilities.

Each is a small sealed file beside the messages, replaced as a whole: after a crash the old or the
new content is there. They belong into the folder of the messages, and into no backup: a parcel that
is played again then meets the id of its message, or no key.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

from ironmesh.crypto import sodium
from ironmesh.errors import FileRefusedError, StoreDamagedError, StoreError, StoreFullError
from ironmesh.files import make_private_dir, read_bounded, write_private
from ironmesh.types import Random, Secret

PREKEYS: Final = "prekeys"
SEQUENCE: Final = "beacon-number"
ROUTES: Final = "routes"
REVOCATIONS: Final = "revocations"
CAPABILITIES: Final = "capabilities"

_FORMAT: Final = b"\x01"
_KEY_LABEL: Final = "ironmesh mesh state"
_SEQUENCE_BYTES: Final = 8
_MAX_BYTES: Final = 32 * 1024 * 1024
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class MeshState:
    """The sealed files. Every call works on the disk: make it in a thread.

    Args:
        folder: that of the message store.
        data_key: the node's data key, 32 bytes.
        random: where nonces come from.
    """

    def __init__(self, folder: Path, data_key: Secret, random: Random) -> None:
        self._folder = folder
        self._root = Secret(sodium.derive(data_key.reveal(), _KEY_LABEL))
        self._random = random

    def load_prekeys(self) -> Secret | None:
        """Return the state of the prekeys; None = there is none.

        Raises:
            StoreDamagedError: it does not open. Making new keys loses only what is under way.
            StoreError: it cannot be read.
        """
        state = self._load(PREKEYS)
        return None if state is None else Secret(state)

    def save_prekeys(self, state: Secret) -> None:
        """Keep the state of the prekeys; afterwards the newest may be published.

        Raises:
            StoreFullError: the disk is full; what was kept before is still there.
            StoreError: it cannot be written; as above.
        """
        self._save(PREKEYS, state.reveal())

    def load_sequence(self) -> int:
        """Return the beacon number that was saved last; 0 = none.

        Raises:
            StoreDamagedError: it does not open. The clock then gives a number above it.
            StoreError: it cannot be read.
        """
        state = self._load(SEQUENCE)
        return int.from_bytes(state or b"", "big")

    def save_sequence(self, sequence: int) -> None:
        """Keep a beacon number; afterwards all numbers up to it may be announced.

        Raises:
            StoreError: as `save_prekeys`.
        """
        self._save(SEQUENCE, sequence.to_bytes(_SEQUENCE_BYTES, "big"))

    def load_routes(self) -> bytes | None:
        """Return the routes that were saved last; None = there are none.

        Raises:
            StoreDamagedError: they do not open. They are hints: going on without them is safe.
            StoreError: they cannot be read.
        """
        return self._load(ROUTES)

    def save_routes(self, routes: bytes) -> None:
        """Keep what the router knows.

        Raises:
            StoreError: as `save_prekeys`.
        """
        self._save(ROUTES, routes)

    def load_revocations(self) -> bytes | None:
        """Return the revocations that were saved last; None = there are none.

        Raises:
            StoreDamagedError: they do not open. Neighbours tell them again.
            StoreError: they cannot be read.
        """
        return self._load(REVOCATIONS)

    def save_revocations(self, revocations: bytes) -> None:
        """Keep all revocations.

        Raises:
            StoreError: as `save_prekeys`.
        """
        self._save(REVOCATIONS, revocations)

    def load_capabilities(self) -> bytes | None:
        """Return the capabilities that were advertised at run time; None = there are none.

        Raises:
            StoreDamagedError: they do not open. Whoever advertised them can do so again.
            StoreError: they cannot be read.
        """
        return self._load(CAPABILITIES)

    def save_capabilities(self, capabilities: bytes) -> None:
        """Keep the capabilities that were advertised at run time.

        Raises:
            StoreError: as `save_prekeys`.
        """
        self._save(CAPABILITIES, capabilities)

    def _load(self, name: str) -> bytes | None:
        path = self._folder / name
        try:
            sealed = read_bounded(path, _MAX_BYTES)
        except FileNotFoundError:
            return None
        except (OSError, FileRefusedError) as error:
            raise StoreError(f"{path} cannot be read ({error})", "check its owner") from error
        at = len(_FORMAT) + sodium.BOX_NONCE_BYTES
        is_ours = sealed.startswith(_FORMAT) and len(sealed) >= at
        try:
            if is_ours:
                return sodium.secretbox_open(
                    self._key(name), sealed[len(_FORMAT) : at], sealed[at:]
                )
        except sodium.CryptoError as error:
            raise _damaged(path) from error
        raise _damaged(path)

    def _save(self, name: str, state: bytes) -> None:
        path = self._folder / name
        nonce = self._random(sodium.BOX_NONCE_BYTES)
        sealed = _FORMAT + nonce + sodium.secretbox(self._key(name), nonce, state)
        try:
            make_private_dir(self._folder)
            write_private(path, sealed)
        except FileRefusedError as error:
            raise StoreError(f"{path} cannot be written ({error})") from error
        except OSError as error:
            if error.errno in _FULL:
                raise StoreFullError(
                    f"the disk has no room for {path}", "free some disk space"
                ) from error
            raise StoreError(f"{path} cannot be written ({error.strerror})") from error

    def _key(self, name: str) -> bytes:
        return sodium.derive(self._root.reveal(), name)


def _damaged(path: Path) -> StoreDamagedError:
    return StoreDamagedError(
        f"{path} is damaged, or sealed under another data key", "remove it: it is made anew"
    )

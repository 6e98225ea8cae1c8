"""What lies in the database can be read by nobody without the node's data key.

    root       = derive(data key, "ironmesh store")
    pseudonym  = BLAKE2b-128(key = derive(root, "pseudonyms"), kind || 0 || name)
    key n      = derive(root, "opening n salt")        salt: 32 random bytes, made when it is opened
    sealed     = n(4) || count(8) || ChaCha20-Poly1305(key n, nonce = those 12 bytes, row identity)

Each opening of the database has a key of its own, so that counted nonces never meet again, also
when a copy of the database is put back. The row identity is associated data: a sealed value moved
to another row does not open.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Mapping
from typing import Final

from ironmesh.crypto import sodium
from ironmesh.crypto.chacha import ChaCha
from ironmesh.crypto.sodium import CryptoError
from ironmesh.errors import StoreDamagedError
from ironmesh.types import Secret

SALT_BYTES: Final = 32
PSEUDONYM_BYTES: Final = 16
MAX_PSEUDONYMS: Final = 1024
"""That are remembered."""

_NONCE: Final = struct.Struct(">IQ")


class Opener:
    """Opens what any opening of the database has sealed.

    Args:
        data_key: the node's data key, 32 bytes.
        salts: of all openings, by number.
    """

    def __init__(self, data_key: Secret, salts: Mapping[int, bytes]) -> None:
        self._root = Secret(sodium.derive(data_key.reveal(), "ironmesh store"))
        self._names = Secret(sodium.derive(self._root.reveal(), "pseudonyms"))
        self._salts = dict(salts)
        self._ciphers: dict[int, ChaCha] = {}
        self._pseudonyms: dict[tuple[bytes, bytes], bytes] = {}

    def pseudonym(self, kind: bytes, name: bytes) -> bytes:
        """Return what stands for a name in an index, 16 bytes."""
        known = self._pseudonyms.get((kind, name))
        if known is not None:
            return known
        if len(self._pseudonyms) >= MAX_PSEUDONYMS:
            self._pseudonyms.clear()
        data = kind + b"\0" + name
        made = sodium.blake2b(data, size_bytes=PSEUDONYM_BYTES, key=self._names.reveal())
        self._pseudonyms[kind, name] = made
        return made

    def open(self, identity: bytes, sealed: bytes) -> bytes:
        """Open what was sealed for the row `identity`.

        Raises:
            StoreDamagedError: it was changed, moved, or sealed under another data key.
        """
        nonce = sealed[: _NONCE.size]
        try:
            number, _count = _NONCE.unpack(nonce)
            cipher = self._ciphers.get(number) or self._cipher(number, self._salts[number])
            return cipher.open(nonce, sealed[_NONCE.size :], identity)
        except (CryptoError, KeyError, struct.error) as error:
            raise StoreDamagedError(
                "the message store is damaged: a record of it does not open",
                "put back a copy of the folder, or move the folder away to start with an empty one",
            ) from error

    def _cipher(self, number: int, salt: bytes) -> ChaCha:
        key = sodium.derive(self._root.reveal(), f"opening {number} {salt.hex()}")
        self._ciphers[number] = cipher = ChaCha(key)
        return cipher


class Sealer(Opener):
    """Seals under the key of one opening; one for each opening, used from one thread.

    Args:
        data_key: the node's data key, 32 bytes.
        salts: of all openings, by number.
        number: which of them is this one.
    """

    def __init__(self, data_key: Secret, salts: Mapping[int, bytes], number: int) -> None:
        super().__init__(data_key, salts)
        self._number = number
        self._seal = self._cipher(number, salts[number]).seal
        self._counter = itertools.count()

    def seal(self, identity: bytes, plaintext: bytes) -> bytes:
        """Seal for the row `identity`; 28 bytes longer."""
        nonce = _NONCE.pack(self._number, next(self._counter))
        return nonce + self._seal(nonce, plaintext, identity)

"""Record keys: one for each record, and no way back to those before (docs/protocol-records.md)."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from ironmesh.types import Secret

_LABEL: Final = b"ironmesh v5 record"
_KEY_BYTES: Final = 32


class Chain:
    """The record keys of one direction in one phase."""

    __slots__ = ("_key", "count")

    def __init__(self, key: Secret) -> None:
        self._key = key.reveal()
        self.count = 0
        """Keys that were taken."""

    def take(self) -> bytes:
        """Return the key (32 bytes) of the next record; the chain forgets it."""
        both = blake2b(_LABEL, key=self._key).digest()
        self._key = both[:_KEY_BYTES]
        self.count += 1
        return both[_KEY_BYTES:]

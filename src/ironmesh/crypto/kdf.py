"""From a passphrase to a key: Argon2id within bounds that no file may exceed."""

from __future__ import annotations

from typing import Final

from ironmesh.config import KdfCost
from ironmesh.crypto import sodium
from ironmesh.errors import KeyFileError
from ironmesh.types import Secret

MAX_PASSES: Final = 10
MIN_MEMORY_BYTES: Final = 8 * 1024
MAX_MEMORY_BYTES: Final = 1024 * 1024 * 1024


def is_affordable(cost: KdfCost) -> bool:
    """Tell whether a cost is within our bounds: 1 to 10 passes, 8 KiB to 1 GiB."""
    return (
        1 <= cost.passes <= MAX_PASSES and MIN_MEMORY_BYTES <= cost.memory_bytes <= MAX_MEMORY_BYTES
    )


def stretch(passphrase: Secret, salt: bytes, cost: KdfCost) -> bytes:
    """Return the 32-byte key of a passphrase (Argon2id v1.3, one lane, RFC 9106).

    Args:
        salt: 16 bytes.

    Raises:
        KeyFileError: the cost is out of bounds, or there is not enough memory.
    """
    if not is_affordable(cost):
        raise KeyFileError(
            f"a key derivation of {cost.passes} passes over {cost.memory_bytes} bytes is refused",
            f"use 1 to {MAX_PASSES} passes and 8 KiB to 1 GiB",
        )
    try:
        return sodium.argon2id(
            passphrase.reveal(), salt, passes=cost.passes, memory_bytes=cost.memory_bytes
        )
    except sodium.CryptoError as error:
        raise KeyFileError(
            f"the key derivation needs {cost.memory_bytes // 1024} KiB of memory and got none",
            "free memory and try again",
        ) from error

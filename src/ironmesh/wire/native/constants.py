"""Names, sizes and close codes of our own wire, version 5 (docs/protocol.md)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ironmesh.types import Refusal

VERSION: Final = 5
"""First byte of a first message, and high nibble of every record."""
PROTOCOL_VERSION: Final = "ironmesh/5"
"""What people see of a peer that speaks this wire."""
SUBPROTOCOL: Final = "ironmesh.v5"
"""What a WebSocket client offers and a server selects."""

NONCE_BYTES: Final = 32
PUBLIC_BYTES: Final = 32
SHARE_BYTES: Final = 32
KEM_PUBLIC_BYTES: Final = 1184
KEM_CIPHERTEXT_BYTES: Final = 1088
TICKET_BYTES: Final = 16
BINDER_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
TAG_BYTES: Final = 16

STATEMENT_STEP_BYTES: Final = 64
"""What a node says of itself is filled with zeros to a multiple of this."""
MAX_NAME_BYTES: Final = 64

TICKET_UNKNOWN: Final = b"\x00"
"""The answer to a resumption that cannot be: the initiator goes on with a first message."""


class CloseCode(IntEnum):
    """Transport close codes: all that a stranger is told."""

    AUTH_FAILED = 4000
    BUSY = 4001
    LIMIT = 4002
    VERSION_TOO_OLD = 4003
    LEGACY_REFUSED = 4004


_CODES: Final = {
    Refusal.AUTH_FAILED: CloseCode.AUTH_FAILED,
    Refusal.BUSY: CloseCode.BUSY,
    Refusal.LIMIT: CloseCode.LIMIT,
    Refusal.VERSION_TOO_OLD: CloseCode.VERSION_TOO_OLD,
    Refusal.LEGACY_REFUSED: CloseCode.LEGACY_REFUSED,
}
_REFUSALS: Final = {int(code): reason for reason, code in _CODES.items()}


def close_code_of(reason: Refusal) -> CloseCode:
    """Return the close code for a stranger; what has none is told as a failed proof."""
    return _CODES.get(reason, CloseCode.AUTH_FAILED)


def refusal_of(close_code: int) -> Refusal | None:
    """Return what a peer meant by a close code, or None for codes that are not ours.

    Anybody on the way can write one: it is a hint for people, and changes neither trust nor pins.
    """
    return _REFUSALS.get(close_code)

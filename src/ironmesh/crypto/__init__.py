"""Keys and primitives; the names exported here are conveniences for programs that use IronMesh."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ironmesh.crypto.helpers import (
        decrypt_message,
        ecdh_exchange,
        encrypt_message,
        generate_ephemeral_keypair,
        secure_wipe,
        sign_detached,
        sign_message,
        verify_detached,
        verify_signature,
    )

__all__ = [
    "decrypt_message",
    "ecdh_exchange",
    "encrypt_message",
    "generate_ephemeral_keypair",
    "secure_wipe",
    "sign_detached",
    "sign_message",
    "verify_detached",
    "verify_signature",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ironmesh.crypto import helpers

    return getattr(helpers, name)

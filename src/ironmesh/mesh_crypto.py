"""Sealing for a node whose Ed25519 key is known, so that relays cannot read what they carry."""

from __future__ import annotations

from typing import TypeGuard

from ironmesh.crypto import sodium
from ironmesh.crypto.helpers import DecryptError, InvalidKeyError
from ironmesh.crypto.identity import Identity

__all__ = ["can_seal_to", "seal_to_destination", "unseal_from_source"]


def seal_to_destination(plaintext: bytes, dest_ed25519_pub: bytes) -> bytes:
    """Seal for the owner of an Ed25519 public key (32 bytes); the result is 48 bytes longer.

    Raises:
        InvalidKeyError: not a usable Ed25519 public key.

    Source: NaCl sealed box; wire specification, section 9.2.
    """
    if not can_seal_to(dest_ed25519_pub):
        raise InvalidKeyError("not a usable Ed25519 public key", "use the peer's identity key")
    return sodium.seal(sodium.sign_public_to_box(dest_ed25519_pub), plaintext)


def unseal_from_source(sealed: bytes, my_ed25519_secret: bytes) -> bytes:
    """Open what was sealed for the owner of this Ed25519 seed (32 bytes).

    Raises:
        InvalidKeyError: the seed is not 32 bytes.
        DecryptError: sealed for another key, or changed.
    """
    if len(my_ed25519_secret) != sodium.SEED_BYTES:
        raise InvalidKeyError("the Ed25519 seed is not 32 bytes", "use AgentKeys.ed25519_secret")
    identity = Identity.from_seed(my_ed25519_secret)
    try:
        return sodium.seal_open(
            sodium.sign_public_to_box(identity.public), identity.box_secret(), sealed
        )
    except sodium.CryptoError as error:
        raise DecryptError("the sealed message does not open", "check the key") from error


def can_seal_to(dest_ed25519_pub: bytes | None) -> TypeGuard[bytes]:
    """Tell whether something can be sealed to this key: a known and usable Ed25519 public key."""
    if dest_ed25519_pub is None or len(dest_ed25519_pub) != sodium.PUBLIC_BYTES:
        return False
    try:
        sodium.sign_public_to_box(dest_ed25519_pub)
    except sodium.CryptoError:
        return False
    return True

"""Published key files in their encrypted form, at any cost."""

from __future__ import annotations

import base64
import os

from tests.support.vectors import load

from ironmesh.config import KdfCost
from ironmesh.crypto import kdf, sodium
from ironmesh.crypto.identity import Identity
from ironmesh.types import Secret


def encrypted_published(
    version: int, seed: bytes, passphrase: Secret, cost: KdfCost
) -> dict[str, object]:
    """Return the members of a version 2 or 3 file of the agent `alice`."""
    salt = os.urandom(16)
    box_key = kdf.stretch(passphrase, salt, cost)
    identity = Identity.from_seed(seed)
    members: dict[str, object] = {
        "version": version,
        "agent_name": "alice",
        "ed25519_public": b64(identity.public),
        "ed25519_secret_encrypted": _box(box_key, seed),
        "salt": b64(salt),
        "encrypted": True,
    }
    if version == 3:
        subkey = os.urandom(32)
        public = sodium.box_public(subkey)
        context = bytes.fromhex(load("v095_additions")["x25519_binding"]["context_hex"])
        members |= {
            "format": "master-seed-v1",
            "hkdf_salt": b64(os.urandom(16)),
            "x25519_public": b64(public),
            "x25519_binding_signature": b64(identity.sign(context + public)),
            "x25519_seed_encrypted": _box(box_key, subkey),
        }
    return members


def b64(data: bytes) -> str:
    """Return base64 text, as key files hold it."""
    return base64.b64encode(data).decode()


def _box(key: bytes, secret: bytes) -> str:
    nonce = os.urandom(24)
    return b64(nonce + sodium.secretbox(key, nonce, secret))

"""Identity keys for programs that handle them on their own, in the shapes they may know."""

from __future__ import annotations

import base64
import json
import secrets
import warnings
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import NoReturn

from nacl.public import PrivateKey, PublicKey
from nacl.signing import SigningKey, VerifyKey

from ironmesh.config import MODERATE_KDF
from ironmesh.crypto import sodium
from ironmesh.crypto.helpers import InvalidKeyError, generate_ephemeral_keypair
from ironmesh.crypto.identity import Identity, node_id_of
from ironmesh.crypto.keyfile import NodeKeys, seal_new
from ironmesh.crypto.passphrase import check_length
from ironmesh.errors import PassphraseError
from ironmesh.store import keyfiles
from ironmesh.types import Secret

__all__ = [
    "AgentKeys",
    "ed25519_to_curve25519_public",
    "ed25519_to_curve25519_secret",
    "generate_ephemeral",
    "generate_keypair",
    "get_fingerprint",
    "load_keys",
    "save_keys",
]


@dataclass(frozen=True, slots=True)
class AgentKeys:
    """An agent's identity: an Ed25519 key pair, and the agent's name."""

    ed25519_secret: bytes = field(repr=False)
    """Seed, 32 bytes."""
    ed25519_public: bytes
    """Public key, 32 bytes."""
    agent_name: str = ""

    def get_fingerprint(self) -> str:
        """Return the node id: the first 32 hex digits of SHA-256 of the public key."""
        return get_fingerprint(self.ed25519_public)

    def get_public_key_base64(self) -> str:
        """Return the public key in base64."""
        return base64.b64encode(self.ed25519_public).decode()

    def get_signing_key(self) -> SigningKey:
        """Return PyNaCl's signing key."""
        return SigningKey(self.ed25519_secret)

    def get_verify_key(self) -> VerifyKey:
        """Return PyNaCl's verify key."""
        return VerifyKey(self.ed25519_public)

    def __reduce__(self) -> NoReturn:
        raise TypeError("AgentKeys are not pickled: write them with save_keys")


def generate_keypair(agent_name: str = "") -> AgentKeys:
    """Return a new identity."""
    seed = secrets.token_bytes(sodium.SEED_BYTES)
    return AgentKeys(seed, sodium.sign_public(seed), agent_name)


def generate_ephemeral() -> tuple[PrivateKey, PublicKey]:
    """Return a new X25519 key pair for one session."""
    return generate_ephemeral_keypair()


def save_keys(
    keys: AgentKeys,
    path: str | PathLike[str],
    passphrase: str | None = None,
    allow_plaintext: bool = False,
) -> None:
    """Write a new key file, mode 0600, encrypted with the passphrase; nothing is overwritten.

    Args:
        allow_plaintext: without a passphrase, write the seed as it is, and warn. The file then
            has the published form (version 2), which a node encrypts when it first reads it.

    Raises:
        PassphraseError: no passphrase, or one of fewer than 12 characters.
        InvalidKeyError: the two halves do not belong together.
        KeyFileExistsError: there is a file at `path`.
        KeyFileError: the file cannot be written.
    """
    identity = _identity(keys)
    if passphrase:
        secret = Secret(passphrase)
        check_length(secret)
        data_key = Secret(secrets.token_bytes(sodium.KEY_BYTES))
        node_keys = NodeKeys(identity, data_key, keys.agent_name)
        data = seal_new(node_keys, secret, MODERATE_KDF, secrets.token_bytes)
    elif allow_plaintext:
        warnings.warn("the secret key is written without encryption", stacklevel=2)
        data = _plaintext(keys)
    else:
        raise PassphraseError(
            "identity keys are not written without encryption", "give a passphrase"
        )
    keyfiles.save_new(Path(path).expanduser(), data)


def load_keys(path: str | PathLike[str], passphrase: str | None = None) -> AgentKeys:
    """Read the identity from a key file of any version.

    Raises:
        FileNotFoundError: there is none.
        PassphraseError: the file is encrypted and there is no passphrase.
        WrongPassphraseError: the passphrase does not open it.
        KeyFileError: it is damaged.
    """
    stored = keyfiles.find(Path(path).expanduser())
    if stored is None:
        raise FileNotFoundError(f"there is no key file at {path}")
    opened = stored.open(Secret(passphrase) if passphrase else None)
    return AgentKeys(opened.identity.seed.reveal(), opened.identity.public, opened.agent_name)


def get_fingerprint(public_key_bytes: bytes) -> str:
    """Return the node id of an Ed25519 public key (32 bytes)."""
    return node_id_of(public_key_bytes)


def ed25519_to_curve25519_public(ed25519_public: bytes) -> bytes:
    """Return the X25519 form (32 bytes) of an Ed25519 public key (32 bytes).

    Raises:
        InvalidKeyError: not a usable Ed25519 public key.
    """
    try:
        return sodium.sign_public_to_box(ed25519_public)
    except sodium.CryptoError as error:
        raise InvalidKeyError("not a usable Ed25519 public key", "check the bytes") from error


def ed25519_to_curve25519_secret(ed25519_secret: bytes) -> bytes:
    """Return the X25519 secret (32 bytes) that belongs to an Ed25519 seed (32 bytes).

    Raises:
        InvalidKeyError: the seed is not 32 bytes.
    """
    if len(ed25519_secret) != sodium.SEED_BYTES:
        raise InvalidKeyError("the Ed25519 seed is not 32 bytes", "use AgentKeys.ed25519_secret")
    return sodium.sign_seed_to_box(ed25519_secret)


def _identity(keys: AgentKeys) -> Identity:
    if len(keys.ed25519_secret) == sodium.SEED_BYTES:
        identity = Identity.from_seed(keys.ed25519_secret)
        if sodium.same(identity.public, keys.ed25519_public):
            return identity
    raise InvalidKeyError("the keys are not an Ed25519 key pair", "make one with generate_keypair")


def _plaintext(keys: AgentKeys) -> bytes:
    members = {
        "version": 2,
        "agent_name": keys.agent_name,
        "ed25519_public": keys.get_public_key_base64(),
        "ed25519_secret": base64.b64encode(keys.ed25519_secret).decode(),
        "encrypted": False,
    }
    return json.dumps(members, indent=2).encode()

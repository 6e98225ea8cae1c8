"""Key files of the published package: versions 2 and 3, read so that they can be migrated.

Source: wire specification, section 12. Members that these versions do not define are ignored:
the files are not ours, and all that we keep of them is the Ed25519 seed, which must yield the
public key.
"""

from __future__ import annotations

import base64
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from ironmesh.config import KdfCost
from ironmesh.crypto import sodium
from ironmesh.crypto.identity import Identity
from ironmesh.crypto.kdf import stretch
from ironmesh.errors import KeyFileError, PassphraseError, WrongPassphraseError
from ironmesh.types import Secret

PUBLISHED_COST: Final = KdfCost(passes=3, memory_bytes=256 * 1024 * 1024)
MAX_NAME_CHARS: Final = 256
RESTORE: Final = "restore it from a backup; it was left as it is"

_SUBKEY_CONTEXT: Final = b"ironmesh-sig-v1/x25519-identity-binding\0"
_SEALED_BYTES: Final = sodium.BOX_NONCE_BYTES + sodium.BOX_TAG_BYTES + sodium.SEED_BYTES

PublicKey = Annotated[bytes, Meta(min_length=32, max_length=32)]
Salt = Annotated[bytes, Meta(min_length=sodium.SALT_BYTES, max_length=sodium.SALT_BYTES)]
Name = Annotated[str, Meta(max_length=MAX_NAME_CHARS)]
_SealedSeed = Annotated[bytes, Meta(min_length=_SEALED_BYTES, max_length=_SEALED_BYTES)]
_Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]


class Version2(msgspec.Struct, frozen=True):
    """Key file version 2; bytes are base64 text in the file."""

    version: int
    agent_name: Name
    ed25519_public: PublicKey
    encrypted: bool
    ed25519_secret: Secret | None = None
    ed25519_secret_encrypted: _SealedSeed | None = None
    salt: Salt | None = None

    def __post_init__(self) -> None:
        self._check_form(self.ed25519_secret, self.ed25519_secret_encrypted)

    def _check_form(self, plain: Secret | None, sealed: bytes | None) -> None:
        wanted, unwanted = (sealed, plain) if self.encrypted else (plain, sealed)
        if wanted is None or unwanted is not None or (self.encrypted and self.salt is None):
            raise ValueError("`encrypted` contradicts the other members")

    def open(self, passphrase: Secret | None) -> Identity:
        """Return the identity in this file.

        Raises:
            PassphraseError: the file is encrypted and no passphrase was given.
            WrongPassphraseError: the passphrase does not open it.
            KeyFileError: the seed does not belong to the public key.
        """
        return self._open(self._box_key(passphrase))

    def _open(self, box_key: bytes) -> Identity:
        seed = _unbox(box_key, self.ed25519_secret, self.ed25519_secret_encrypted)
        return identity_of(seed, self.ed25519_public)

    def _box_key(self, passphrase: Secret | None) -> bytes:
        if not self.encrypted or self.salt is None:
            return b""
        if passphrase is None:
            raise no_passphrase()
        return stretch(passphrase, self.salt, PUBLISHED_COST)


class Version3(Version2, frozen=True, kw_only=True):
    """Key file version 3: the same Ed25519 seed, and an X25519 subkey that the seed signed."""

    format: Literal["master-seed-v1"]
    x25519_public: PublicKey
    x25519_binding_signature: _Signature
    x25519_seed: Secret | None = None
    x25519_seed_encrypted: _SealedSeed | None = None

    def __post_init__(self) -> None:
        self._check_form(self.ed25519_secret, self.ed25519_secret_encrypted)
        self._check_form(self.x25519_seed, self.x25519_seed_encrypted)
        bound = _SUBKEY_CONTEXT + self.x25519_public
        if not sodium.verify(self.ed25519_public, bound, self.x25519_binding_signature):
            raise ValueError("the X25519 subkey is not signed by the identity")

    def _open(self, box_key: bytes) -> Identity:
        subkey = _unbox(box_key, self.x25519_seed, self.x25519_seed_encrypted)
        if not sodium.same(sodium.box_public(subkey), self.x25519_public):
            raise KeyFileError("the key file's X25519 seed and public key do not belong", RESTORE)
        return super()._open(box_key)


def decode_secret(kind: type, value: object) -> Secret:
    """Decode a member of type `Secret`: base64 of a 32-byte seed (msgspec's `dec_hook`).

    Raises:
        ValueError: it is not.
    """
    if kind is not Secret or not isinstance(value, str):
        raise ValueError("not base64 text")
    seed = base64.b64decode(value, validate=True)
    if len(seed) != sodium.SEED_BYTES:
        raise ValueError("not 32 bytes")
    return Secret(seed)


def identity_of(seed: bytes, public: bytes) -> Identity:
    """Return the identity of a seed that must yield this public key.

    Raises:
        KeyFileError: it does not.
    """
    identity = Identity.from_seed(seed)
    if not sodium.same(identity.public, public):
        raise KeyFileError("the key file's seed and public key do not belong together", RESTORE)
    return identity


def no_passphrase() -> PassphraseError:
    """Return the error for an encrypted key file that is opened without a passphrase."""
    return PassphraseError("the key file is encrypted", "give its passphrase")


def wrong_passphrase() -> WrongPassphraseError:
    """Return the error for a passphrase that does not open a key file."""
    return WrongPassphraseError(
        "the passphrase does not open the key file",
        "give the one that the file was made with (as the keys passphrase, where it is not "
        "the mesh passphrase)",
    )


def _unbox(box_key: bytes, plain: Secret | None, sealed: bytes | None) -> bytes:
    if plain is not None:
        return plain.reveal()
    nonce, box = (
        (sealed or b"")[: sodium.BOX_NONCE_BYTES],
        (sealed or b"")[sodium.BOX_NONCE_BYTES :],
    )
    try:
        return sodium.secretbox_open(box_key, nonce, box)
    except sodium.CryptoError as error:
        raise wrong_passphrase() from error

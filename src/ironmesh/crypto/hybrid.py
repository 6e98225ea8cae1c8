"""Key agreement, key derivation and sealing of the native wire.

X25519 (RFC 7748) is libsodium's, which is quicker at new keys; ML-KEM-768 (FIPS 203) and
ChaCha20-Poly1305 (RFC 8439) are those of `cryptography`; HKDF-SHA256 (RFC 5869) is two HMACs.
Nothing that starts with `ironmesh --version` may import this: `cryptography` takes its time.
"""

from __future__ import annotations

import hmac
from typing import Final, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl import bindings
from nacl.exceptions import RuntimeError as NaclRuntimeError

from ironmesh.crypto.sodium import CryptoError
from ironmesh.errors import IronMeshError
from ironmesh.types import Random, Secret

KEY_BYTES: Final = 32
X25519_BYTES: Final = 32
KEM_SEED_BYTES: Final = 64
KEM_PUBLIC_BYTES: Final = 1184
KEM_CIPHERTEXT_BYTES: Final = 1088
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
ZERO_NONCE: Final = bytes(NONCE_BYTES)
"""For keys that seal one thing only."""

_HASH_BYTES: Final = 32


class MissingAlgorithmError(IronMeshError):
    """This machine's libraries lack something that the native wire needs."""

    code = "missing_algorithm"


# --- X25519 ---------------------------------------------------------------------------------------


class X25519Pair(msgspec.Struct, frozen=True):
    """An ephemeral X25519 key pair. Make one with `generate`."""

    public: bytes
    _secret: Secret

    @classmethod
    def generate(cls, random: Random) -> X25519Pair:
        """Return a new pair from 32 bytes of `random`."""
        secret = random(X25519_BYTES)
        return cls(bindings.crypto_scalarmult_base(secret), Secret(secret))

    def agree(self, peer_public: bytes) -> bytes:
        """Return the shared secret (32).

        Raises:
            CryptoError: the result is all zero (a low-order key), or not 32 bytes were given.
        """
        if len(peer_public) != X25519_BYTES:
            raise CryptoError("the peer's X25519 key is not 32 bytes")
        try:
            return bindings.crypto_scalarmult(self._secret.reveal(), peer_public)
        except NaclRuntimeError as error:
            raise CryptoError("the peer's X25519 key has low order") from error


# --- ML-KEM-768 -----------------------------------------------------------------------------------


class Encapsulated(NamedTuple):
    """A secret, and the ciphertext that gives it to the holder of a KEM key."""

    ciphertext: bytes
    """1,088 bytes."""
    secret: bytes
    """32 bytes."""

    def __repr__(self) -> str:
        return "Encapsulated(***)"


class KemPair(msgspec.Struct, frozen=True):
    """An ephemeral ML-KEM-768 key pair. Make one with `generate`."""

    public: bytes
    """1,184 bytes."""
    _private: MLKEM768PrivateKey

    @classmethod
    def generate(cls, random: Random) -> KemPair:
        """Return a new pair from 64 bytes of `random` (the seed `d || z`).

        Raises:
            MissingAlgorithmError: this build of `cryptography` has no ML-KEM.
        """
        try:
            private = MLKEM768PrivateKey.from_seed_bytes(random(KEM_SEED_BYTES))
        except UnsupportedAlgorithm as error:
            raise _missing() from error
        return cls(private.public_key().public_bytes_raw(), private)

    def open(self, ciphertext: bytes) -> bytes:
        """Return the secret (32) of a ciphertext; a forged one gives another secret, no error.

        Raises:
            CryptoError: not 1,088 bytes.
        """
        try:
            return self._private.decapsulate(ciphertext)
        except ValueError as error:
            raise CryptoError("the ML-KEM ciphertext cannot be used") from error

    def __repr__(self) -> str:
        return "KemPair(***)"


def encapsulate(public: bytes) -> Encapsulated:
    """Return a fresh secret for the holder of an ML-KEM-768 key; the library draws its randomness.

    Raises:
        CryptoError: `public` is not an encoded key (1,184 bytes, coefficients in range).
        MissingAlgorithmError: this build of `cryptography` has no ML-KEM.
    """
    try:
        secret, ciphertext = MLKEM768PublicKey.from_public_bytes(public).encapsulate()
    except UnsupportedAlgorithm as error:
        raise _missing() from error
    except ValueError as error:
        raise CryptoError("the peer's ML-KEM key cannot be used") from error
    return Encapsulated(ciphertext, secret)


def _missing() -> MissingAlgorithmError:
    return MissingAlgorithmError(
        "the cryptography package of this Python has no ML-KEM-768",
        "install its wheel from the package index, or build it with OpenSSL 3.5 or later",
    )


# --- HKDF-SHA256 ----------------------------------------------------------------------------------


def extract(salt: bytes, *secrets: bytes) -> Secret:
    """Return HKDF-Extract (32) of the secrets put one after the other; each has a fixed length."""
    return Secret(hmac.digest(salt, b"".join(secrets), "sha256"))


def expand(key: Secret, info: bytes, size: int = KEY_BYTES) -> bytes:
    """Return HKDF-Expand of a 32-byte key, at most 8,160 bytes."""
    block, output = b"", b""
    for number in range(1, -(-size // _HASH_BYTES) + 1):
        block = hmac.digest(key.reveal(), block + info + bytes([number]), "sha256")
        output += block
    return output[:size]


# --- ChaCha20-Poly1305 ----------------------------------------------------------------------------


def seal(key: bytes, nonce: bytes, plaintext: bytes | memoryview, associated: bytes) -> bytes:
    """Return ciphertext and tag: 16 bytes longer. No key may seal twice under one nonce."""
    return ChaCha20Poly1305(key).encrypt(nonce, plaintext, associated)


def open_sealed(key: bytes, nonce: bytes, sealed: bytes | memoryview, associated: bytes) -> bytes:
    """Open what `seal` made.

    Raises:
        CryptoError: wrong key, nonce or associated data, or the bytes were changed.
    """
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, sealed, associated)
    except InvalidTag as error:
        raise CryptoError("the seal does not open") from error

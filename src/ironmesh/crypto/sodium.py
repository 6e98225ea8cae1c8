"""The one thin layer over libsodium: every primitive of the 0.8 wire and of the key file.

Hashes are libsodium's as well: a node without peers would load those of OpenSSL for nothing else.

All keys, nonces and signatures are plain `bytes` of the length that the name states; lengths are
checked by libsodium's binding. A failed check raises `CryptoError` and says nothing of the reason.
"""

from __future__ import annotations

from typing import Final

from nacl import bindings
from nacl.exceptions import CryptoError as _NaclCryptoError
from nacl.exceptions import RuntimeError as _NaclRuntimeError
from nacl.exceptions import TypeError as _NaclTypeError
from nacl.exceptions import ValueError as _NaclValueError

from ironmesh.errors import IronMeshError

KEY_BYTES: Final = 32
SEED_BYTES: Final = 32
PUBLIC_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
BOX_NONCE_BYTES: Final = 24
BOX_TAG_BYTES: Final = 16
SALT_BYTES: Final = 16
SEAL_OVERHEAD_BYTES: Final = 48

_BLOCK_BYTES: Final = 64
"""Of SHA-256."""
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))

_FAILURES: Final = (_NaclCryptoError, _NaclRuntimeError, _NaclTypeError, _NaclValueError)


class CryptoError(IronMeshError):
    """A signature, a seal or a key did not check."""

    code = "crypto"


def same(left: bytes, right: bytes) -> bool:
    """Compare two secrets in constant time."""
    return bindings.sodium_memcmp(left, right)


def sha256(data: bytes) -> bytes:
    """SHA-256, 32 bytes."""
    return bindings.crypto_hash_sha256(data)


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA256, 32 bytes (RFC 2104)."""
    block = (sha256(key) if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
    return sha256(block.translate(_OUTER) + sha256(block.translate(_INNER) + data))


def blake2b(data: bytes, *, size_bytes: int, key: bytes = b"") -> bytes:
    """BLAKE2b of `size_bytes`, keyed unless `key` (up to 64 bytes) is empty (RFC 7693)."""
    return bindings.crypto_generichash_blake2b_salt_personal(data, size_bytes, key)


def derive(key: bytes, label: str) -> bytes:
    """Derive a 32-byte key for one purpose from a 32-byte key: keyed BLAKE2b-256 of the label."""
    return blake2b(label.encode(), size_bytes=KEY_BYTES, key=key)


# --- Ed25519 (RFC 8032) ---------------------------------------------------------------------------


def sign_public(seed: bytes) -> bytes:
    """Return the Ed25519 public key (32) of a seed (32)."""
    public, _secret = bindings.crypto_sign_seed_keypair(seed)
    return public


def sign_secret(seed: bytes) -> bytes:
    """Return libsodium's 64-byte secret key of a seed: what `sign` takes."""
    _public, secret = bindings.crypto_sign_seed_keypair(seed)
    return secret


def sign(secret: bytes, data: bytes) -> bytes:
    """Return the detached signature (64) of `data` under a 64-byte secret key."""
    return bindings.crypto_sign(data, secret)[:SIGNATURE_BYTES]


def verify(public: bytes, data: bytes, signature: bytes) -> bool:
    """Tell whether `signature` (64) of `data` is by `public` (32)."""
    if len(signature) != SIGNATURE_BYTES or len(public) != PUBLIC_BYTES:
        return False
    try:
        bindings.crypto_sign_open(signature + data, public)
    except _FAILURES:
        return False
    return True


# --- X25519 and boxes -----------------------------------------------------------------------------


def box_public(secret: bytes) -> bytes:
    """Return the X25519 public key (32) of a secret (32)."""
    return bindings.crypto_scalarmult_base(secret)


def box_beforenm(public: bytes, secret: bytes) -> bytes:
    """Return HSalsa20(X25519(secret, public), zeros): the session key of the 0.8 wire.

    Raises:
        CryptoError: the X25519 result is all zero (a low-order public key).
    """
    try:
        point = bindings.crypto_scalarmult(secret, public)
        if same(point, bytes(KEY_BYTES)):
            raise CryptoError("the peer's key has low order")
        return bindings.crypto_box_beforenm(public, secret)
    except _FAILURES as error:
        raise CryptoError("the peer's key cannot be used") from error


def sign_public_to_box(public: bytes) -> bytes:
    """Return the X25519 form (32) of an Ed25519 public key (32).

    Raises:
        CryptoError: `public` is not a usable point.
    """
    try:
        return bindings.crypto_sign_ed25519_pk_to_curve25519(public)
    except _FAILURES as error:
        raise CryptoError("not an Ed25519 public key") from error


def sign_seed_to_box(seed: bytes) -> bytes:
    """Return the X25519 secret (32) that belongs to an Ed25519 seed (32)."""
    return bindings.crypto_sign_ed25519_sk_to_curve25519(sign_secret(seed))


def secretbox(key: bytes, nonce: bytes, plaintext: bytes) -> bytes:
    """XSalsa20-Poly1305: return tag (16) and ciphertext; key 32 bytes, nonce 24 bytes."""
    return bindings.crypto_secretbox(plaintext, nonce, key)


def secretbox_open(key: bytes, nonce: bytes, sealed: bytes) -> bytes:
    """Open what `secretbox` made.

    Raises:
        CryptoError: wrong key, or the bytes were changed.
    """
    try:
        return bindings.crypto_secretbox_open(sealed, nonce, key)
    except _FAILURES as error:
        raise CryptoError("the box does not open") from error


def seal(public: bytes, plaintext: bytes) -> bytes:
    """NaCl sealed box to an X25519 public key; 48 bytes longer than the plaintext."""
    return bindings.crypto_box_seal(plaintext, public)


def seal_open(public: bytes, secret: bytes, sealed: bytes) -> bytes:
    """Open a NaCl sealed box.

    Raises:
        CryptoError: not sealed to this key, or the bytes were changed.
    """
    if len(sealed) < SEAL_OVERHEAD_BYTES:
        raise CryptoError("the sealed box is too short")
    try:
        return bindings.crypto_box_seal_open(sealed, public, secret)
    except _FAILURES as error:
        raise CryptoError("the sealed box does not open") from error


# --- Argon2id -------------------------------------------------------------------------------------


def argon2id(passphrase: bytes, salt: bytes, *, passes: int, memory_bytes: int) -> bytes:
    """Stretch a passphrase to 32 bytes with Argon2id v1.3, one lane (RFC 9106).

    Args:
        salt: 16 bytes.
        passes: time cost, at least 1.
        memory_bytes: memory cost, at least 8 KiB.

    Raises:
        CryptoError: the cost is out of range or the memory is not to be had.
    """
    try:
        return bindings.crypto_pwhash_alg(
            KEY_BYTES, passphrase, salt, passes, memory_bytes, bindings.crypto_pwhash_ALG_ARGON2ID13
        )
    except _FAILURES as error:
        raise CryptoError("Argon2id failed with these parameters") from error

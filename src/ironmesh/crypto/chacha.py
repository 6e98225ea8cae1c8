"""ChaCha20-Poly1305 (RFC 8439) under one key, by whichever library is there.

`cryptography` is the quicker one, and takes eight megabytes: sessions need it, a node without peers
does not. So libsodium does it until something else has loaded `cryptography`. Both give the same
bytes.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from nacl import bindings
from nacl.exceptions import CryptoError as NaclError

from ironmesh.crypto.sodium import CryptoError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

_TAG_BYTES: Final = 16
_QUICK: Final = "cryptography.hazmat.primitives.ciphers.aead"


class ChaCha:
    """Seals and opens under a key of 32 bytes; no nonce of 12 bytes may seal twice."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._quick: ChaCha20Poly1305 | None = None

    def seal(self, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        """Return ciphertext and tag: 16 bytes longer."""
        quick = self._quick or self._quicker()
        if quick is not None:
            return quick.encrypt(nonce, plaintext, associated)
        return bindings.crypto_aead_chacha20poly1305_ietf_encrypt(
            plaintext, associated, nonce, self._key
        )

    def open(self, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
        """Open what `seal` made.

        Raises:
            CryptoError: wrong key, nonce or associated data, or the bytes were changed.
        """
        quick = self._quick or self._quicker()
        if quick is None:
            return _open_slowly(self._key, nonce, sealed, associated)
        from cryptography.exceptions import InvalidTag

        try:
            return quick.decrypt(nonce, sealed, associated)
        except InvalidTag as error:
            raise _failed() from error

    def _quicker(self) -> ChaCha20Poly1305 | None:
        if _QUICK not in sys.modules:
            return None
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        self._quick = ChaCha20Poly1305(self._key)
        return self._quick


def _open_slowly(key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
    if len(sealed) < _TAG_BYTES:
        raise _failed()
    try:
        return bindings.crypto_aead_chacha20poly1305_ietf_decrypt(sealed, associated, nonce, key)
    except NaclError as error:
        raise _failed() from error


def _failed() -> CryptoError:
    return CryptoError("the seal does not open")

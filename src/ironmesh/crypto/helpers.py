"""Small cryptographic conveniences for programs that use IronMesh; the node itself needs none.

They take and give PyNaCl's key objects and plain bytes. What fails raises one of our errors that
is also the exception which users of PyNaCl expect.
"""

from __future__ import annotations

import warnings
from typing import Literal

from nacl.exceptions import BadSignatureError
from nacl.exceptions import CryptoError as NaclCryptoError
from nacl.public import PrivateKey, PublicKey
from nacl.secret import SecretBox
from nacl.signing import SigningKey, VerifyKey

from ironmesh.crypto import sodium
from ironmesh.crypto.sodium import CryptoError


class InvalidKeyError(CryptoError, ValueError):
    """Not a key of the right length and kind."""

    code = "invalid_key"


class DecryptError(CryptoError, NaclCryptoError, ValueError):
    """A message does not open: another key, or it was changed."""

    code = "decrypt"


class InvalidSignatureError(CryptoError, BadSignatureError):
    """A signature is not by this key over this message."""

    code = "invalid_signature"


def encrypt_message(shared_key: bytes, plaintext: bytes) -> bytes:
    """Encrypt under a 32-byte key: nonce (24) and XSalsa20-Poly1305 box, 40 bytes longer.

    Raises:
        InvalidKeyError: the key is not 32 bytes.
    """
    return bytes(_box(shared_key).encrypt(plaintext))


def decrypt_message(shared_key: bytes, ciphertext: bytes) -> bytes:
    """Open what `encrypt_message` made.

    Raises:
        InvalidKeyError: the key is not 32 bytes.
        DecryptError: another key, or the bytes were changed.
    """
    box = _box(shared_key)
    try:
        return box.decrypt(ciphertext)
    except (NaclCryptoError, ValueError) as error:
        raise DecryptError("the message does not open", "check the key and the bytes") from error


def ecdh_exchange(my_private: PrivateKey, their_public: PublicKey) -> bytes:
    """Return the 32-byte key that two X25519 key pairs share (NaCl `crypto_box_beforenm`).

    Raises:
        CryptoError: their key has low order.
    """
    return sodium.box_beforenm(bytes(their_public), bytes(my_private))


def generate_ephemeral_keypair() -> tuple[PrivateKey, PublicKey]:
    """Return a new X25519 key pair."""
    private = PrivateKey.generate()
    return private, private.public_key


def sign_message(signing_key: SigningKey, message: bytes) -> bytes:
    """Return the Ed25519 signature (64 bytes), followed by the message."""
    return bytes(signing_key.sign(message))


def verify_signature(verify_key: VerifyKey, signed: bytes) -> bytes:
    """Return the message that `sign_message` signed.

    Raises:
        InvalidSignatureError: not by this key, or changed.
    """
    signature, message = signed[: sodium.SIGNATURE_BYTES], signed[sodium.SIGNATURE_BYTES :]
    verify_detached(verify_key, message, signature)
    return message


def sign_detached(signing_key: SigningKey, message: bytes) -> bytes:
    """Return the Ed25519 signature (64 bytes) of a message."""
    return signing_key.sign(message).signature


def verify_detached(verify_key: VerifyKey, message: bytes, signature: bytes) -> Literal[True]:
    """Return True; whatever is not a signature of this message by this key raises.

    Raises:
        InvalidSignatureError: not by this key, or changed.
    """
    if not sodium.verify(bytes(verify_key), message, signature):
        raise InvalidSignatureError("the signature is not valid", "do not use the message")
    return True


def secure_wipe(buffer: object) -> None:
    """Overwrite a bytearray or memoryview with zeros; any other value only draws a warning."""
    view = memoryview(buffer) if isinstance(buffer, bytearray | memoryview) else None
    if view is None or view.readonly:
        warnings.warn(
            f"secure_wipe cannot overwrite this {type(buffer).__name__}: keep secrets in a "
            "bytearray",
            stacklevel=2,
        )
        return
    view.cast("B")[:] = bytes(view.nbytes)


def _box(shared_key: bytes) -> SecretBox:
    if len(shared_key) != sodium.KEY_BYTES:
        raise InvalidKeyError("the key is not 32 bytes", "use the result of ecdh_exchange")
    return SecretBox(shared_key)

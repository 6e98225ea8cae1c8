"""Ed25519ph: every signature of the native wire (RFC 8032, section 5.1; no context).

Its signatures never pass as plain Ed25519 and plain ones never as these, so nothing that anybody
signed on the 0.8 wire can be shown here.
"""

from __future__ import annotations

from nacl import bindings
from nacl.exceptions import CryptoError as _NaclCryptoError
from nacl.exceptions import RuntimeError as _NaclRuntimeError
from nacl.exceptions import TypeError as _NaclTypeError
from nacl.exceptions import ValueError as _NaclValueError

from ironmesh.crypto.sodium import PUBLIC_BYTES, SIGNATURE_BYTES

_FAILURES = (_NaclCryptoError, _NaclRuntimeError, _NaclTypeError, _NaclValueError)


def sign(secret: bytes, data: bytes) -> bytes:
    """Return the detached signature (64) of `data` under a 64-byte secret key of libsodium."""
    state = bindings.crypto_sign_ed25519ph_state()
    bindings.crypto_sign_ed25519ph_update(state, data)
    return bindings.crypto_sign_ed25519ph_final_create(state, secret)


def verify(public: bytes, data: bytes, signature: bytes) -> bool:
    """Tell whether `signature` (64) of `data` is by `public` (32)."""
    if len(signature) != SIGNATURE_BYTES or len(public) != PUBLIC_BYTES:
        return False
    state = bindings.crypto_sign_ed25519ph_state()
    bindings.crypto_sign_ed25519ph_update(state, data)
    try:
        return bindings.crypto_sign_ed25519ph_final_verify(state, signature, public)
    except _FAILURES:
        return False

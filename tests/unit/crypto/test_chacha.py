"""ChaCha20-Poly1305 by either library: the same bytes, the same refusals."""

from __future__ import annotations

import sys

import pytest
from cryptography.hazmat.primitives.ciphers import aead

from ironmesh.crypto.chacha import ChaCha
from ironmesh.crypto.sodium import CryptoError

KEY, NONCE = bytes(range(32)), bytes(range(12))
MODULE = aead.__name__


@pytest.fixture(params=["libsodium", "cryptography"])
def cipher(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ChaCha:
    if request.param == "libsodium":
        monkeypatch.delitem(sys.modules, MODULE)
    return ChaCha(KEY)


def test_what_one_library_seals_the_other_opens(cipher: ChaCha) -> None:
    reference = aead.ChaCha20Poly1305(KEY)
    sealed = cipher.seal(NONCE, b"text", b"row")
    assert sealed == reference.encrypt(NONCE, b"text", b"row")
    assert cipher.open(NONCE, sealed, b"row") == b"text"


@pytest.mark.parametrize("sealed", [b"", b"short", bytes(16), bytes(40)])
def test_what_was_not_sealed_under_this_key_is_refused(cipher: ChaCha, sealed: bytes) -> None:
    with pytest.raises(CryptoError):
        cipher.open(NONCE, sealed, b"row")


def test_what_was_sealed_for_another_row_is_refused(cipher: ChaCha) -> None:
    sealed = cipher.seal(NONCE, b"text", b"row")
    with pytest.raises(CryptoError):
        cipher.open(NONCE, sealed, b"another row")


def test_a_cipher_goes_on_with_the_quicker_library_once_that_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cipher = ChaCha(KEY)
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, MODULE)
        before = cipher.seal(NONCE, b"text", b"row")
    assert cipher.open(NONCE, before, b"row") == b"text"

"""X25519, ML-KEM-768, HKDF and ChaCha20-Poly1305 as the native wire uses them."""

from __future__ import annotations

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from tests.support.legacy import seeded

from ironmesh.crypto import hybrid
from ironmesh.crypto.hybrid import KemPair, X25519Pair
from ironmesh.crypto.sodium import CryptoError
from ironmesh.types import Secret


def test_x25519_is_that_of_rfc_7748() -> None:
    scalar = bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
    point = bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
    result = "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
    assert X25519Pair.generate(lambda _size: scalar).agree(point).hex() == result


@pytest.mark.parametrize("low", ["00" * 32, "01" + "00" * 31, "ec" + "ff" * 30 + "7f"])
def test_an_x25519_key_of_low_order_is_refused(low: str) -> None:
    with pytest.raises(CryptoError, match="X25519"):
        X25519Pair.generate(seeded("x")).agree(bytes.fromhex(low))


def test_an_x25519_key_of_another_length_is_refused() -> None:
    with pytest.raises(CryptoError, match="X25519"):
        X25519Pair.generate(seeded("x")).agree(bytes(31))


def test_ml_kem_gives_both_sides_one_secret() -> None:
    pair = KemPair.generate(seeded("kem"))
    sent = hybrid.encapsulate(pair.public)
    assert len(pair.public) == hybrid.KEM_PUBLIC_BYTES
    assert len(sent.ciphertext) == hybrid.KEM_CIPHERTEXT_BYTES
    assert pair.open(sent.ciphertext) == sent.secret
    assert len(sent.secret) == hybrid.KEY_BYTES


def test_a_forged_kem_ciphertext_gives_another_secret() -> None:
    pair = KemPair.generate(seeded("kem"))
    sent = hybrid.encapsulate(pair.public)
    forged = bytes([sent.ciphertext[0] ^ 1]) + sent.ciphertext[1:]
    assert pair.open(forged) != sent.secret


@pytest.mark.parametrize("public", [b"", bytes(1183), b"\xff" * 1184])
def test_what_is_no_kem_key_is_refused(public: bytes) -> None:
    with pytest.raises(CryptoError, match="ML-KEM"):
        hybrid.encapsulate(public)


def test_a_kem_ciphertext_of_another_length_is_refused() -> None:
    with pytest.raises(CryptoError, match="ML-KEM"):
        KemPair.generate(seeded("kem")).open(bytes(1087))


def test_a_library_without_ml_kem_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lacking:
        """What `cryptography` does when its OpenSSL is too old."""

        @staticmethod
        def refuse(_data: bytes) -> None:
            raise UnsupportedAlgorithm("ML-KEM-768")

        from_seed_bytes = from_public_bytes = refuse

    monkeypatch.setattr(hybrid, "MLKEM768PrivateKey", Lacking)
    monkeypatch.setattr(hybrid, "MLKEM768PublicKey", Lacking)
    with pytest.raises(hybrid.MissingAlgorithmError, match="OpenSSL"):
        KemPair.generate(seeded("kem"))
    with pytest.raises(hybrid.MissingAlgorithmError, match="OpenSSL"):
        hybrid.encapsulate(bytes(1184))


def test_hkdf_is_that_of_rfc_5869() -> None:
    extracted = hybrid.extract(bytes(range(13)), b"\x0b" * 22)
    assert extracted.reveal().hex() == (
        "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
    )
    assert hybrid.expand(extracted, bytes(range(0xF0, 0xFA)), 42).hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )


def test_secrets_are_extracted_in_order() -> None:
    assert hybrid.extract(b"s", b"ab", b"c") == hybrid.extract(b"s", b"abc")
    assert hybrid.extract(b"s", b"a", b"b") != hybrid.extract(b"s", b"b", b"a")


def test_a_seal_opens_only_as_it_was_made() -> None:
    key, nonce = bytes(32), bytes(12)
    sealed = hybrid.seal(key, nonce, b"text", b"header")
    assert hybrid.open_sealed(key, nonce, sealed, b"header") == b"text"
    for wrong in (
        (b"\x01" * 32, nonce, sealed, b"header"),
        (key, b"\x01" * 12, sealed, b"header"),
        (key, nonce, sealed[:-1] + bytes([sealed[-1] ^ 1]), b"header"),
        (key, nonce, sealed, b"heater"),
        (key, nonce, sealed[:7], b"header"),
    ):
        with pytest.raises(CryptoError, match="seal"):
            hybrid.open_sealed(*wrong)


def test_nothing_secret_shows() -> None:
    pair, kem = X25519Pair.generate(seeded("x")), KemPair.generate(seeded("kem"))
    sent = hybrid.encapsulate(kem.public)
    assert "private" not in repr(kem)
    assert repr(pair._secret.reveal()) not in repr(pair)
    assert repr(sent.secret) not in repr(sent)
    assert isinstance(hybrid.extract(b"", b""), Secret)

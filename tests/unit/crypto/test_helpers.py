"""The conveniences that programs import from `ironmesh.crypto` and `ironmesh.mesh_crypto`."""

from __future__ import annotations

import os
import subprocess
import sys

import nacl.exceptions
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.public import PrivateKey, PublicKey
from nacl.signing import SigningKey
from tests.support.vectors import load

from ironmesh import crypto
from ironmesh.crypto import helpers
from ironmesh.crypto.sodium import CryptoError
from ironmesh.mesh_crypto import can_seal_to, seal_to_destination, unseal_from_source

KEY = bytes(range(32))
SIGNING = SigningKey(KEY)


def test_every_exported_name_is_the_helper_of_that_name() -> None:
    for name in crypto.__all__:
        assert getattr(crypto, name) is getattr(helpers, name)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = crypto.no_such_name


def test_the_helpers_are_loaded_only_when_they_are_used() -> None:
    code = "import sys, ironmesh.crypto; sys.exit('nacl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@given(st.binary(max_size=300))
def test_a_message_opens_under_the_same_key(plaintext: bytes) -> None:
    sealed = crypto.encrypt_message(KEY, plaintext)
    assert len(sealed) == len(plaintext) + 40
    assert crypto.decrypt_message(KEY, sealed) == plaintext


@pytest.mark.parametrize("sealed", [b"", b"short", bytes(40), bytes(100)])
def test_a_changed_message_does_not_open(sealed: bytes) -> None:
    for kind in (CryptoError, nacl.exceptions.CryptoError, ValueError):
        with pytest.raises(kind):
            crypto.decrypt_message(KEY, sealed)


def test_a_key_of_the_wrong_length_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        crypto.encrypt_message(b"short", b"")
    with pytest.raises(helpers.InvalidKeyError):
        crypto.decrypt_message(b"short", bytes(60))


def test_both_sides_of_an_exchange_get_one_key() -> None:
    vector = load("session_key")["vectors"][0]
    private = PrivateKey(bytes.fromhex(vector["private_a_hex"]))
    public = PublicKey(bytes.fromhex(vector["public_b_hex"]))
    assert crypto.ecdh_exchange(private, public).hex() == vector["session_key_hex"]
    (a, public_a), (b, public_b) = (crypto.generate_ephemeral_keypair() for _ in "ab")
    assert crypto.ecdh_exchange(a, public_b) == crypto.ecdh_exchange(b, public_a)


def test_an_exchange_with_a_low_order_key_is_refused() -> None:
    with pytest.raises(CryptoError):
        crypto.ecdh_exchange(PrivateKey.generate(), PublicKey(bytes(32)))


def test_signatures_verify_attached_and_detached() -> None:
    signed = crypto.sign_message(SIGNING, b"hello")
    signature = crypto.sign_detached(SIGNING, b"hello")
    assert signed == signature + b"hello"
    assert crypto.verify_signature(SIGNING.verify_key, signed) == b"hello"
    assert crypto.verify_detached(SIGNING.verify_key, b"hello", signature) is True


def test_a_bad_signature_raises_even_where_the_result_would_be_ignored() -> None:
    signature = crypto.sign_detached(SIGNING, b"hello")
    other = SigningKey.generate().verify_key
    for key, message, offered in (
        (SIGNING.verify_key, b"hullo", signature),
        (SIGNING.verify_key, b"hello", signature[:-1]),
        (SIGNING.verify_key, b"hello", b""),
        (other, b"hello", signature),
    ):
        for kind in (CryptoError, nacl.exceptions.BadSignatureError):
            with pytest.raises(kind):
                crypto.verify_detached(key, message, offered)
        with pytest.raises(helpers.InvalidSignatureError):
            crypto.verify_signature(key, offered + message)


def test_a_wiped_buffer_is_zero() -> None:
    buffer = bytearray(b"secret")
    crypto.secure_wipe(buffer)
    assert buffer == bytes(6)
    buffer = bytearray(b"secret")
    crypto.secure_wipe(memoryview(buffer)[:3])
    assert buffer == b"\0\0\0ret"


@pytest.mark.parametrize("value", [b"secret", "secret", memoryview(b"secret")])
def test_what_cannot_be_wiped_is_said(value: object) -> None:
    with pytest.warns(UserWarning, match="bytearray"):
        crypto.secure_wipe(value)


def test_published_sealed_copies_open() -> None:
    vectors = load("e2e_seal")
    seed = bytes.fromhex(vectors["recipient"]["ed25519_seed_hex"])
    for vector in [*vectors["vectors"], vectors["sample_fixed_ephemeral"]]:
        opened = unseal_from_source(bytes.fromhex(vector["sealed_hex"]), seed)
        assert opened.hex() == vector["plaintext_hex"]
    for vector in vectors["negative"]:
        with pytest.raises(helpers.DecryptError):
            unseal_from_source(
                bytes.fromhex(vector["sealed_hex"]), bytes.fromhex(vector["secret_seed_hex"])
            )


@given(st.binary(max_size=300))
def test_what_is_sealed_opens_for_its_destination(plaintext: bytes) -> None:
    sealed = seal_to_destination(plaintext, bytes(SIGNING.verify_key))
    assert len(sealed) == len(plaintext) + 48
    assert unseal_from_source(sealed, KEY) == plaintext


@pytest.mark.parametrize("public", [None, b"", bytes(31), bytes(32), b"\x01" + bytes(31)])
def test_nothing_is_sealed_to_what_is_no_key(public: bytes | None) -> None:
    assert not can_seal_to(public)
    if public is not None:
        with pytest.raises(ValueError, match="Ed25519"):
            seal_to_destination(b"x", public)


def test_bad_input_to_unseal_is_a_value_error() -> None:
    for sealed, seed in ((b"", KEY), (os.urandom(60), KEY), (os.urandom(60), b"short")):
        with pytest.raises(ValueError):
            unseal_from_source(sealed, seed)

"""Ed25519ph, and that it has nothing in common with Ed25519."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.support.legacy import identity

from ironmesh.crypto import prehash, sodium

ALICE = identity("alice")


def test_a_signature_is_that_of_rfc_8032() -> None:
    seed = bytes.fromhex("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42")
    signature = prehash.sign(sodium.sign_secret(seed), b"abc")
    assert signature.hex() == (
        "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41"
        "31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406"
    )
    assert prehash.verify(sodium.sign_public(seed), b"abc", signature)


@given(data=st.binary(max_size=300), bit=st.integers(0, 511))
def test_no_bit_of_a_signature_can_change(data: bytes, bit: int) -> None:
    signature = bytearray(ALICE.sign_prehashed(data))
    assert prehash.verify(ALICE.public, data, bytes(signature))
    signature[bit // 8] ^= 1 << bit % 8
    assert not prehash.verify(ALICE.public, data, bytes(signature))


@given(data=st.binary(max_size=300))
def test_neither_kind_of_signature_passes_as_the_other(data: bytes) -> None:
    assert not prehash.verify(ALICE.public, data, ALICE.sign(data))
    assert not sodium.verify(ALICE.public, data, ALICE.sign_prehashed(data))


def test_wrong_lengths_and_keys_are_refused() -> None:
    signature = ALICE.sign_prehashed(b"data")
    assert not prehash.verify(ALICE.public, b"data", signature[:-1])
    assert not prehash.verify(ALICE.public[:-1], b"data", signature)
    assert not prehash.verify(bytes(32), b"data", signature)
    assert not prehash.verify(identity("bob").public, b"data", signature)
    assert not prehash.verify(ALICE.public, b"date", signature)

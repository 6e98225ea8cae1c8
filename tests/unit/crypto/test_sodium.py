"""Hashes are those that everybody has under these names."""

from __future__ import annotations

import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st

from ironmesh.crypto import sodium


@given(st.binary(max_size=300))
def test_sha256_is_the_one_of_the_standard(data: bytes) -> None:
    assert sodium.sha256(data) == hashlib.sha256(data).digest()


@given(st.binary(max_size=200), st.binary(max_size=300))
def test_hmac_is_the_one_of_the_standard_with_keys_of_any_length(key: bytes, data: bytes) -> None:
    assert sodium.hmac_sha256(key, data) == hmac.digest(key, data, "sha256")


def test_hmac_of_a_known_key_and_text() -> None:  # RFC 4231, test cases 2 and 6
    assert sodium.hmac_sha256(b"Jefe", b"what do ya want for nothing?").hex() == (
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )
    text = b"Test Using Larger Than Block-Size Key - Hash Key First"
    assert sodium.hmac_sha256(b"\xaa" * 131, text).hex() == (
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
    )


@given(st.binary(max_size=64), st.binary(max_size=300), st.integers(16, 64))
def test_blake2b_is_the_one_of_the_standard(key: bytes, data: bytes, size: int) -> None:
    expected = hashlib.blake2b(data, digest_size=size, key=key).digest()
    assert sodium.blake2b(data, size_bytes=size, key=key) == expected


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_same_tells_what_an_equals_sign_would(left: bytes, right: bytes) -> None:
    assert sodium.same(left, right) == (left == right)
    assert sodium.same(left, bytes(left))

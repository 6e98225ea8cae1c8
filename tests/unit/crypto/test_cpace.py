"""CPace against the numbers of draft-irtf-cfrg-cpace, big integers, and another implementation."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl import bindings
from tests.support.curve import elligator2

from ironmesh.crypto import cpace
from ironmesh.crypto.cpace import Share, Transcript
from ironmesh.crypto.sodium import CryptoError
from ironmesh.types import Secret

# Appendix B.1 of the draft.
PRS = Secret("Password")
CI = bytes.fromhex("6f630b425f726573706f6e6465720b415f696e69746961746f72")
SID = bytes.fromhex("7e4b4791d6a8ef019b936c79fb7f2c57")
GENERATOR = "64e8099e3ea682cfdc5cb665c057ebb514d06bf23ebc9f743b51b82242327074"
SCALAR_A = bytes.fromhex("21b4f4bd9e64ed355c3eb676a28ebedaf6d8f17bdc365995b319097153044080")
SCALAR_B = bytes.fromhex("848b0779ff415f0af4ea14df9dd1d3c29ac41d836c7808896c4eba19c51ac40a")
SHARE_A = bytes.fromhex("1b02dad6dbd29a07b6d28c9e04cb2f184f0734350e32bb7e62ff9dbcfdb63d15")
SHARE_B = bytes.fromhex("20cda5955f82c4931545bcbf40758ce1010d7db4db2a907013d79c7a8fcf957f")
POINT = "f97fdfcfff1c983ed6283856a401de3191ca919902b323c5f950c9703df7297a"
ISK = (
    "a051ee5ee2499d16da3f69f430218b8ea94a18a45b67f9e86495b382c33d14a5"
    "c38cecc0cc834f960e39e0d1bf7d76b9ef5d54eecc5e0f386c97ad12da8c3d5f"
)
TRANSCRIPT = Transcript(SID, SHARE_A, b"ADa", SHARE_B, b"ADb")

LOW_ORDER_SCALAR = bytes.fromhex("af46e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449aff")
LOW_ORDER = {
    "u0": "0000000000000000000000000000000000000000000000000000000000000000",
    "u1": "0100000000000000000000000000000000000000000000000000000000000000",
    "u2": "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "u3": "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "u4": "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "u5": "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "u7": "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}
ODDLY_ENCODED = {
    "u6": (
        "daffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "d8e2c776bbacd510d09fd9278b7edcd25fc5ae9adfba3b6e040e8d3b71b21806",
    ),
    "u8": (
        "dbffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "c85c655ebe8be44ba9c0ffde69f2fe10194458d137f09bbff725ce58803cdb38",
    ),
    "u9": (
        "d9ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "db64dafa9b8fdd136914e61461935fe92aa372cb056314e1231bc4ec12417456",
    ),
    "ua": (
        "cdeb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b880",
        "e062dcd5376d58297be2618c7498f55baa07d7e03184e8aada20bca28888bf7a",
    ),
    "ub": (
        "4c9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f11d7",
        "993c6ad11c4c29da9a56f7691fd0ff8d732e49de6250b6c2e80003ff4629a175",
    ),
}


def share(scalar: bytes, prs: Secret = PRS, ci: bytes = CI, sid: bytes = SID) -> Share:
    return cpace.make_share(prs, ci, sid, lambda _size: scalar)


def test_the_generator_string_is_the_drafts() -> None:
    zeros = bytes(109)
    assert cpace.generator_string(PRS.reveal(), CI, SID) == (
        b"\x08CPace255\x08Password\x6d" + zeros + b"\x1a" + CI + b"\x10" + SID
    )


def test_a_long_secret_leaves_no_room_for_zeros_and_its_length_takes_two_bytes() -> None:
    long = bytes(200)
    assert cpace.generator_string(long, b"", b"") == (
        b"\x08CPace255" + b"\xc8\x01" + long + b"\x00" + b"\x00" + b"\x00"
    )


def test_both_shares_are_the_drafts() -> None:
    assert share(SCALAR_A).public == SHARE_A
    assert share(SCALAR_B).public == SHARE_B


def test_the_secret_point_is_the_drafts() -> None:
    assert cpace._shared_point(SCALAR_A, SHARE_B).hex() == POINT
    assert cpace._shared_point(SCALAR_B, SHARE_A).hex() == POINT


def test_the_session_key_is_the_drafts_on_both_sides() -> None:
    assert cpace.session_key(share(SCALAR_A), SHARE_B, TRANSCRIPT).hex() == ISK
    assert cpace.session_key(share(SCALAR_B), SHARE_A, TRANSCRIPT).hex() == ISK


def test_the_reference_map_gives_the_drafts_generator() -> None:
    hashed = hashlib.sha512(cpace.generator_string(PRS.reveal(), CI, SID)).digest()[:32]
    assert elligator2(hashed).hex() == GENERATOR


@settings(max_examples=25, deadline=None)
@given(
    prs=st.binary(min_size=1, max_size=200),
    ci=st.binary(max_size=150),
    sid=st.binary(max_size=64),
    scalar=st.binary(min_size=32, max_size=32),
)
def test_a_share_is_the_x25519_multiple_of_the_drafts_generator(
    prs: bytes, ci: bytes, sid: bytes, scalar: bytes
) -> None:
    hashed = hashlib.sha512(cpace.generator_string(prs, ci, sid)).digest()[:32]
    expected = bindings.crypto_scalarmult(scalar, elligator2(hashed))
    assert share(scalar, Secret(prs), ci, sid).public == expected


@pytest.mark.parametrize("name", LOW_ORDER)
def test_a_share_of_low_order_is_refused(name: str) -> None:
    point = bytes.fromhex(LOW_ORDER[name])
    with pytest.raises(CryptoError, match="low order"):
        cpace.session_key(share(LOW_ORDER_SCALAR), point, TRANSCRIPT)


@pytest.mark.parametrize("name", ODDLY_ENCODED)
def test_the_unused_bit_of_a_share_is_ignored_as_in_the_draft(name: str) -> None:
    point, expected = ODDLY_ENCODED[name]
    assert cpace._shared_point(LOW_ORDER_SCALAR, bytes.fromhex(point)).hex() == expected


def test_a_generator_of_low_order_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    neutral = b"\x01" + bytes(31)
    monkeypatch.setattr(bindings, "crypto_core_ed25519_from_uniform", lambda _hashed: neutral)
    with pytest.raises(CryptoError, match="generator"):
        share(SCALAR_A)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_share_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(CryptoError, match="32 bytes"):
        cpace.session_key(share(SCALAR_A), bytes(size), TRANSCRIPT)


@pytest.mark.parametrize(
    "changed",
    [
        Transcript(SID + b"x", SHARE_A, b"ADa", SHARE_B, b"ADb"),
        Transcript(SID, SHARE_B, b"ADa", SHARE_B, b"ADb"),
        Transcript(SID, SHARE_A, b"ADx", SHARE_B, b"ADb"),
        Transcript(SID, SHARE_A, b"ADa", SHARE_A, b"ADb"),
        Transcript(SID, SHARE_A, b"ADa", SHARE_B, b"ADx"),
        Transcript(SID, SHARE_B, b"ADb", SHARE_A, b"ADa"),
    ],
)
def test_whatever_differs_in_the_transcript_changes_the_key(changed: Transcript) -> None:
    assert cpace.session_key(share(SCALAR_A), SHARE_B, changed).hex() != ISK


def test_another_secret_channel_or_session_gives_another_share() -> None:
    shares = {
        share(SCALAR_A).public,
        share(SCALAR_A, prs=Secret("Passwort")).public,
        share(SCALAR_A, ci=b"another").public,
        share(SCALAR_A, sid=b"another").public,
    }
    assert len(shares) == 4


@settings(max_examples=20, deadline=None)
@given(prs=st.binary(min_size=1, max_size=64), scalar=st.binary(min_size=32, max_size=32))
def test_another_implementation_agrees(prs: bytes, scalar: bytes) -> None:
    theirs = pytest.importorskip("cpace")
    other = theirs.CPace.start(
        role=theirs.CPaceRole.RESPONDER, prs=prs, sid=SID, ci=CI, ad=b"responder data"
    )
    ours = share(scalar, Secret(prs))
    other.derive(ours.public, peer_ad=b"initiator data")
    said = Transcript(SID, ours.public, b"initiator data", other.public_share, b"responder data")
    assert cpace.session_key(ours, other.public_share, said) == other.isk


def test_a_share_does_not_show_its_scalar() -> None:
    assert SCALAR_A.hex() not in repr(share(SCALAR_A))
    assert repr(SCALAR_A) not in repr(share(SCALAR_A))

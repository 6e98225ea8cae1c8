"""Identities and session keys, by the published vectors."""

from __future__ import annotations

import hashlib
import os

import pytest
from tests.support.vectors import load

from ironmesh.crypto import sodium
from ironmesh.crypto.identity import Identity, PublicIdentity, node_id_of
from ironmesh.types import is_node_id


@pytest.mark.parametrize("vector", load("identity")["vectors"], ids=lambda v: v["name"])
def test_an_identity_follows_from_its_seed(vector: dict) -> None:
    identity = Identity.from_seed(bytes.fromhex(vector["seed_hex"]))
    assert identity.public.hex() == vector["public_hex"]
    assert identity.node_id == node_id_of(identity.public) == vector["node_id"]
    assert PublicIdentity(identity.public).node_id == vector["node_id"]
    assert sodium.sign_public_to_box(identity.public).hex() == vector["x25519_public_hex"]
    assert identity.box_secret().hex() == vector["x25519_secret_hex"]


def test_a_new_identity_signs_what_others_verify() -> None:
    identity = Identity.generate(os.urandom)
    assert is_node_id(identity.node_id)
    signature = identity.sign(b"data")
    assert sodium.verify(identity.public, b"data", signature)
    assert not sodium.verify(identity.public, b"dat", signature)
    assert not sodium.verify(Identity.generate(os.urandom).public, b"data", signature)


def test_the_secret_half_does_not_show() -> None:
    identity = Identity.from_seed(bytes(range(32)))
    assert repr(bytes(range(32))) not in repr(identity)
    assert bytes(range(32)).hex() not in repr(identity)


def test_the_session_key_is_the_same_on_both_sides() -> None:
    for vector in load("session_key")["vectors"]:
        a, b = (bytes.fromhex(vector[f"private_{side}_hex"]) for side in "ab")
        assert sodium.box_public(a).hex() == vector["public_a_hex"]
        keys = {
            sodium.box_beforenm(sodium.box_public(b), a).hex(),
            sodium.box_beforenm(sodium.box_public(a), b).hex(),
        }
        assert keys == {vector["session_key_hex"]}


def test_a_key_of_low_order_makes_no_session_key() -> None:
    for point in (bytes(32), b"\x01" + bytes(31)):
        with pytest.raises(sodium.CryptoError):
            sodium.box_beforenm(point, os.urandom(32))


def test_a_published_subkey_is_bound_to_the_identity() -> None:
    vectors = load("v095_additions")
    binding = vectors["x25519_binding"]
    public = bytes.fromhex(binding["x25519_public_hex"])
    signature = bytes.fromhex(binding["signature_hex"])
    signed = bytes.fromhex(binding["context_hex"]) + public
    assert sodium.box_public(bytes.fromhex(binding["x25519_seed_hex"])) == public
    assert sodium.verify(bytes.fromhex(vectors["alice_public_hex"]), signed, signature)


def test_a_node_id_is_the_first_128_bits_of_the_keys_sha256() -> None:
    public = Identity.generate(os.urandom).public
    assert node_id_of(public) == hashlib.sha256(public).hexdigest()[:32]

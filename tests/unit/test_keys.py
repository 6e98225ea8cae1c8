"""`ironmesh.keys`: identities for programs that handle them on their own."""

from __future__ import annotations

import json
import pickle
import stat
from pathlib import Path

import pytest
from nacl.public import PrivateKey, PublicKey
from nacl.signing import SigningKey, VerifyKey
from tests.support.vectors import load

from ironmesh import keys as module
from ironmesh.config import MINIMAL_KDF
from ironmesh.errors import KeyFileExistsError, WrongPassphraseError
from ironmesh.keys import (
    AgentKeys,
    ed25519_to_curve25519_public,
    ed25519_to_curve25519_secret,
    generate_ephemeral,
    generate_keypair,
    get_fingerprint,
    load_keys,
    save_keys,
)

PASSPHRASE = "orbit velvet canyon plum"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MODERATE_KDF", MINIMAL_KDF)


@pytest.mark.parametrize("vector", load("identity")["vectors"], ids=lambda v: v["name"])
def test_keys_have_the_published_shapes(vector: dict) -> None:
    seed, public = (bytes.fromhex(vector[f"{half}_hex"]) for half in ("seed", "public"))
    keys = AgentKeys(seed, public, vector["name"])
    assert keys.get_fingerprint() == get_fingerprint(public) == vector["node_id"]
    assert keys.get_public_key_base64() == vector["public_base64"]
    assert isinstance(keys.get_signing_key(), SigningKey)
    assert isinstance(keys.get_verify_key(), VerifyKey)
    assert keys.get_signing_key().verify_key == keys.get_verify_key()
    assert ed25519_to_curve25519_public(public).hex() == vector["x25519_public_hex"]
    assert ed25519_to_curve25519_secret(seed).hex() == vector["x25519_secret_hex"]


def test_new_keys_differ_and_carry_the_name() -> None:
    one, two = generate_keypair("alice"), generate_keypair()
    assert (one.agent_name, two.agent_name) == ("alice", "")
    assert one.ed25519_secret != two.ed25519_secret
    private, public = generate_ephemeral()
    assert isinstance(private, PrivateKey)
    assert isinstance(public, PublicKey)


def test_saved_keys_load_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "keys.json"
    keys = generate_keypair("alice")
    save_keys(keys, str(path), PASSPHRASE)
    assert load_keys(str(path), PASSPHRASE) == keys
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert keys.ed25519_secret not in path.read_bytes()
    assert json.loads(path.read_bytes())["encrypted"] is True


def test_a_key_file_is_found_in_the_home_folder(private_home: Path) -> None:
    keys = generate_keypair("alice")
    save_keys(keys, "~/keys.json", PASSPHRASE)
    assert (private_home / "keys.json").exists()
    assert load_keys("~/keys.json", PASSPHRASE) == keys


def test_plaintext_needs_permission_and_warns(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys = generate_keypair("alice")
    with pytest.raises(ValueError, match="without encryption"):
        save_keys(keys, path)
    assert not path.exists()
    with pytest.warns(UserWarning, match="without encryption"):
        save_keys(keys, path, allow_plaintext=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_keys(path) == keys


def test_a_passphrase_counts_even_where_plaintext_is_allowed(tmp_path: Path) -> None:
    save_keys(generate_keypair(), tmp_path / "keys.json", PASSPHRASE, allow_plaintext=True)
    assert json.loads((tmp_path / "keys.json").read_bytes())["encrypted"] is True


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    save_keys(generate_keypair("alice"), path, PASSPHRASE)
    before = path.read_bytes()
    with pytest.raises(KeyFileExistsError):
        save_keys(generate_keypair("bob"), path, PASSPHRASE)
    assert path.read_bytes() == before


def test_loading_says_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with pytest.raises(FileNotFoundError):
        load_keys(path, PASSPHRASE)
    save_keys(generate_keypair("alice"), path, PASSPHRASE)
    with pytest.raises(WrongPassphraseError):
        load_keys(path, PASSPHRASE + "x")
    with pytest.raises(ValueError, match="encrypted"):
        load_keys(path)


def test_a_short_passphrase_or_a_mixed_pair_is_not_saved(tmp_path: Path) -> None:
    one, two = generate_keypair(), generate_keypair()
    with pytest.raises(ValueError, match="12 characters"):
        save_keys(one, tmp_path / "keys.json", "short")
    for mixed in (
        AgentKeys(one.ed25519_secret, two.ed25519_public),
        AgentKeys(b"short", one.ed25519_public),
    ):
        with pytest.raises(ValueError, match="pair"):
            save_keys(mixed, tmp_path / "keys.json", PASSPHRASE)
    assert not list(tmp_path.iterdir())


def test_conversions_refuse_what_is_no_key() -> None:
    with pytest.raises(ValueError, match="Ed25519"):
        ed25519_to_curve25519_public(bytes(32))
    with pytest.raises(ValueError, match="32 bytes"):
        ed25519_to_curve25519_secret(b"short")


def test_the_secret_half_does_not_show() -> None:
    keys = generate_keypair("alice")
    assert repr(keys.ed25519_secret) not in repr(keys)
    with pytest.raises(TypeError):
        pickle.dumps(keys)

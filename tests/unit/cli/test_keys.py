import base64
import json
import stat
import sys

import pytest
from tests.support import fake_keyring

from ironmesh.config import MINIMAL_KDF
from ironmesh.crypto.identity import node_id_of

PASSPHRASE = "correct horse battery staple"


@pytest.fixture(autouse=True)
def passphrase(monkeypatch):
    monkeypatch.setattr("ironmesh.cli.keys.MODERATE_KDF", MINIMAL_KDF)
    monkeypatch.setenv("IRONMESH_PASSPHRASE", PASSPHRASE)


@pytest.fixture
def keychain(monkeypatch):
    return fake_keyring.install(monkeypatch, fake_keyring.Backend())


def test_generate_makes_an_encrypted_private_key_file(ironmesh, tmp_path):
    result = ironmesh("keys", "generate", "--name", "alice", "--home", tmp_path)
    path = tmp_path / "nodes" / "alice" / "keys.json"
    assert result.code == 0
    assert str(path) in result.out
    assert "Encrypted:   yes" in result.out
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert PASSPHRASE not in path.read_text() + result.out + result.err


def test_generate_never_overwrites(ironmesh, tmp_path, monkeypatch):
    path = tmp_path / "keys.json"
    assert ironmesh("keys", "generate", "--path", path).code == 0
    before = path.read_bytes()
    monkeypatch.delenv("IRONMESH_PASSPHRASE")
    result = ironmesh("keys", "generate", "--path", path)
    assert result.code == 1
    assert "there is a key file already" in result.err
    assert path.read_bytes() == before


def test_generate_leaves_damage_alone(ironmesh, tmp_path):
    path = tmp_path / "keys.json"
    path.write_text("damaged")
    result = ironmesh("keys", "generate", "--path", path)
    assert result.code == 1
    assert len(result.err.splitlines()) == 1
    assert path.read_text() == "damaged"


@pytest.mark.parametrize("name", ["a/b", "..", ""])
def test_generate_refuses_names_that_no_node_may_have(ironmesh, tmp_path, name):
    assert ironmesh("keys", "generate", "--name", name, "--home", tmp_path).code == 1


def test_info_needs_no_passphrase(ironmesh, tmp_path, monkeypatch):
    made = ironmesh("keys", "generate", "--name", "alice", "--home", tmp_path)
    monkeypatch.delenv("IRONMESH_PASSPHRASE")
    assert ironmesh("keys", "info", "--home", tmp_path).out == made.out
    info = json.loads(ironmesh("keys", "info", "--name", "alice", "--home", tmp_path, "--json").out)
    assert info["name"] == "alice"
    assert info["node_id"] == node_id_of(base64.b64decode(info["public_key_b64"]))


def test_info_without_a_node_says_how_to_make_one(ironmesh, tmp_path):
    result = ironmesh("keys", "info", "--home", tmp_path)
    assert result.code == 1
    assert "ironmesh keys generate" in result.err


def test_info_of_several_nodes_wants_a_name(ironmesh, tmp_path):
    for name in ("alice", "bob"):
        ironmesh("keys", "generate", "--name", name, "--home", tmp_path)
    result = ironmesh("keys", "info", "--home", tmp_path)
    assert result.code == 1
    assert "alice, bob" in result.err


def test_the_keychain_keeps_and_forgets_a_passphrase(ironmesh, keychain, monkeypatch):
    monkeypatch.setenv("IRONMESH_PASSPHRASE_NEW", PASSPHRASE)
    arguments = ("--name", "alice", "--json")
    stored = ironmesh("keys", "keychain-store", "--passphrase-from-env", *arguments)
    assert json.loads(stored.out)["stored"] is True
    assert keychain.entries == {("ironmesh", "alice"): PASSPHRASE}
    assert json.loads(ironmesh("keys", "keychain-clear", *arguments).out) == {"removed": True}
    assert json.loads(ironmesh("keys", "keychain-clear", *arguments).out) == {"removed": False}
    assert ironmesh("keys", "keychain-clear", "--name", "alice").code == 0


@pytest.mark.parametrize(("value", "told"), [("", "is not set"), ("short", "12 characters")])
def test_only_a_usable_passphrase_is_kept(ironmesh, keychain, monkeypatch, value, told):
    monkeypatch.setenv("IRONMESH_PASSPHRASE_NEW", value)
    result = ironmesh("keys", "keychain-store", "--name", "alice", "--passphrase-from-env")
    assert result.code == 1
    assert told in result.err
    assert not keychain.entries


def test_a_locked_keychain_is_one_line(ironmesh, keychain, monkeypatch):
    keychain.is_locked = True
    monkeypatch.setenv("IRONMESH_PASSPHRASE_NEW", PASSPHRASE)
    for command in (["keychain-store", "--passphrase-from-env"], ["keychain-clear"]):
        result = ironmesh("keys", *command, "--name", "alice")
        assert result.code == 1
        assert "the keychain refused" in result.err


def test_keychain_check(ironmesh, keychain, monkeypatch):
    assert ironmesh("keys", "keychain-check").out.startswith("available: keyring.backends")
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert ironmesh("keys", "keychain-check").code == 1

import json
import shlex

import pytest

from ironmesh.config import MINIMAL_KDF
from ironmesh.store import keyfiles
from ironmesh.types import Secret

PASSPHRASE = "correct horse battery staple"
BASE = ("setup", "--non-interactive", "--name", "alice")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("ironmesh.cli.setup.MODERATE_KDF", MINIMAL_KDF)


@pytest.fixture
def passphrase(monkeypatch):
    monkeypatch.setenv("IRONMESH_SETUP_PASSPHRASE", PASSPHRASE)


def test_a_node_is_set_up_from_flags(ironmesh, passphrase, tmp_path):
    home = tmp_path / "mesh"
    result = ironmesh(
        *BASE, "--home", home, "--port", "9000", "--mesh", "kitchen", "--allowed-peers", "bob,zoe",
        "--passphrase-from-env", "--json",
    )  # fmt: skip
    assert result.code == 0, result.err
    facts = json.loads(result.out)
    assert facts["run"] == f"ironmesh run --home {home} --name alice"
    assert (home / "passphrase").read_text().strip() == PASSPHRASE
    stored = keyfiles.find(home / "nodes" / "alice" / "keys.json")
    assert stored.is_encrypted
    assert stored.open(Secret(PASSPHRASE)).identity.node_id == facts["node_id"]
    text = (home / "nodes" / "alice" / "config.toml").read_text()
    assert "port = 9000" in text
    assert 'mesh = "kitchen"' in text
    assert 'allowed_peers = ["bob", "zoe"]' in text
    assert PASSPHRASE not in result.out + result.err + text


def test_a_passphrase_that_is_made_is_shown_once_and_only_to_people(ironmesh, tmp_path):
    result = ironmesh(*BASE, "--home", tmp_path / "a", "--generate-passphrase")
    made = (tmp_path / "a" / "passphrase").read_text().strip()
    assert result.out.count(made) == 1
    result = ironmesh(*BASE, "--home", tmp_path / "b", "--generate-passphrase", "--json")
    assert (tmp_path / "b" / "passphrase").read_text().strip() not in result.out + result.err


def test_a_passphrase_file_that_is_there_is_used(ironmesh, tmp_path):
    file = tmp_path / "elsewhere"
    file.write_text(PASSPHRASE)
    file.chmod(0o600)
    result = ironmesh(*BASE, "--home", tmp_path / "mesh", "--passphrase-file", file)
    assert result.code == 0, result.err
    assert "is used" in result.err
    config = (tmp_path / "mesh" / "nodes" / "alice" / "config.toml").read_text()
    assert f'passphrase_file = "{file}"' in config


def test_without_a_passphrase_the_error_names_the_ways(ironmesh, tmp_path):
    result = ironmesh(*BASE, "--home", tmp_path / "mesh")
    assert result.code == 1
    assert "IRONMESH_SETUP_PASSPHRASE" in result.err
    assert "--generate-passphrase" in result.err
    assert not (tmp_path / "mesh").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("setup", "--non-interactive"), 2),
        ((*BASE, "--passphrase-from-env", "--generate-passphrase"), 2),
        ((*BASE, "--passphrase-from-env"), 1),
        ((*BASE, "--enable-trust-gate"), 1),
        (("setup", "--non-interactive", "--name", "a/b"), 1),
        (("setup", "--name", "alice"), 1),
    ],
)
def test_what_cannot_be_done_is_one_line_and_changes_nothing(ironmesh, tmp_path, arguments, code):
    result = ironmesh(*arguments, "--home", tmp_path / "mesh")
    assert result.code == code
    assert len(result.err.splitlines()) == 1
    assert not (tmp_path / "mesh").exists()


def test_a_short_passphrase_is_refused(ironmesh, tmp_path, monkeypatch):
    monkeypatch.setenv("IRONMESH_SETUP_PASSPHRASE", "short")
    result = ironmesh(*BASE, "--home", tmp_path / "mesh")
    assert result.code == 1
    assert "12 characters" in result.err


def test_a_second_setup_needs_force_and_says_where_the_old_files_are(
    ironmesh, passphrase, tmp_path
):
    home = tmp_path / "mesh"
    assert ironmesh(*BASE, "--home", home).code == 0
    assert "--force" in ironmesh(*BASE, "--home", home).err
    result = ironmesh(*BASE, "--home", home, "--force")
    assert result.code == 0
    assert "config.toml.old-1" in result.out


def test_another_passphrase_than_that_of_the_other_nodes_is_pointed_out(
    ironmesh, passphrase, tmp_path, monkeypatch
):
    home = tmp_path / "mesh"
    ironmesh(*BASE, "--home", home)
    monkeypatch.setenv("IRONMESH_SETUP_PASSPHRASE", "quite another passphrase")
    bob = ("setup", "--non-interactive", "--name", "bob", "--home", home)
    assert "--force" in ironmesh(*bob).err
    result = ironmesh(*bob, "--force")
    assert result.code == 0
    assert f"alice may need the old passphrase, which is in {home}/passphrase.old-1" in result.err


def test_what_wins_over_the_file_is_pointed_out(ironmesh, passphrase, tmp_path, monkeypatch):
    monkeypatch.setenv("IRONMESH_PASSPHRASE", "some other passphrase")
    assert "IRONMESH_PASSPHRASE is set" in ironmesh(*BASE, "--home", tmp_path / "mesh").err


def test_a_weak_passphrase_draws_a_warning(ironmesh, tmp_path, monkeypatch):
    monkeypatch.setenv("IRONMESH_SETUP_PASSPHRASE", "password1234")
    assert "weak" in ironmesh(*BASE, "--home", tmp_path / "mesh").err


def test_names_are_quoted_for_the_shell(ironmesh, passphrase, tmp_path):
    home = tmp_path / "a b"
    result = ironmesh(*BASE, "--home", home, "--json")
    run = json.loads(result.out)["run"]
    assert shlex.split(run) == ["ironmesh", "run", "--home", str(home), "--name", "alice"]


def test_a_published_configuration_is_taken_over_first(ironmesh, passphrase, tmp_path):
    home = tmp_path / "mesh"
    home.mkdir(mode=0o700)
    (home / "config.json").write_text('{"agent_name": "alice", "port": 9100}')
    (home / "config.json").chmod(0o600)
    result = ironmesh(*BASE, "--home", home)
    assert result.code == 0
    assert "was taken over" in result.err
    assert "port = 9100" in (home / "nodes" / "alice" / "config.toml").read_text()

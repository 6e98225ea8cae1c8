"""A node's key file on disk: made once, opened, migrated, adopted, never overwritten silently."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.key_files import encrypted_published
from tests.support.vectors import load

from ironmesh.config import MINIMAL_KDF, KdfCost, NodeConfig
from ironmesh.crypto import kdf, keyfile_published
from ironmesh.errors import (
    ConfigError,
    KeyFileError,
    KeyFileExistsError,
    PassphraseError,
    WrongPassphraseError,
)
from ironmesh.store import keyfiles
from ironmesh.store.keyfiles import LoadedKeys, describe, generate, load_or_create, rotate
from ironmesh.types import Secret

PASSPHRASE = Secret("orbit velvet canyon plum")
OWN = Secret("for the key file only")
PLAIN = load("key_file")["vectors"][0]["file"]
SEED = bytes.fromhex(load("key_file")["vectors"][0]["seed_hex"])
ENCRYPTED = encrypted_published(2, SEED, OWN, MINIMAL_KDF)
NODE_ID = load("identity")["vectors"][0]["node_id"]


def config(home: Path, name: str = "alice", **settings: object) -> NodeConfig:
    return NodeConfig(
        **{"name": name, "passphrase": PASSPHRASE, "home": home, "kdf": MINIMAL_KDF, **settings}
    )


def start(home: Path, name: str = "alice", **settings: object) -> LoadedKeys:
    return load_or_create(config(home, name, **settings), os.urandom)


def write(path: Path, members: dict, mode: int = 0o600) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(members))
    path.chmod(mode)
    return path.read_bytes()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, lock files aside."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


@pytest.fixture(autouse=True)
def cheap_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyfile_published, "PUBLISHED_COST", MINIMAL_KDF)


@pytest.fixture
def derivations(monkeypatch: pytest.MonkeyPatch) -> list[KdfCost]:
    """Every Argon2id that is run."""
    seen: list[KdfCost] = []
    real = kdf.stretch

    def counted(passphrase: Secret, salt: bytes, cost: KdfCost) -> bytes:
        seen.append(cost)
        return real(passphrase, salt, cost)

    monkeypatch.setattr("ironmesh.crypto.keyfile.stretch", counted)
    monkeypatch.setattr(keyfile_published, "stretch", counted)
    return seen


# --- New and opened -------------------------------------------------------------------------------


def test_the_first_start_makes_an_encrypted_file_that_the_next_one_opens(
    tmp_path: Path, derivations: list[KdfCost]
) -> None:
    first = start(tmp_path)
    path = tmp_path / "nodes" / "alice" / "keys.json"
    assert derivations == [MINIMAL_KDF]
    assert first.notices == ()
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert json.loads(path.read_bytes())["encrypted"] is True
    for secret in (first.keys.identity.seed, first.keys.data_key):
        assert secret.reveal() not in path.read_bytes()
    assert start(tmp_path) == first
    assert derivations == [MINIMAL_KDF, MINIMAL_KDF]


def test_agents_of_one_home_have_their_own_identities(tmp_path: Path) -> None:
    alice, bob = start(tmp_path, "alice"), start(tmp_path, "bob")
    assert alice.keys.identity.node_id != bob.keys.identity.node_id
    assert alice.keys.data_key != bob.keys.data_key


def test_the_wrong_passphrase_names_the_file_and_the_next_step(tmp_path: Path) -> None:
    start(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(WrongPassphraseError, match=r"nodes/alice/keys\.json") as caught:
        start(tmp_path, passphrase=Secret("another passphrase"))
    assert caught.value.fix
    assert contents(tmp_path) == before


def test_a_passphrase_of_its_own_opens_the_key_file(tmp_path: Path) -> None:
    first = start(tmp_path, keys_passphrase=OWN)
    assert start(tmp_path, keys_passphrase=OWN) == first
    with pytest.raises(WrongPassphraseError):
        start(tmp_path)


@pytest.mark.parametrize("own", [Secret("short"), Secret("")])
def test_no_file_is_made_under_a_short_passphrase(tmp_path: Path, own: Secret) -> None:
    with pytest.raises(PassphraseError):
        start(tmp_path, keys_passphrase=own)
    assert contents(tmp_path) == {}


def test_a_file_that_others_can_read_is_closed_to_them_and_said(tmp_path: Path) -> None:
    first = start(tmp_path)
    path = tmp_path / "nodes" / "alice" / "keys.json"
    path.chmod(0o644)
    path.parent.chmod(0o755)
    second = start(tmp_path)
    assert second.keys == first.keys
    assert "read by others" in second.notices[0]
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)


def test_an_explicit_path_is_used_and_its_folder_left_alone(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    keys = start(tmp_path / "home", keys_path=shared / "id.json")
    assert mode(shared) == 0o755
    assert mode(shared / "id.json") == 0o600
    assert start(tmp_path / "home", keys_path=shared / "id.json") == keys
    made = tmp_path / "made" / "id.json"
    start(tmp_path / "home", keys_path=made)
    assert mode(made.parent) == 0o700


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_a_damaged_file_is_a_named_error_and_stays_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    home = tmp_path_factory.mktemp("damaged")
    start(home)
    path = home / "nodes" / "alice" / "keys.json"
    good = path.read_bytes()
    at = data.draw(st.integers(0, len(good) - 1))
    flip = data.draw(st.integers(0, 255))
    damaged = good[:at] + (bytes([good[at] ^ flip]) + good[at + 1 :] if flip else b"")
    path.write_bytes(damaged)
    for attempt in (lambda: start(home), lambda: describe(path), lambda: rotated(path)):
        with pytest.raises(KeyFileError) as caught:
            attempt()
        assert caught.value.fix
        assert str(path) in str(caught.value)
    assert contents(home) == {"nodes/alice/keys.json": damaged}


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "pipe", tmp_path / "folder", Path("/dev/zero")):
        with pytest.raises(KeyFileError):
            start(tmp_path / "home", keys_path=path)
        with pytest.raises(KeyFileError):
            describe(path)


def test_a_node_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "nodes").mkdir()
    (tmp_path / "nodes" / "alice").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError, match="symbolic link"):
        start(tmp_path)
    assert contents(tmp_path) == {}


def test_a_folder_that_cannot_be_made_is_a_named_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyFileError):
        start(tmp_path / "file")


# --- Migration in place ---------------------------------------------------------------------------


@pytest.mark.parametrize("version", [2, 3])
def test_an_encrypted_published_file_is_migrated_and_kept(
    tmp_path: Path, derivations: list[KdfCost], version: int
) -> None:
    path = tmp_path / "keys.json"
    original = write(path, encrypted_published(version, SEED, OWN, MINIMAL_KDF), 0o644)
    migrated = start(tmp_path / "home", keys_path=path, keys_passphrase=OWN)
    assert migrated.keys.identity.node_id == NODE_ID
    assert len(derivations) == 2
    kept = tmp_path / "keys.json.published"
    assert kept.read_bytes() == original
    assert (mode(kept), mode(path)) == (0o600, 0o600)
    assert describe(path).version == 4
    assert str(kept) in migrated.notices[0]
    again = start(tmp_path / "home", keys_path=path, keys_passphrase=OWN)
    assert again.keys == migrated.keys
    assert again.notices == ()


@pytest.mark.parametrize(
    "members", [PLAIN, load("v095_additions")["key_file_v3_plaintext"]], ids=["v2", "v3"]
)
def test_a_plaintext_file_becomes_encrypted_and_leaves_no_seed_behind(
    tmp_path: Path, members: dict
) -> None:
    path = tmp_path / "home" / "nodes" / "alice" / "keys.json"
    write(path, members, 0o644)
    migrated = start(tmp_path / "home")
    assert migrated.keys.identity.node_id == NODE_ID
    assert migrated.keys.agent_name == "alice"
    assert "not encrypted" in migrated.notices[0]
    assert mode(path) == 0o600
    assert list(contents(tmp_path)) == ["home/nodes/alice/keys.json"]
    for name, data in contents(tmp_path).items():
        assert members["ed25519_secret"].encode() not in data, name
        assert SEED not in data, name
    assert start(tmp_path / "home").keys == migrated.keys


def test_a_migration_that_fails_leaves_the_published_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys.json"
    original = write(path, PLAIN)

    def full(_path: Path, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keyfiles, "write_private", full)
    with pytest.raises(KeyFileError, match="No space left"):
        start(tmp_path / "home", keys_path=path)
    assert path.read_bytes() == original


def test_a_wrong_passphrase_migrates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    original = write(path, ENCRYPTED)
    with pytest.raises(WrongPassphraseError):
        start(tmp_path / "home", keys_path=path)
    assert contents(tmp_path) == {"keys.json": original}


def test_a_plaintext_file_is_not_sealed_under_a_short_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    original = write(path, PLAIN)
    with pytest.raises(PassphraseError):
        start(tmp_path / "home", keys_path=path, passphrase=Secret("short"))
    assert contents(tmp_path) == {"keys.json": original}


def test_a_copy_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    original = write(path, ENCRYPTED)
    (tmp_path / "keys.json.published").write_text("something else")
    settings = {"keys_path": path, "keys_passphrase": OWN}
    with pytest.raises(KeyFileError, match="in the way"):
        start(tmp_path / "home", **settings)
    assert path.read_bytes() == original
    (tmp_path / "keys.json.published").write_bytes(original)
    assert start(tmp_path / "home", **settings).keys.identity.node_id == NODE_ID


# --- Adoption -------------------------------------------------------------------------------------


@pytest.mark.parametrize("members", [PLAIN, ENCRYPTED], ids=["plain", "encrypted"])
def test_a_published_identity_of_the_same_name_is_adopted_by_copy(
    tmp_path: Path, members: dict
) -> None:
    original = write(tmp_path / "keys.json", members)
    adopted = start(tmp_path, keys_passphrase=OWN)
    assert adopted.keys.identity.node_id == NODE_ID
    assert "adopted" in adopted.notices[0]
    assert ("not encrypted" in adopted.notices[0]) is (members is PLAIN)
    assert (tmp_path / "keys.json").read_bytes() == original
    assert describe(tmp_path / "nodes" / "alice" / "keys.json").version == 4
    again = start(tmp_path, keys_passphrase=OWN)
    assert (again.keys, again.notices) == (adopted.keys, ())


def test_another_name_or_an_explicit_path_adopts_nothing(tmp_path: Path) -> None:
    write(tmp_path / "keys.json", PLAIN)
    assert start(tmp_path, "bob").keys.identity.node_id != NODE_ID
    other = start(tmp_path, keys_path=tmp_path / "other.json")
    assert other.keys.identity.node_id != NODE_ID


@pytest.mark.parametrize("members", [ENCRYPTED, {"version": 2}], ids=["closed", "damaged"])
def test_an_identity_that_cannot_be_adopted_is_not_replaced_by_a_new_one(
    tmp_path: Path, members: dict
) -> None:
    original = write(tmp_path / "keys.json", members)
    with pytest.raises(KeyFileError, match=r"keys\.json") as caught:
        start(tmp_path)
    assert caught.value.fix
    assert contents(tmp_path) == {"keys.json": original}


# --- Races ----------------------------------------------------------------------------------------


RACER = """
import os, sys
from pathlib import Path
from ironmesh.config import MINIMAL_KDF, NodeConfig
from ironmesh.store.keyfiles import load_or_create
from ironmesh.types import Secret
passphrase = Secret("orbit velvet canyon plum")
config = NodeConfig(name="alice", passphrase=passphrase, home=Path(sys.argv[1]), kdf=MINIMAL_KDF)
print("ready", flush=True)
sys.stdin.readline()
keys = load_or_create(config, os.urandom).keys
print(keys.identity.node_id, keys.data_key.reveal().hex())
"""


def race(home: Path) -> set[str]:
    """What several processes that start at the same moment come to hold."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", RACER, str(home)]
    racers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    return {racer.communicate()[0] for racer in racers}


def test_processes_that_make_the_file_at_once_share_one_identity(tmp_path: Path) -> None:
    (outcome,) = race(tmp_path)
    keys = start(tmp_path).keys
    assert outcome.split() == [keys.identity.node_id, keys.data_key.reveal().hex()]


def test_processes_that_migrate_at_once_share_one_data_key(tmp_path: Path) -> None:
    write(tmp_path / "nodes" / "alice" / "keys.json", PLAIN)
    (outcome,) = race(tmp_path)
    assert outcome.split() == [NODE_ID, start(tmp_path).keys.data_key.reveal().hex()]


@pytest.mark.parametrize("is_adopted", [False, True])
def test_the_loser_of_a_race_takes_the_file_of_the_winner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_adopted: bool
) -> None:
    if is_adopted:
        write(tmp_path / "keys.json", PLAIN)
    winner: list[LoadedKeys] = []
    real = keyfiles.seal_new

    def overtaken(*arguments: object) -> bytes:
        data = real(*arguments)
        monkeypatch.undo()
        winner.append(start(tmp_path))
        return data

    monkeypatch.setattr(keyfiles, "seal_new", overtaken)
    loser = start(tmp_path)
    assert loser.keys == winner[0].keys
    assert loser.notices == ()


# --- Generate, describe, rotate -------------------------------------------------------------------


def rotated(path: Path) -> keyfiles.Rotation:
    return rotate(path, PASSPHRASE, MINIMAL_KDF, os.urandom)


def generated(path: Path, name: str = "alice") -> keyfiles.KeyFileInfo:
    return generate(path, name, PASSPHRASE, MINIMAL_KDF, os.urandom)


def test_generate_refuses_to_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "new" / "keys.json"
    info = generated(path)
    before = path.read_bytes()
    with pytest.raises(KeyFileExistsError, match=r"keys\.json") as caught:
        generated(path)
    assert caught.value.fix
    assert path.read_bytes() == before
    assert describe(path) == info
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)


def test_generate_refuses_a_bad_name_or_a_short_passphrase(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        generated(tmp_path / "keys.json", "no spaces")
    with pytest.raises(PassphraseError):
        generate(tmp_path / "keys.json", "alice", Secret("short"), MINIMAL_KDF, os.urandom)
    assert contents(tmp_path) == {}


def test_the_public_part_is_told_without_a_passphrase(tmp_path: Path) -> None:
    write(tmp_path / "keys.json", ENCRYPTED)
    info = describe(tmp_path / "keys.json")
    assert (info.version, info.agent_name, info.node_id) == (2, "alice", NODE_ID)
    assert info.is_encrypted
    assert info.public.hex() == load("identity")["vectors"][0]["public_hex"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for attempt in (describe, rotated):
        with pytest.raises(KeyFileError, match="no key file"):
            attempt(tmp_path / "keys.json")


def test_rotation_changes_the_identity_and_keeps_the_data_key(tmp_path: Path) -> None:
    first = start(tmp_path)
    path = tmp_path / "nodes" / "alice" / "keys.json"
    before = path.read_bytes()
    change = rotated(path)
    assert change.old == first.keys
    assert change.new.identity.node_id != first.keys.identity.node_id
    assert change.new.data_key == first.keys.data_key
    assert change.kept.read_bytes() == before
    assert mode(change.kept) == 0o600
    assert start(tmp_path).keys == change.new


def test_rotation_of_a_plaintext_file_leaves_no_seed_behind(tmp_path: Path) -> None:
    write(tmp_path / "keys.json", PLAIN)
    change = rotated(tmp_path / "keys.json")
    assert change.old.identity.node_id == describe(change.kept).node_id == NODE_ID
    assert describe(tmp_path / "keys.json").node_id == change.new.identity.node_id
    for data in contents(tmp_path).values():
        assert PLAIN["ed25519_secret"].encode() not in data


def test_rotation_needs_the_passphrase(tmp_path: Path) -> None:
    start(tmp_path)
    before = contents(tmp_path)
    path = tmp_path / "nodes" / "alice" / "keys.json"
    with pytest.raises(WrongPassphraseError):
        rotate(path, Secret("another passphrase"), MINIMAL_KDF, os.urandom)
    assert contents(tmp_path) == before

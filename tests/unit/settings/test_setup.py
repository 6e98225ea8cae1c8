import os
from dataclasses import replace

import pytest

from ironmesh.config import MINIMAL_KDF
from ironmesh.crypto.passphrase import LEGACY_SAME_MIN_BITS, estimate_bits
from ironmesh.errors import ConfigError, PassphraseError, WrongPassphraseError
from ironmesh.settings import setup as module
from ironmesh.settings.setup import Plan, carry_out, free_port, random_passphrase
from ironmesh.settings.sources import Level, from_file
from ironmesh.store import keyfiles
from ironmesh.types import Secret

PASSPHRASE = Secret("correct horse battery staple")
OTHER = Secret("another passphrase of ours")


@pytest.fixture
def plan(tmp_path):
    home = tmp_path / "home"
    return Plan(
        name="alice",
        home=home,
        passphrase=PASSPHRASE,
        passphrase_file=home / "passphrase",
        is_passphrase_new=True,
        keys_path=None,
        values={"port": 9000, "allowed_peers": ("bob",)},
        is_forced=False,
    )


def do(plan):
    return carry_out(plan, MINIMAL_KDF, os.urandom)


def contents(folder):
    if not folder.exists():
        return None
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_everything_is_there_private_and_fits_together(plan):
    done = do(plan)
    home = plan.home
    assert (home / "passphrase").read_text() == "correct horse battery staple\n"
    stored = keyfiles.find(home / "nodes" / "alice" / "keys.json")
    assert stored.is_encrypted
    assert stored.open(PASSPHRASE).identity.node_id == done.node_id
    assert from_file(home / "config.toml", Level.HOME_FILE)["name"].value == "alice"
    assert from_file(done.config_file, Level.NODE_FILE)["port"].value == 9000
    for path in home.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)


def test_an_interrupt_when_all_is_written_leaves_nothing(plan):
    seen = []

    def interrupted():
        seen.append(contents(plan.home))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(plan, MINIMAL_KDF, os.urandom, on_written=interrupted)
    assert "passphrase" in seen[0]
    assert contents(plan.home) is None


def test_a_folder_that_others_could_enter_is_closed(plan):
    plan.home.mkdir(mode=0o755)
    do(plan)
    assert plan.home.stat().st_mode & 0o777 == 0o700


def test_a_second_node_leaves_the_file_for_all_nodes_alone(plan):
    do(plan)
    before = (plan.home / "config.toml").read_bytes()
    do(replace(plan, name="bob", is_passphrase_new=False))
    assert (plan.home / "config.toml").read_bytes() == before


@pytest.mark.parametrize("is_new", [True, False])
def test_nothing_is_overwritten_unless_forced(plan, is_new):
    do(plan)
    before = contents(plan.home)
    with pytest.raises(ConfigError, match="--force"):
        do(replace(plan, passphrase=OTHER, is_passphrase_new=is_new))
    assert contents(plan.home) == before


def test_forced_the_identity_stays_and_old_files_are_kept(plan):
    first = do(plan)
    again = replace(plan, values={"port": 1}, is_passphrase_new=False, is_forced=True)
    second, third = do(again), do(again)
    assert second.node_id == third.node_id == first.node_id
    assert [path.name for path in second.set_aside] == ["config.toml.old-1"]
    assert [path.name for path in third.set_aside] == ["config.toml.old-2"]
    assert b"9000" in second.set_aside[0].read_bytes()


def test_a_passphrase_that_does_not_open_the_identity_changes_nothing(plan):
    do(plan)
    before = contents(plan.home)
    with pytest.raises(WrongPassphraseError):
        do(replace(plan, passphrase=OTHER, is_forced=True))
    assert contents(plan.home) == before


def test_an_identity_that_was_made_before_is_kept(plan):
    path = plan.home / "nodes" / "alice" / "keys.json"
    info = keyfiles.generate(path, "alice", PASSPHRASE, MINIMAL_KDF, os.urandom)
    assert do(plan).node_id == info.node_id


def test_a_damaged_identity_is_an_error_and_stays(plan):
    path = plan.home / "nodes" / "alice" / "keys.json"
    path.parent.mkdir(parents=True)
    path.write_text("damaged")
    before = contents(plan.home)
    with pytest.raises(ValueError, match=r"keys\.json"):
        do(plan)
    assert contents(plan.home) == before


def test_a_short_passphrase_is_refused_before_anything_is_made(plan):
    with pytest.raises(PassphraseError):
        do(replace(plan, passphrase=Secret("short")))
    assert not plan.home.exists()


@pytest.mark.parametrize("at", range(3))
@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_interrupt_leaves_nothing_half_written(plan, monkeypatch, at, moment):
    create = module.create_private
    calls = iter(range(10))

    def interrupted(path, data):
        is_now = next(calls) == at
        if is_now and moment == "before":
            raise KeyboardInterrupt
        create(path, data)
        if is_now:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "create_private", interrupted)
    with pytest.raises(KeyboardInterrupt):
        do(plan)
    assert not plan.home.exists()


def test_an_interrupt_while_the_identity_is_made_leaves_nothing(plan, monkeypatch):
    load = keyfiles.load_or_create

    def interrupted(*arguments):
        load(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(keyfiles, "load_or_create", interrupted)
    with pytest.raises(KeyboardInterrupt):
        do(plan)
    assert not plan.home.exists()


def test_an_interrupt_puts_forced_files_back(plan, monkeypatch):
    do(plan)
    before = contents(plan.home)

    def interrupted(path, data):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "create_private", interrupted)
    with pytest.raises(KeyboardInterrupt):
        do(replace(plan, is_passphrase_new=False, is_forced=True))
    assert contents(plan.home) == before


def test_a_folder_that_cannot_be_made_is_a_named_error(plan, tmp_path):
    (tmp_path / "home").write_text("a file")
    with pytest.raises(ConfigError) as caught:
        do(plan)
    assert caught.value.fix


def test_a_random_passphrase_is_good_enough_for_every_wire():
    made = [random_passphrase() for _ in range(20)]
    assert len({secret.reveal() for secret in made}) == 20
    assert all(estimate_bits(secret) >= LEGACY_SAME_MIN_BITS for secret in made)


def test_each_node_of_a_folder_gets_a_port_of_its_own(plan):
    assert free_port(plan.home, "alice", 9000) == 9000
    do(plan)
    assert free_port(plan.home, "alice", 9000) == 9000
    assert free_port(plan.home, "bob", 9000) == 9002

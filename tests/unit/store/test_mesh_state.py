"""What a node keeps of the mesh: sealed, private, and whole after a crash."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.legacy import seeded
from tests.support.parcels import START, later, prekeys

from ironmesh.errors import StoreDamagedError, StoreError, StoreFullError
from ironmesh.mesh.sequence import OwnSequence
from ironmesh.session.parcels.prekeys import Prekeys
from ironmesh.store import mesh_state
from ironmesh.store.mesh_state import (
    CAPABILITIES,
    PREKEYS,
    REVOCATIONS,
    ROUTES,
    SEQUENCE,
    MeshState,
)
from ironmesh.types import Secret

DATA_KEY = Secret(bytes(range(32)))


def state_in(folder: Path, data_key: Secret = DATA_KEY) -> MeshState:
    return MeshState(folder, data_key, seeded("nonces"))


def test_nothing_is_there_at_first(tmp_path: Path) -> None:
    state = state_in(tmp_path / "none")
    assert state.load_prekeys() is None
    assert state.load_sequence() == 0
    assert state.load_routes() is None
    assert not (tmp_path / "none").exists()


def test_what_is_saved_is_there_at_the_next_start(tmp_path: Path) -> None:
    keys = prekeys()
    state = state_in(tmp_path / "store")
    state.save_prekeys(keys.state(START))
    state.save_sequence(2**63 + 5)
    state.save_routes(b"routes")
    again = state_in(tmp_path / "store")
    kept = again.load_prekeys()
    assert kept is not None
    restored = Prekeys.restore(kept, later(60))
    assert keys.current is not None
    assert restored.find(keys.current.number) is not None
    assert again.load_sequence() == 2**63 + 5
    assert again.load_routes() == b"routes"
    assert again.load_revocations() is None
    again.save_revocations(b"revocations")
    assert state.load_revocations() == b"revocations"
    assert again.load_capabilities() is None
    again.save_capabilities(b"capabilities")
    assert state.load_capabilities() == b"capabilities"


def test_files_are_private_and_show_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    state = state_in(folder)
    secret = prekeys().state(START).reveal()
    state.save_prekeys(Secret(secret))
    state.save_sequence(7)
    state.save_routes(b"a route to somewhere")
    assert {path.name for path in folder.iterdir()} == {PREKEYS, SEQUENCE, ROUTES}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        data = path.read_bytes()
        assert b"somewhere" not in data
        assert not any(secret[at : at + 8] in data for at in range(10, len(secret) - 8, 8))


def test_a_destroyed_key_is_gone_from_the_file(tmp_path: Path) -> None:
    state = state_in(tmp_path)
    keys = prekeys()
    assert keys.current is not None
    first = keys.current.number
    state.save_prekeys(keys.state(START))
    three_days = later(72 * 3600)
    assert keys.renew(three_days, seeded("later"))
    state.save_prekeys(keys.state(three_days))
    kept = state.load_prekeys()
    assert kept is not None
    assert Prekeys.restore(kept, three_days).find(first) is None


@pytest.mark.parametrize("name", [PREKEYS, SEQUENCE, ROUTES, REVOCATIONS, CAPABILITIES])
def test_every_changed_byte_is_noticed_and_the_file_left_alone(tmp_path: Path, name: str) -> None:
    state = state_in(tmp_path)
    state.save_prekeys(Secret(b"keys"))
    state.save_sequence(7)
    state.save_routes(b"routes")
    state.save_revocations(b"revocations")
    state.save_capabilities(b"capabilities")
    loads: dict[str, Callable[[], object]] = {
        PREKEYS: state.load_prekeys,
        SEQUENCE: state.load_sequence,
        ROUTES: state.load_routes,
        REVOCATIONS: state.load_revocations,
        CAPABILITIES: state.load_capabilities,
    }
    whole = (tmp_path / name).read_bytes()
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1
        (tmp_path / name).write_bytes(changed)
        with pytest.raises(StoreDamagedError):
            loads[name]()
        assert (tmp_path / name).read_bytes() == changed
    (tmp_path / name).write_bytes(whole[:10])
    with pytest.raises(StoreDamagedError):
        loads[name]()


def test_one_file_in_place_of_another_is_noticed(tmp_path: Path) -> None:
    state = state_in(tmp_path)
    state.save_routes(bytes(8))
    (tmp_path / ROUTES).rename(tmp_path / SEQUENCE)
    with pytest.raises(StoreDamagedError):
        state.load_sequence()


def test_another_data_key_opens_nothing(tmp_path: Path) -> None:
    state_in(tmp_path).save_routes(b"routes")
    with pytest.raises(StoreDamagedError):
        state_in(tmp_path, Secret(bytes(32))).load_routes()


def test_a_crash_at_any_moment_leaves_the_old_or_the_new_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no number is announced that a crash could bring back."""
    saved, announced = 0, 0
    own = OwnSequence()
    for step in range(40):
        issued = own.next(START.wall)
        if issued.save is not None:
            with monkeypatch.context() as patched:
                if step % 3 == 0:
                    patched.setattr(os, "fsync", _fails(errno.EIO))
                try:
                    state_in(tmp_path).save_sequence(issued.save)
                except StoreError:
                    # It crashes: nothing was announced.
                    own = OwnSequence(state_in(tmp_path).load_sequence())
                    continue
            saved = issued.save
            own.saved(saved)
        assert announced < issued.sequence <= saved
        announced = issued.sequence
        if step % 2:
            own = OwnSequence(state_in(tmp_path).load_sequence())
    assert announced


def _fails(number: int) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, StoreFullError), (errno.EIO, StoreError)]
)
def test_a_write_that_fails_is_told_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[StoreError]
) -> None:
    state = state_in(tmp_path)
    state.save_sequence(7)
    with monkeypatch.context() as patched:
        patched.setattr(mesh_state, "write_private", _fails(number))
        with pytest.raises(error):
            state.save_sequence(8)
    assert state.load_sequence() == 7


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    (tmp_path / ROUTES).mkdir()
    with pytest.raises(StoreError):
        state_in(tmp_path).load_routes()
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(StoreError):
        state_in(tmp_path / "link").save_sequence(7)

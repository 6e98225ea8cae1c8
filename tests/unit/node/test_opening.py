"""The first half of a start: keys, certificate, and the strength of the passphrase."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from ironmesh.config import MINIMAL_KDF, KdfCost, LegacyMode, NodeConfig
from ironmesh.crypto import meshkey
from ironmesh.files import make_private_dir
from ironmesh.node import first_start
from ironmesh.node.certificate import CERTIFICATE_FILE, KEY_FILE
from ironmesh.node.first_start import Made, Wanted
from ironmesh.node.opening import open_files
from ironmesh.store.strength import FILE_NAME
from ironmesh.types import Secret

CERTIFICATE = Made(b"certificate", b"key", 61.5)


class Recorder:
    """Makes what it is told to and remembers what was wanted."""

    def __init__(self, made: Made = CERTIFICATE) -> None:
        self.made = made
        self.wanted: list[Wanted] = []

    def __call__(self, wanted: Wanted) -> Made:
        self.wanted.append(wanted)
        return Made(
            self.made.certificate_pem if wanted.needs_certificate else None,
            self.made.key_pem if wanted.needs_certificate else None,
            self.made.strength_bits if wanted.passphrase is not None else None,
        )


def config_in(home: Path, passphrase: str = "a long enough one", **settings: Any) -> NodeConfig:
    values = {"legacy": LegacyMode.ALL, **settings}
    config = NodeConfig(
        name="alice",
        passphrase=Secret(passphrase),
        keys_passphrase=Secret("of the key file only"),
        home=home,
        kdf=MINIMAL_KDF,
        **values,
    )
    make_private_dir(config.node_dir)
    return config


async def test_a_first_start_makes_both_and_a_second_one_neither(tmp_path):
    config, make = config_in(tmp_path), Recorder()
    first = await open_files(config, os.urandom, make)
    second = await open_files(config, os.urandom, make)
    assert make.wanted == [Wanted(True, b"a long enough one")]
    assert first.strength_bits == second.strength_bits == 61.5
    assert first.keys.keys.identity.node_id == second.keys.keys.identity.node_id
    for name in (CERTIFICATE_FILE, KEY_FILE, FILE_NAME):
        assert stat.S_IMODE((config.node_dir / name).stat().st_mode) == 0o600


async def test_another_passphrase_is_rated_anew(tmp_path):
    await open_files(config_in(tmp_path), os.urandom, Recorder())
    make = Recorder(Made(strength_bits=12.0))
    opened = await open_files(config_in(tmp_path, "another one now"), os.urandom, make)
    assert opened.strength_bits == 12.0
    assert make.wanted == [Wanted(passphrase=b"another one now")]


async def test_the_note_tells_nothing_and_a_damaged_one_is_made_anew(tmp_path):
    config = config_in(tmp_path)
    await open_files(config, os.urandom, Recorder())
    note = config.node_dir / FILE_NAME
    assert b"61.5" not in note.read_bytes()
    note.write_bytes(b"garbage")
    make = Recorder()
    assert (await open_files(config, os.urandom, make)).strength_bits == 61.5
    assert make.wanted == [Wanted(passphrase=b"a long enough one")]


def test_a_process_of_its_own_makes_the_same_as_this_one():
    made = first_start.make_apart(Wanted(True, b"cobalt prism venom gizmo tulip"))
    assert made.certificate_pem is not None
    assert made.certificate_pem.startswith(b"-----BEGIN CERTIFICATE")
    assert (
        made.strength_bits
        == first_start.make_here(Wanted(passphrase=b"cobalt prism venom gizmo tulip")).strength_bits
    )


def test_where_no_process_can_be_started_it_is_made_here(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(first_start.sys, "executable", "no-such-python")
    assert first_start.make_apart(Wanted(passphrase=b"cobalt prism")).strength_bits is not None


async def test_without_the_0_8_wire_each_start_makes_another_certificate(tmp_path):
    config = config_in(tmp_path, legacy=LegacyMode.OFF)
    for _ in range(2):
        make = Recorder()
        await open_files(config, os.urandom, make)
        assert [wanted.needs_certificate for wanted in make.wanted] == [True]


async def test_the_passphrase_is_stretched_once_for_each_mesh(tmp_path, monkeypatch):
    stretched: list[str] = []
    real = meshkey.mesh_secret

    def stretch(passphrase: Secret, mesh: str, cost: KdfCost) -> Secret:
        stretched.append(mesh)
        return real(passphrase, mesh, cost)

    monkeypatch.setattr(meshkey, "mesh_secret", stretch)
    first = await open_files(config_in(tmp_path), os.urandom, Recorder())
    second = await open_files(config_in(tmp_path), os.urandom, Recorder())
    assert first.mesh_secrets == second.mesh_secrets
    assert stretched == ["ironmesh"]
    other = await open_files(config_in(tmp_path, mesh="home"), os.urandom, Recorder())
    assert other.mesh_secrets != first.mesh_secrets
    assert stretched == ["ironmesh", "home"]


async def test_while_the_passphrase_changes_both_have_their_secret(tmp_path):
    before = await open_files(config_in(tmp_path), os.urandom, Recorder())
    config = config_in(
        tmp_path,
        "the next passphrase",
        passphrase_generation=1,
        previous_passphrase=Secret("a long enough one"),
        previous_passphrase_until=2e9,
    )
    during = await open_files(config, os.urandom, Recorder())
    assert set(during.mesh_secrets) == {0, 1}
    assert during.mesh_secrets[0] == before.mesh_secrets[0]
    assert during.mesh_secrets[1] != before.mesh_secrets[0]
    files = [
        tmp_path / "nodes" / "alice" / name for name in ("mesh-secret", "mesh-secret-previous")
    ]
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600, 0o600]

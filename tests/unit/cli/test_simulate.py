"""`ironmesh simulate`."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ironmesh.cli.app import run

SMALL = ["simulate", "--nodes", "12", "--seed", "4"]


@pytest.fixture(autouse=True)
def _thaw() -> Iterator[None]:
    """Let what a simulation kept from the garbage collector be collected: this process goes on."""
    yield
    gc.unfreeze()


def test_it_says_how_a_mesh_starts_rests_and_is_repaired(capsys) -> None:
    assert run(SMALL) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        *("mesh", "links", "start", "at rest", "delivered"),
        *("failure", "repair", "meanwhile", "circles"),
    ]
    assert all(len(line) <= 80 for line in lines)


def test_json_has_all_figures(capsys) -> None:
    assert run([*SMALL, "--loss", "5%", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["nodes"] == 12
    assert report["loss"] == 0.05
    assert report["converged_s"] > 0


def test_without_a_rest_nodes_stop_as_soon_as_the_mesh_has_started(tmp_path: Path, capsys) -> None:
    target = tmp_path / "mesh.svg"
    hurried = [*SMALL, "--delay", "2", "--rest", "0"]
    assert run([*hurried, "--plot", str(target)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        *("mesh", "links", "start", "failure", "repair", "meanwhile", "circles"),
    ]
    assert "at rest" not in target.read_text(encoding="utf-8")
    assert run([*hurried, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["rest_bytes_per_s"] is report["delivered_at_rest"] is None


def test_it_draws_the_mesh(tmp_path: Path, capsys) -> None:
    target = tmp_path / "mesh.svg"
    assert run([*SMALL, "--plot", str(target)]) == 0
    assert target.read_text(encoding="utf-8").startswith("<svg")


def test_a_picture_that_cannot_be_written_is_said_before_anything_is_run(
    tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setattr("ironmesh.cli.simulate.Run", None)
    for target in (tmp_path, tmp_path / "nowhere" / "mesh.svg"):
        assert run([*SMALL, "--plot", str(target)]) == 1
        assert str(target) in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here is always full")
def test_figures_are_told_although_the_disk_is_full_for_the_picture(capsys) -> None:
    assert run([*SMALL, "--rest", "0", "--plot", "/dev/full"]) == 1
    told = capsys.readouterr()
    assert "circles" in told.out
    assert "No space left" in told.err


@pytest.mark.parametrize("loss", ["5", "100%", "-1%", "much"])
def test_what_is_no_share_is_refused(loss: str, capsys) -> None:
    assert run([*SMALL, "--loss", loss]) == 2
    assert "5% or 0.05" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--delay", "--rest", "--degree"])
@pytest.mark.parametrize("value", ["nan", "inf", "-1", "much"])
def test_what_is_no_number_is_refused(option: str, value: str, capsys) -> None:
    assert run([*SMALL, option, value]) == 2
    assert option in capsys.readouterr().err


def test_a_topology_that_does_not_exist_is_refused(capsys) -> None:
    assert run(["simulate", "--topology", "star"]) == 2
    capsys.readouterr()


def test_a_mesh_that_is_too_small_for_its_shape_says_so(capsys) -> None:
    assert run(["simulate", "--topology", "islands", "--nodes", "3"]) == 1
    assert "take more of them" in capsys.readouterr().err

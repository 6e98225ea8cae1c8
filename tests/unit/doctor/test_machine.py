import shutil
from types import SimpleNamespace

import pytest

from ironmesh.control.health import Level
from ironmesh.discovery.interfaces import Surroundings
from ironmesh.doctor import machine
from ironmesh.doctor.machine import (
    EARLIEST_WALL,
    check_clock,
    check_disk,
    check_libraries,
    check_multicast,
    check_python,
    check_variables,
)

NOW = EARLIEST_WALL + 1e7


@pytest.mark.parametrize(
    ("version", "level"), [((3, 10, 9), Level.FAIL), ((3, 11, 0), Level.OK), ((4, 0, 0), Level.OK)]
)
def test_an_old_python_is_told(version, level):
    assert check_python(version).level is level


def test_the_libraries_of_this_environment_are_fine():
    assert check_libraries().level is Level.OK


@pytest.mark.parametrize(
    ("requirement", "level", "said"),
    [
        ("msgspec>=0.1", Level.OK, ""),
        ("msgspec>=99.1", Level.FAIL, "is older than 99.1"),
        ("no-such-library>=1", Level.FAIL, "no-such-library is missing"),
        ('no-such-library>=1; extra == "keychain"', Level.OK, ""),
    ],
)
def test_a_library_that_is_missing_or_old_is_told_with_the_command(requirement, level, said):
    finding = check_libraries([requirement])
    assert finding.level is level
    assert said in finding.text
    assert bool(finding.fix) is (level is Level.FAIL)


@pytest.mark.parametrize(
    ("now", "newest", "level"),
    [
        (NOW, 0.0, Level.OK),
        (NOW, NOW + 1, Level.OK),
        (NOW, NOW + 3600, Level.WARN),
        (0.0, 0.0, Level.FAIL),
        (5e9, 0.0, Level.FAIL),
    ],
)
def test_a_clock_that_cannot_be_right_is_told(now, newest, level):
    finding = check_clock(now, newest)
    assert finding.level is level
    assert (finding.fix == "") is (level is Level.OK)


@pytest.mark.parametrize(
    ("free", "level"), [(1 << 40, Level.OK), (1 << 27, Level.WARN), (1 << 20, Level.FAIL)]
)
def test_a_full_disk_is_told(monkeypatch, tmp_path, free, level):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    assert check_disk(tmp_path / "not" / "there").level is level


@pytest.mark.parametrize(
    ("announced", "interfaces", "level"),
    [
        (("192.168.1.2", "127.0.0.1"), ("192.168.1.2",), Level.OK),
        (("127.0.0.1",), ("127.0.0.1",), Level.WARN),
        ((), (), Level.WARN),
    ],
)
def test_multicast_that_does_not_work_is_told(monkeypatch, announced, interfaces, level):
    monkeypatch.setattr(machine, "survey", lambda _: Surroundings(announced, interfaces, ()))
    assert check_multicast("0.0.0.0", is_mdns_on=True).level is level


def test_mdns_that_is_off_is_not_looked_at(monkeypatch):
    monkeypatch.setattr(machine, "survey", None)
    assert check_multicast("0.0.0.0", is_mdns_on=False).level is Level.OK


def test_a_bind_that_is_no_address_is_told():
    assert check_multicast("localhost", is_mdns_on=True).level is Level.FAIL


def test_stray_variables_are_told():
    environ = {"IRONMESH_PROT": "1", "IRONMESH_PORT": "1", "IRONMESH_X_SECRET": "1"}
    found = list(check_variables(environ, frozenset({"IRONMESH_X_SECRET"})))
    assert [finding.fix for finding in found] == ["unset IRONMESH_PROT"]
    assert "did you mean IRONMESH_PORT?" in found[0].text

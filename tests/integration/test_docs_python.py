"""Every program on the page about the Python API runs as it stands, and its tables are complete."""

from __future__ import annotations

import builtins
import importlib
import re
import signal
import sys
from pathlib import Path

import pytest
from tests.support.netns import Host
from tests.support.processes import Running, environment
from tests.support.readme import ROOT, Block, block, blocks

import ironmesh
from ironmesh import errors
from ironmesh.daemon_settings import DaemonSettings

PAGE = ROOT / "docs" / "python.md"
TEXT = PAGE.read_text(encoding="utf-8")
PROGRAMS = [each for each in blocks(PAGE) if each.language == "python"]
TOGETHER = {"start", "send"}
"""Programs that need each other."""


def program(mark: str, host: Host, home: Path) -> Running:
    """Start a program of the page on a host whose network is its own."""
    argv = [sys.executable, "-W", "error", "-c", block(mark, PAGE).text]
    variables = {"MESH_PASSPHRASE": "correct horse battery staple"}
    return Running(argv, env=environment(home, **variables), netns=host.name, cwd=home)


def section(title: str) -> str:
    """Return the text under a heading."""
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def names_in_first_column(text: str) -> set[str]:
    """Return what is marked as code in the first cells of the tables."""
    cells = re.findall(r"^\| (.*?) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_every_program_is_run_by_a_test() -> None:
    assert all(each.mark for each in PROGRAMS)
    assert len({each.mark for each in PROGRAMS}) == len(PROGRAMS) >= 7


@pytest.mark.netns
def test_two_programs_find_each_other(one_host: Host, tmp_path: Path) -> None:
    homes = [tmp_path / name for name in ("one", "two")]
    for home in homes:
        home.mkdir()
    with program("start", one_host, homes[0]) as bob, program("send", one_host, homes[1]) as alice:
        bob.wait_line(r"^From [0-9a-f]{12}: hello$", timeout_s=30)
        alice.wait_line("^Answer: ack$")
        alice.expect(0)
        bob.send_signal(signal.SIGINT)
        bob.expect(0)
        assert alice.err == bob.err == []


OUTPUT = {
    "handlers": "plain: one\nrequest of alice id 36\nCONV b'three'",
    "receipt": "36 delivered",
    "asyncio": "b'from my own loop'",
    "daemon": "MSG b'Hello!'",
    "settings": "",
    "errors": "the node is not running: call run() first",
}


@pytest.mark.netns
@pytest.mark.parametrize("mark", [each.mark for each in PROGRAMS if each.mark not in TOGETHER])
def test_a_program_of_the_page_runs(mark: str, one_host: Host, tmp_path: Path) -> None:
    with program(mark, one_host, tmp_path) as process:
        process.expect(0, timeout_s=30)
        assert process.err == []
        assert "\n".join(process.out) == OUTPUT[mark]


def test_the_output_on_the_page_is_the_real_one() -> None:
    shown: list[Block] = [each for each in blocks(PAGE) if each.language == "text"]
    assert [each.text.strip() for each in shown] == [OUTPUT["handlers"]]


def test_the_tables_hold_every_setting_and_no_other() -> None:
    assert names_in_first_column(section("Settings")) == set(DaemonSettings.__annotations__)


def test_the_errors_on_the_page_are_what_it_says() -> None:
    rows = re.findall(r"^\| (`.*?) \|(.*?)\|", section("Errors"), re.MULTILINE)
    assert rows
    for names, base in rows:
        for name in re.findall(r"`(\w+)`", names):
            kind = getattr(errors, name)
            assert issubclass(kind, ironmesh.IronMeshError)
            if base.strip():
                assert issubclass(kind, getattr(builtins, base.strip(" `")))


def test_modules_and_names_on_the_page_are_there_and_those_to_come_are_not() -> None:
    text = section("Coming from the published package")
    offered, missing = text.split("What can be imported:")[1].split("Not there yet")
    modules = re.findall(r"`(?:ironmesh)?\.(\w+)`", offered.replace("ironmesh.__all__", ""))
    assert len(modules) == 9
    for module in modules:
        importlib.import_module(f"ironmesh.{module}")
    for name in re.findall(r"`([A-Z]\w+)`", missing):
        assert not hasattr(ironmesh, name) or name == "BridgeDaemon"

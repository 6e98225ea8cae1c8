from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("recordings are made on systems with pseudo-terminals", allow_module_level=True)

from scripts.record_svg import Pace, Screen, draw, main, record, scrub

PACE = Pace()


def shown(text: str, columns: int = 20) -> list[str]:
    screen = Screen(columns)
    screen.feed(text, 1.0)
    return [
        "".join(line.cells[column][0] for column in sorted(line.cells)) for line in screen.lines
    ]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one\r\ntwo", ["one", "two"]),
        ("10%\r20%\r100%", ["100%"]),
        ("abcdef\r\x1b[Kxy", ["xy"]),
        ("one\r\ntwo\x1b[A\rONE", ["ONE", "two"]),
        ("one\r\ntwo\r\n\x1b[2A\x1b[J1", ["1ne"]),
        ("ab\b\bx", ["xb"]),
        ("\x1b]0;title\x07\x1b[?25lplain\x1b[?25h", ["plain"]),
        ("abcdefg", ["abcde", "fg"]),
    ],
    ids=["lines", "overwrite", "erase", "up", "erase-below", "back", "ignored", "wrap"],
)
def test_the_screen_ends_as_a_terminal_would(text: str, lines: list[str]) -> None:
    assert shown(text, 5 if lines == ["abcde", "fg"] else 20) == lines


def test_colours_and_weight_reach_the_picture() -> None:
    screen = Screen(20)
    screen.feed("\x1b[1;31mred\x1b[0m \x1b[38;5;1mplain", 1.0)
    svg = draw(screen, 5.0, "t", PACE)
    assert 'class="b" style="fill:#ff7b72">red<' in svg
    assert re.search(r'textLength="[\d.]+">plain<', svg)


def test_the_picture_is_well_formed_and_needs_nothing_from_elsewhere() -> None:
    screen = Screen(20)
    screen.feed("<b> & 'c' \x1b[2m世界", 1.0)
    svg = draw(screen, 5.0, 'a "title" & more', PACE)
    assert ET.fromstring(svg).attrib["aria-label"] == 'a "title" & more'
    links = re.findall(r"https?://[^\"]*|href|url\(", svg)
    assert links == ["http://www.w3.org/2000/svg"]


def test_commands_really_run_and_play_in_order() -> None:
    screen, length_s = record(["echo one", "echo two"], 80, PACE)
    times = [line.changed_s for line in screen.lines if line.cells]
    assert len(times) == 4
    assert times == sorted(times)
    assert length_s > times[-1]


def test_a_failing_command_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "x.svg"
    monkeypatch.setattr(sys, "argv", ["record_svg", "--output", str(out), "exit 3"])
    with pytest.raises(SystemExit, match="exit code 3"):
        main()
    assert not out.exists()


def test_paths_of_the_machine_do_not_show() -> None:
    root = str(Path(__file__).resolve().parents[3])
    assert scrub(f"{root}/src and /srv/home/x", "/srv/home") == "~/src and ~/x"

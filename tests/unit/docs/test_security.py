"""The page of the attacks names tests that are there, and all of them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
_NAMED = re.compile(r"`(tests/attacks/[\w/.]+)::(test_\w+)`")
_DEFINED = re.compile(r"^(?:async )?def (test_\w+)", re.MULTILINE)


def test_the_page_names_every_attack_and_no_other() -> None:
    named = _NAMED.findall((ROOT / "docs" / "security.md").read_text())
    there = [
        (path.relative_to(ROOT).as_posix(), name)
        for path in sorted((ROOT / "tests" / "attacks").glob("test_*.py"))
        for name in _DEFINED.findall(path.read_text())
    ]
    assert sorted(named) == sorted(there)

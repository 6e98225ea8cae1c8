"""`docs/claims.md` claims nothing without a test, and leaves out no feature of this version."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest
from tests.support import markdown
from tests.support.readme import ROOT

PAGE = ROOT / "docs" / "claims.md"
FEATURE = re.compile(r"\bF\d{3}\b")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)(?:\[[^`]*\])?`")


def numbers(*parts: int | range) -> set[str]:
    """Return the features with these numbers."""
    found: set[str] = set()
    for part in parts:
        found |= {f"F{number:03}" for number in ([part] if isinstance(part, int) else part)}
    return found


BUILT = numbers(
    range(1, 7), 8, 9, range(10, 17), 18, 19, 20, 32, range(40, 51), 52, 53, 54, 56, 60, 61, 62,
    range(63, 75), 75, 76, 80, 81, 82, range(110, 117), 122, 139, 140, 141,
    range(150, 155), 195, 218, 234, range(260, 263), 263, 265,
)  # fmt: skip


def claims() -> list[tuple[str, str, str]]:
    """Return number, claim and tests of each row."""
    [table] = markdown.tables(PAGE)
    return [(row[0], row[1], row[2]) for row in table]


@functools.cache
def names_in(path: Path) -> frozenset[str]:
    """Return the names of the tests in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = {node.name for node in ast.walk(tree) if isinstance(node, functions)}
    # A state machine of hypothesis is a test by assignment: `test_x = Machine.TestCase`.
    for node in tree.body:
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return frozenset(name for name in names if name.startswith("test_"))


def test_every_feature_of_this_version_has_one_row() -> None:
    listed = [number for number, _, _ in claims()]
    assert len(listed) == len(set(listed))
    assert set(listed) >= BUILT
    assert all(FEATURE.fullmatch(number) for number in listed)
    assert listed == sorted(listed)


@pytest.mark.parametrize(("number", "claim", "shown"), claims(), ids=lambda cell: cell[:4])
def test_a_claim_is_shown_by_tests_that_are_there(number: str, claim: str, shown: str) -> None:
    assert claim.endswith(".")
    tests = TEST.findall(shown)
    assert tests, f"{number} claims what no test shows"
    assert TEST.sub("", shown).replace("<br>", "").strip() == "", "not a test id"
    for file, name in tests:
        path = ROOT / file
        assert path.is_file(), f"{number}: there is no {file}"
        assert name in names_in(path), f"{number}: there is no {name} in {file}"


def test_every_feature_that_a_page_names_has_a_row() -> None:
    listed = {number for number, _, _ in claims()}
    for page in markdown.pages():
        named = set(FEATURE.findall(page.read_text(encoding="utf-8")))
        assert named <= listed, f"{page.name} names features without a row"

"""docs/security.md names every attack test, and no other."""

from __future__ import annotations

import ast
import re

import pytest
from tests.support import markdown
from tests.support.readme import ROOT

PAGE = ROOT / "docs" / "security.md"
TEST = re.compile(r"`(tests/[\w/]+\.py::test_\w+)`")
ROW = re.compile(r"A\d+")


def rows() -> list[list[str]]:
    """Return promises and attacks; heading rows are not among them."""
    return [row for table in markdown.tables(PAGE) for row in table]


def attacks() -> dict[str, set[str]]:
    """Return the tests that each row names."""
    return {row[0]: set(TEST.findall(row[2])) for row in rows() if ROW.fullmatch(row[0])}


def there(folder: str) -> set[str]:
    """Return the tests of a folder."""
    found = set()
    for path in (ROOT / folder).glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if is_function and node.name.startswith("test_"):
                found.add(f"{folder}/{path.name}::{node.name}")
    return found


def test_the_page_names_every_attack_test_and_no_other() -> None:
    named = [test for tests in attacks().values() for test in tests]
    assert len(named) == len(set(named))
    assert set(named) == there("tests/attacks")


@pytest.mark.parametrize("row", attacks())
def test_a_row_names_tests_of_that_row(row: str) -> None:
    assert attacks()[row]
    assert all(f"::test_{row.lower()}_" in test for test in attacks()[row])


def test_every_promise_names_attacks_that_are_there() -> None:
    promises = [row for row in rows() if re.fullmatch(r"P\d+", row[0])]
    assert len(promises) > 7
    for promise, _, shown in promises:
        assert ROW.findall(shown), promise
        assert set(ROW.findall(shown)) <= set(attacks()), promise
        for test in TEST.findall(shown):
            assert test in there(test.partition("::")[0].rpartition("/")[0]), promise

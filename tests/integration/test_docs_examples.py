"""The console examples of our pages print what the pages say."""

from __future__ import annotations

import difflib
import re
import sys
from pathlib import Path

import pytest
from tests.support.readme import ROOT

if sys.platform == "win32":
    pytest.skip("the examples are written for a POSIX shell", allow_module_level=True)

from scripts import docs_examples

PAGE = ROOT / "docs" / "cli.md"
VARIABLE = re.compile(r"\bIRONMESH_[A-Z][A-Z_]*[A-Z]\b")
FROM_SETTINGS = "settings"
"""Where settings name their own variables: one for each flag."""


@pytest.mark.parametrize("page", docs_examples.pages(), ids=lambda page: page.name)
@pytest.mark.timeout(180)
def test_examples_print_what_the_page_says(page: Path) -> None:
    before = page.read_text(encoding="utf-8")
    after = docs_examples.renewed(before)
    difference = "\n".join(difflib.unified_diff(before.splitlines(), after.splitlines(), n=1))
    assert after == before, f"{page.name} is out of date, run `make docs`:\n{difference}"


def test_every_environment_variable_is_on_the_page() -> None:
    used: set[str] = set()
    for path in (ROOT / "src").rglob("*.py"):
        if FROM_SETTINGS not in path.parts:
            # The completion variable is a matter between the shell's script and us.
            used |= set(VARIABLE.findall(path.read_text(encoding="utf-8")))
    assert used <= set(VARIABLE.findall(PAGE.read_text(encoding="utf-8")))
    assert "IRONMESH_PASSPHRASE" in used

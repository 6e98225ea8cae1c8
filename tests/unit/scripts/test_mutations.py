"""The list of mutations is kept up with the sources and the attack tests that it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scripts.mutations import MUTATIONS, ROOT, Mutation, mutated

SOURCES = ROOT / "src" / "ironmesh"
TESTS = re.findall(
    r"^(?:async )?def (test_\w+)",
    "\n".join(path.read_text() for path in (ROOT / "tests" / "attacks").glob("test_*.py")),
    re.MULTILINE,
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: f"{each.row} {each.file}")
def test_each_mutation_can_be_made_and_names_tests_that_exist(
    mutation: Mutation, tmp_path: Path
) -> None:
    for file in {mutation.file, *(each[0] for each in mutation.also)}:
        copy = tmp_path / "src" / "ironmesh" / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text((SOURCES / file).read_text())
    assert mutated(tmp_path, mutation)
    compile((tmp_path / "src" / "ironmesh" / mutation.file).read_text(), mutation.file, "exec")
    for part in mutation.tests.split(" or "):
        assert [test for test in TESTS if part in test], part


@pytest.mark.parametrize("row", [f"A{number}" for number in range(1, 16)])
def test_each_row_of_the_table_of_attacks_has_a_mutation(row: str) -> None:
    assert [mutation for mutation in MUTATIONS if mutation.row == row]

from __future__ import annotations

import sys

import pytest
from scripts.stages import MODEL, SKIPPED, STAGES, Stage, outcome


def test_the_models_are_a_stage_that_takes_no_options_of_pytest() -> None:
    assert MODEL in [stage.name for stage in STAGES]
    command = Stage(MODEL, 2).command(["-k", "rekey"], has_coverage=True)
    assert command == [sys.executable, "scripts/model.py"]


def test_options_of_pytest_reach_every_stage_of_tests() -> None:
    for stage in STAGES:
        if stage.name != MODEL:
            assert stage.command(["-k", "rekey"], has_coverage=False)[-2:] == ["-k", "rekey"]


@pytest.mark.parametrize(
    ("code", "words"), [(0, "ok"), (SKIPPED, "skipped"), (1, "FAILED (1)"), (5, "FAILED (5)")]
)
def test_a_stage_that_could_not_run_is_called_skipped(code: int, words: str) -> None:
    assert outcome(code) == words

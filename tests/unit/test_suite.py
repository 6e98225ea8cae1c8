"""How large the suite is: the unit tests alone, as their collection says."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from tests.support.readme import ROOT

PUBLISHED = 726
"""What the published package states of its own suite."""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_there_are_at_least_as_many_tests_as_the_published_package_states() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--collect-only",
            "-q",
            "-p",
            "no:cacheprovider",
            "tests/unit",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    collected = re.search(r"^(\d+) tests collected", done.stdout, re.MULTILINE)
    assert collected
    assert int(collected[1]) >= PUBLISHED


def test_every_decoder_of_network_bytes_is_fuzzed() -> None:
    from tests.fuzz.targets import TARGETS

    assert len(TARGETS) >= 5

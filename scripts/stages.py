"""Run the test stages one after the other, each timed, and fail if one of them fails.

    python scripts/stages.py [--only STAGE] [--coverage] [-- pytest arguments]

Unit tests keep the processors busy, so they get a worker for each; integration and interop tests
mostly wait for sockets and processes, so they get more. Tests that insist on a time run last, one
after the other. One stage is no tests: it lets spin search the models of the protocol. Coverage is
measured when asked for, since it makes the tests take several times as long; it adds up over the
stages, and tests that insist on a time do without.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COVERAGE = ("--cov", "--cov-append", "--cov-report=")
TIMED = "timed"
MODEL = "model"
SKIPPED = 77
"""Exit code of a stage that could not run, and said why."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One folder of tests and how many workers suit it."""

    name: str
    workers: int

    def exists(self) -> bool:
        """Tell whether the folder holds a test."""
        return self.name in (TIMED, MODEL) or any((ROOT / "tests" / self.name).rglob("test_*.py"))

    def command(self, pytest_args: Sequence[str], *, has_coverage: bool) -> list[str]:
        """Return the call: of pytest, but for the models."""
        if self.name == MODEL:
            return [sys.executable, "scripts/model.py"]
        pytest = [sys.executable, "-m", "pytest", "-q"]
        if self.name == TIMED:
            return [*pytest, "tests", "-m", TIMED, *pytest_args]
        spread = ["-n", str(self.workers), "--dist", "worksteal"]
        coverage = COVERAGE if has_coverage else ()
        tests = [f"tests/{self.name}", "-m", f"not {TIMED}"]
        return [*pytest, *tests, *spread, *coverage, *pytest_args]


CPUS = os.cpu_count() or 2
STAGES = (
    Stage("unit", CPUS),
    Stage(MODEL, CPUS),
    Stage("integration", max(4, CPUS)),
    Stage("attacks", max(4, CPUS)),
    Stage("interop", max(4, CPUS)),
    Stage("sim", CPUS),
    Stage(TIMED, 1),
)


def run(command: list[str], name: str) -> tuple[int, float]:
    """Run one stage; return its exit code and the seconds it took."""
    print(f"\n== {name}", flush=True)
    start = time.monotonic()
    code = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode
    return code, time.monotonic() - start


def outcome(code: int) -> str:
    """Return what an exit code says of a stage."""
    return {0: "ok", SKIPPED: "skipped"}.get(code, f"FAILED ({code})")


def main() -> int:
    """Run the wanted stages and print coverage and times."""
    parser = argparse.ArgumentParser(description="run the test stages")
    parser.add_argument("--only", action="append", choices=[stage.name for stage in STAGES])
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("pytest_args", nargs="*")
    args = parser.parse_args()
    coverage = [sys.executable, "-m", "coverage"]
    if args.coverage:
        subprocess.run([*coverage, "erase"], cwd=ROOT, check=True)
    wanted = [stage for stage in STAGES if stage.exists()]
    if args.only:
        wanted = [stage for stage in wanted if stage.name in args.only]
    results = [
        (
            stage.name,
            *run(stage.command(args.pytest_args, has_coverage=args.coverage), stage.name),
        )
        for stage in wanted
    ]
    if args.coverage:
        print("\n== coverage", flush=True)
        subprocess.run([*coverage, "report", "--skip-covered"], cwd=ROOT, check=False)
    print()
    for name, code, seconds in results:
        print(f"stage {name:<12} {seconds:6.1f} s  {outcome(code)}")
    return 0 if results and all(code in (0, SKIPPED) for _, code, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())

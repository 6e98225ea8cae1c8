"""Run the test stages one after the other, each timed, and fail if one of them fails.

    python scripts/stages.py [--only STAGE] [-- pytest arguments]

Unit tests keep the processors busy, so they get a worker for each; integration and interop tests
mostly wait for sockets and processes, so they get more. Coverage adds up over the stages. Tests
that insist on a time run last, one after the other and without coverage.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COVERAGE = ("--cov", "--cov-append", "--cov-report=")
TIMED = "timed"


@dataclass(frozen=True, slots=True)
class Stage:
    """One folder of tests and how many workers suit it."""

    name: str
    workers: int

    def exists(self) -> bool:
        """Tell whether the folder holds a test."""
        return self.name == TIMED or any((ROOT / "tests" / self.name).rglob("test_*.py"))

    def command(self, *, has_coverage: bool) -> list[str]:
        """Return the pytest call."""
        pytest = [sys.executable, "-m", "pytest", "-q"]
        if self.name == TIMED:
            return [*pytest, "tests", "-m", TIMED]
        spread = ["-n", str(self.workers), "--dist", "worksteal"]
        coverage = COVERAGE if has_coverage else ()
        return [*pytest, f"tests/{self.name}", "-m", f"not {TIMED}", *spread, *coverage]


CPUS = os.cpu_count() or 2
STAGES = (
    Stage("unit", CPUS),
    Stage("integration", max(4, CPUS)),
    Stage("attacks", max(4, CPUS)),
    Stage("interop", max(4, CPUS)),
    Stage("sim", CPUS),
    Stage(TIMED, 1),
)


def run(command: list[str], name: str) -> tuple[int, float]:
    """Run one stage; return pytest's exit code and the seconds it took."""
    print(f"\n== {name}", flush=True)
    start = time.monotonic()
    code = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode
    return code, time.monotonic() - start


def main() -> int:
    """Run the wanted stages and print coverage and times."""
    parser = argparse.ArgumentParser(description="run the test stages")
    parser.add_argument("--only", action="append", choices=[stage.name for stage in STAGES])
    parser.add_argument("--no-cov", action="store_true")
    parser.add_argument("pytest_args", nargs="*")
    args = parser.parse_args()
    coverage = [sys.executable, "-m", "coverage"]
    if not args.no_cov:
        subprocess.run([*coverage, "erase"], cwd=ROOT, check=True)
    wanted = [stage for stage in STAGES if stage.exists()]
    if args.only:
        wanted = [stage for stage in wanted if stage.name in args.only]
    results = [
        (
            stage.name,
            *run([*stage.command(has_coverage=not args.no_cov), *args.pytest_args], stage.name),
        )
        for stage in wanted
    ]
    if not args.no_cov:
        print("\n== coverage", flush=True)
        subprocess.run([*coverage, "report", "--skip-covered"], cwd=ROOT, check=False)
    print()
    for name, code, seconds in results:
        print(f"stage {name:<12} {seconds:6.1f} s  {'ok' if code == 0 else f'FAILED ({code})'}")
    return 0 if results and all(code == 0 for _, code, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())

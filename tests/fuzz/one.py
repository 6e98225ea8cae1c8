"""Fuzz one target in this process: `python -m tests.fuzz.one TARGET [libFuzzer options]`."""

from __future__ import annotations

import sys

try:
    import atheris
except ImportError:
    sys.exit("error: atheris is not installed: run make fuzz")

# Only what is under test is instrumented: everything at once takes a minute to start.
with atheris.instrument_imports(include=["ironmesh", "tests.fuzz"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Fuzz until an option says stop, or an input breaks the target; does not return."""
    program, name, *options = sys.argv
    atheris.Setup([program, *options], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()

"""The command line. This module answers what needs no library, before any is imported."""

from __future__ import annotations

import os
import sys

COMPLETION_VARIABLE = "_IRONMESH_COMPLETE"
"""Set by the shell's completion script when it asks for completions."""


def main() -> int:
    """Run the command line of this process; return its exit code.

    0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        from ironmesh.version import __version__

        print(f"ironmesh {__version__}")
        return 0
    if not arguments and COMPLETION_VARIABLE not in os.environ:
        from ironmesh.cli.commands import overview

        print(overview())
        return 0
    try:
        from ironmesh.cli.app import run

        return run(arguments)
    except KeyboardInterrupt:
        # While the libraries load; later `run` itself sees to it.
        return 130

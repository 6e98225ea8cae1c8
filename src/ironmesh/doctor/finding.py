"""What a check found, and what to do about it."""

from __future__ import annotations

import shlex
from pathlib import Path

import msgspec

from ironmesh.control.health import Level


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One result of one check."""

    check: str
    """Stable short name."""
    level: Level
    text: str
    fix: str = ""
    """What to do: a command where there is one."""
    node: str = ""
    """The node that it is about; empty = the machine."""


def ok(check: str, text: str) -> Finding:
    """Return that all is well."""
    return Finding(check=check, level=Level.OK, text=text)


def warn(check: str, text: str, fix: str) -> Finding:
    """Return that something may go wrong."""
    return Finding(check=check, level=Level.WARN, text=text, fix=fix)


def fail(check: str, text: str, fix: str) -> Finding:
    """Return that something is wrong."""
    return Finding(check=check, level=Level.FAIL, text=text, fix=fix)


def skip(check: str, text: str, fix: str = "") -> Finding:
    """Return that something could not be looked at."""
    return Finding(check=check, level=Level.SKIP, text=text, fix=fix)


def chmod(mode: str, path: Path) -> str:
    """Return the command that sets the mode of a file."""
    return f"chmod {mode} {shlex.quote(str(path))}"

"""The machine: Python and its libraries, clock, disk, multicast, stray variables."""

from __future__ import annotations

import re
import shutil
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

from ironmesh.discovery.interfaces import survey
from ironmesh.doctor.finding import Finding, fail, ok, warn
from ironmesh.settings.sources import unknown_variables

OLDEST_PYTHON: Final = (3, 11)
LOW_DISK_BYTES: Final = 512 * 1024 * 1024
"""Below this the message store may soon have to refuse."""
FULL_DISK_BYTES: Final = 32 * 1024 * 1024
EARLIEST_WALL: Final = 1_735_689_600.0
"""The beginning of 2025: no clock that is right shows less."""
LATEST_WALL: Final = 4_102_444_800.0
"""The beginning of 2100."""
AHEAD_S: Final = 60.0

_REQUIREMENT: Final = re.compile(r"([\w.-]+)>=([\d.]+)$")
_PACKAGE: Final = "ironmesh"


def check_python(version: tuple[int, int, int] = sys.version_info[:3]) -> Finding:
    """Look at the version of Python."""
    shown = ".".join(map(str, version))
    if version[:2] < OLDEST_PYTHON:
        return fail("python", f"Python {shown} is too old", "install Python 3.11 or newer")
    return ok("python", f"Python {shown}, SQLite {sqlite3.sqlite_version}")


def check_libraries(requirements: list[str] | None = None) -> Finding:
    """Compare the libraries with what this package asks for.

    Args:
        requirements: as in the package's metadata, which counts where they are left out.
    """
    if requirements is None:
        try:
            requirements = metadata.requires(_PACKAGE) or []
        except metadata.PackageNotFoundError:
            return warn("libraries", "the package is not installed", "pip install .")
    wrong = [found for text in requirements if (found := _lacking(text)) is not None]
    if wrong:
        texts, wanted = zip(*wrong, strict=True)
        pip = f"{sys.executable} -m pip install --upgrade {' '.join(map(repr, wanted))}"
        return fail("libraries", "; ".join(texts), pip)
    return ok("libraries", "all there, and new enough")


def _lacking(requirement: str) -> tuple[str, str] | None:
    match = _REQUIREMENT.match(requirement.split(";", maxsplit=1)[0].strip())
    if match is None or "extra ==" in requirement:
        return None
    name, oldest = match[1], match[2]
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"{name} is missing", f"{name}>={oldest}"
    if _numbers(found) < _numbers(oldest):
        return f"{name} {found} is older than {oldest}", f"{name}>={oldest}"
    return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def check_clock(now: float, newest_file: float) -> Finding:
    """Look whether the clock can be right.

    Args:
        now: seconds since 1970, as this machine says.
        newest_file: when the newest file of ours was written, by the same clock; 0 = there is none.
    """
    fix = "sudo timedatectl set-ntp true"
    if not EARLIEST_WALL < now < LATEST_WALL:
        return fail("clock", "the clock is years away: peers will refuse what this node says", fix)
    if newest_file > now + AHEAD_S:
        behind = newest_file - now
        return warn("clock", f"the clock was {behind:.0f} s further once: did it jump?", fix)
    return ok("clock", "plausible; peers allow thirty seconds of difference")


def check_disk(home: Path) -> Finding:
    """Look whether the disk has room for messages."""
    folder = next(path for path in (home, *home.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    shown = f"{free / 2**30:.1f} GiB free for {home}"
    fix = f"free some space: du -xsh {folder}/*"
    if free < FULL_DISK_BYTES:
        return fail("disk", f"{shown}: nothing can be kept", fix)
    if free < LOW_DISK_BYTES:
        return warn("disk", f"{shown}: soon nothing can be kept", fix)
    return ok("disk", shown)


def check_multicast(bind: str, *, is_mdns_on: bool) -> Finding:
    """Look whether nodes can find each other by mDNS."""
    if not is_mdns_on:
        return ok("mdns", "off: only addresses of --peer are dialled")
    try:
        found = survey(bind)
    except (ValueError, OSError) as error:
        return fail(
            "mdns", f"{bind!r} cannot be used ({error})", "give --bind an address of this machine"
        )
    fix = "give addresses with --peer HOST:PORT, and set mdns = false"
    if not found.interfaces:
        return warn("mdns", "no interface takes multicast", fix)
    outside = [address for address in found.announced if not address.startswith(("127.", "::1"))]
    if not outside:
        return warn("mdns", "only nodes of this machine can be found", fix)
    return ok("mdns", f"announced at {', '.join(outside)}")


def check_variables(environ: Mapping[str, str], known: frozenset[str]) -> Iterator[Finding]:
    """Look for variables that look like ours and mean nothing.

    Args:
        known: variables that are no settings.
    """
    for name, near in unknown_variables(environ, set(known)).items():
        hint = f", did you mean {near}?" if near else ""
        yield warn("environment", f"{name} means nothing{hint}", f"unset {name}")

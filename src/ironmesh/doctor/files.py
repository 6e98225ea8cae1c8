"""The files: who can read them, and whether the configuration makes sense."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ironmesh.doctor.finding import Finding, chmod, fail, ok, skip, warn
from ironmesh.errors import ConfigError
from ironmesh.settings.published import PUBLISHED_NAME, is_import_due
from ironmesh.settings.sources import FILE_NAME, config_paths, from_file
from ironmesh.settings.sources import Level as SourceLevel

_OTHERS: Final = 0o077
_MOST_SHOWN: Final = 20


def check_home(home: Path) -> Finding:
    """Look at the folder that holds everything."""
    if not os.path.lexists(home):
        return warn("home", f"{home} does not exist yet", "ironmesh setup")
    if not home.is_dir() or home.is_symlink():
        return fail("home", f"{home} is not a folder of its own", f"ls -ld {home}")
    info = home.stat()
    if os.name == "posix" and info.st_uid != os.geteuid():
        return fail("home", f"{home} belongs to another user", f"sudo chown -R $(id -u) {home}")
    if info.st_mode & _OTHERS:
        return fail("home", f"{home} can be entered by others", chmod("700", home))
    return ok("home", f"{home} is private")


def check_modes(home: Path) -> list[Finding]:
    """Look for files and folders of ours that others can read or change."""
    if os.name != "posix" or not home.is_dir():
        return []
    wrong = list(_open_to_others(home))
    if not wrong:
        return [ok("modes", "all files are private")]
    findings = [_too_open(path) for path in wrong[:_MOST_SHOWN]]
    if len(wrong) > _MOST_SHOWN:
        rest = f"{len(wrong) - _MOST_SHOWN} more are open to others"
        findings.append(fail("modes", rest, f"chmod -R go= {home}"))
    return findings


def newest_file(home: Path) -> float:
    """Return when the newest file under `home` was written, seconds since 1970; 0 without any."""
    return max((info.st_mtime for _, info in _entries(home)), default=0.0)


def check_configuration(home: Path, names: list[str]) -> list[Finding]:
    """Read the configuration files, each for itself."""
    findings = []
    paths = [(SourceLevel.HOME_FILE, config_paths(home, None)[SourceLevel.HOME_FILE], "")]
    for name in names:
        paths.append((SourceLevel.NODE_FILE, config_paths(home, name)[SourceLevel.NODE_FILE], name))
    for level, path, node in paths:
        try:
            found = from_file(path, level)
        except ConfigError as error:
            findings.append(_of(fail("config", error.what, error.fix), node))
        else:
            if found:
                findings.append(_of(ok("config", f"{path} sets {', '.join(found)}"), node))
    if is_import_due(home):
        text = f"{home / PUBLISHED_NAME} is not taken over yet"
        findings.append(warn("config", text, "ironmesh config import"))
    return findings or [skip("config", "no configuration file: defaults, flags and environment")]


def _too_open(path: Path) -> Finding:
    fix = chmod("700" if path.is_dir() else "600", path)
    if path.name == FILE_NAME:
        # It holds no secret; one that others can change is refused where it is read.
        return warn("modes", f"{path} can be read by others", fix)
    return fail("modes", f"{path} is open to others", fix)


def _of(finding: Finding, node: str) -> Finding:
    return Finding(
        check=finding.check, level=finding.level, text=finding.text, fix=finding.fix, node=node
    )


def _open_to_others(home: Path) -> Iterator[Path]:
    for path, info in _entries(home):
        is_ours = stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode)
        if path != home and is_ours and info.st_mode & _OTHERS:
            yield path


def _entries(home: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield what is under `home`, links not followed; what vanishes meanwhile is left out."""
    for folder, _, files in os.walk(home):
        for path in (Path(folder), *(Path(folder) / name for name in files)):
            try:
                yield path, path.lstat()
            except FileNotFoundError:
                continue

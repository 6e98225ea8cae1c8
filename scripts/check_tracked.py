"""Refuse tracked files that only make sense on the machine where they were written.

Absolute paths of this checkout or of somebody's home, and package index addresses, must not get
into the repository: it builds the same everywhere.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SIDE_PATHS = (ROOT.parent, Path.home())
"""Folders whose name in a tracked file would betray the machine."""
INDEX = re.compile(r"(?<!no-emit-)index[-_]url|find[-_]links", re.IGNORECASE)
URL = re.compile(r"\bhttps?://", re.IGNORECASE)
LOCKS = (".lock", "package-lock.json", "go.sum")


def machine_paths() -> re.Pattern[str]:
    """Return the pattern of this machine's own folders and of anybody's home folder."""
    own = [str(folder) for folder in SIDE_PATHS if len(folder.parts) > 1]
    homes = ["/" + name + r"/[A-Za-z]" for name in ("home", "Users", "work", "root")]
    parts = [re.escape(folder) + "/" for folder in own] + homes
    return re.compile(r"(?:^|[^A-Za-z0-9_.~-])(?:" + "|".join(parts) + ")")


def tracked_files() -> list[Path]:
    """Return the files that git tracks, without those deleted from the working tree."""
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    return [path for name in listing.split("\0") if name and (path := ROOT / name).is_file()]


def findings(path: Path, paths: re.Pattern[str]) -> Iterator[str]:
    """Yield one line for every place in `path` that ties it to a machine or an index."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return
    is_lock = path.name.endswith(LOCKS)
    for number, line in enumerate(lines, 1):
        for reason, hit in (
            ("a path of one machine", paths.search(line)),
            ("a package index setting", INDEX.search(line)),
            ("an address in a lock file", is_lock and URL.search(line)),
        ):
            if hit:
                yield f"{path.relative_to(ROOT)}:{number}: {reason}: {line.strip()[:100]}"


def main() -> int:
    """Check every tracked file; return 1 and list the places when there are any."""
    paths = machine_paths()
    found = [line for path in tracked_files() for line in findings(path, paths)]
    print("\n".join(found) or "tracked files: no machine paths, no index addresses")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

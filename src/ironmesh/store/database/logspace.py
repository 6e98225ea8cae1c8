"""Room for SQLite's log in large steps: one that grows with every commit makes each a third slower.

A file system that gives a file its blocks has to write down that it did, before the data of a
commit are safe. Blocks that are there already need no such note. What lies behind the last commit
of a log says nothing to SQLite: it goes by checksums, and leaves old pages there itself.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from ironmesh.files import open_for_append

STEP_BYTES: Final = 1024 * 1024
SPARE_STEPS: Final = 64
"""With less room on the disk for further steps, none is taken."""


class LogSpace:
    """Follows the log of an open database, whose thread it is used in.

    Args:
        path: of the log. SQLite locks it nowhere, so that it may be opened and closed here.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None
        self._size = 0
        self._is_over = not hasattr(os, "posix_fallocate")

    def follow(self) -> None:
        """Take the next step if the log outgrew the last one; called after a commit."""
        if self._is_over:
            return
        try:
            if self._handle is None:
                self._handle = open_for_append(self._path)
            size = os.fstat(self._handle).st_size
            if size > self._size:
                self._take_step(self._handle, size)
        except OSError:  # a full disk, a quota, a file system that cannot: it grows as it would
            self._is_over = True

    def _take_step(self, handle: int, size: int) -> None:
        disk = os.fstatvfs(handle)
        if disk.f_bavail * disk.f_frsize < SPARE_STEPS * STEP_BYTES:
            self._is_over = True
            return
        os.posix_fallocate(handle, size, STEP_BYTES)
        self._size = size + STEP_BYTES

    def close(self) -> None:
        """Leave the log alone."""
        self._is_over = True
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

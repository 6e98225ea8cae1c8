"""SQLite's errors as ours."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from ironmesh.errors import StoreDamagedError, StoreError, StoreFullError

_PRIMARY: Final = 0xFF
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_UNREACHABLE: Final = (
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_AUTH,
)
# A used-up quota or a limit on file sizes comes as a failed write, not as a full disk.
_NO_ROOM: Final = (
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_SHMSIZE,
    sqlite3.SQLITE_IOERR_SHMOPEN,
)


def translated(error: sqlite3.Error, path: Path) -> StoreError:
    """Return the error of ours that says what SQLite's does, and what to do next."""
    code = _code(error)
    primary = code & _PRIMARY
    if primary == sqlite3.SQLITE_FULL or code in _NO_ROOM:
        return StoreFullError(
            f"the disk has no room for {path}",
            "free some disk space, or raise the quota; what was accepted before is safe",
        )
    if primary in _DAMAGED:
        return damaged(path, str(error))
    if primary in _BUSY:
        return StoreError(f"another program holds {path}", "end that program")
    if primary in _UNREACHABLE:
        return StoreError(
            f"{path} cannot be opened for writing ({error})",
            "check the owner and mode of the file and of its folder",
        )
    return StoreError(f"{path} cannot be used ({error})", "check the disk and the system's log")


def is_sync_failure(error: sqlite3.Error) -> bool:
    """Tell whether the system could not bring written data to disk.

    After this it may have dropped that data, and a later success says nothing about it.
    """
    return _code(error) in (sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC)


def damaged(path: Path, why: str) -> StoreDamagedError:
    """Return the error for a database that is not as we left it."""
    return StoreDamagedError(
        f"the message store {path} is damaged ({why}); nothing was changed",
        f"put back a copy of the folder {path.parent}, or move it away to start with an empty one",
    )


def _code(error: sqlite3.Error) -> int:
    # Missing where the error is the module's own, not SQLite's.
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR))

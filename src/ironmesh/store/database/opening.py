"""How the database file is opened: private, checked, and set to keep what it commits."""

from __future__ import annotations

import os
import sqlite3
import struct
from pathlib import Path
from typing import Final

from ironmesh.errors import FileRefusedError, StoreError
from ironmesh.files import make_private_dir, open_for_append
from ironmesh.store.database.faults import damaged, translated
from ironmesh.store.database.schema import check_version, migrate

OLDEST_SQLITE: Final = (3, 33, 0)
"""The first one with UPDATE ... FROM."""
CHECKPOINT_PAGES: Final = 4_000
WAL_LIMIT_BYTES: Final = 64 * 1024 * 1024
CACHE_KIB: Final = 4_096
STATEMENTS: Final = 512

_SETTINGS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    # macOS: fsync alone does not reach the disk.
    "PRAGMA fullfsync = ON",
    "PRAGMA checkpoint_fullfsync = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA temp_store = MEMORY",
    f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}",
    f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}",
    f"PRAGMA cache_size = -{CACHE_KIB}",
)
_WAL_HEADER: Final = struct.Struct(">8I")
_WAL_MAGICS: Final = {0x377F0682: "<", 0x377F0683: ">"}


def open_database(path: Path, *, is_new: bool) -> sqlite3.Connection:
    """Open the database for its one writer. Call it in the thread that uses it.

    Args:
        path: the file.
        is_new: there may be none yet, and then it is made.

    Raises:
        StoreFullError: the disk is full.
        StoreDamagedError: it is damaged; nothing was changed.
        StoreError: it cannot be used; nothing was changed.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreError(
            f"SQLite {sqlite3.sqlite_version} is too old", "use a Python with SQLite 3.33 or newer"
        )
    try:
        _check_files(path, is_new=is_new)
    except FileRefusedError as error:
        raise StoreError(error.what, error.fix) from error
    except OSError as error:
        raise StoreError(
            f"{path} cannot be used ({error.strerror})", "check the folder and the disk"
        ) from error
    return _connect(path)


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open the database, which exists, to read it; its writer may be at work.

    Raises:
        StoreError: it is damaged, of another version, or not a database of ours.
        sqlite3.Error: it cannot be opened.
    """
    # The file itself is not opened here: closing it would drop the locks that this process has.
    _check_wal(path, _beside(path, "-wal"))
    # Not mode=ro: without its writer, a database with a log can only be read where files beside it
    # can be made.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None
    )
    try:
        connection.execute("PRAGMA query_only = ON")
        check_version(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_files(path: Path, *, is_new: bool) -> None:
    make_private_dir(path.parent)
    wal = _beside(path, "-wal")
    for existing in (path, wal, _beside(path, "-shm")):
        if existing.is_symlink() or existing.exists():
            os.close(open_for_append(existing))
    # A database is never empty once there is a log: SQLite would remove the log then.
    if not (is_new and _size(wal) == 0) and _size(path) == 0:
        raise damaged(path, "it is empty or missing")
    _check_wal(path, wal)
    # Made here with its mode, which SQLite then gives to the files beside it.
    os.close(open_for_append(path))


def _check_wal(path: Path, wal: Path) -> None:
    """Refuse a log whose header is damaged: SQLite would drop all that it holds without a word."""
    try:
        with wal.open("rb") as file:
            data = file.read(_WAL_HEADER.size + 1)
    except FileNotFoundError:
        return
    # The header is on disk before what follows it, so a cut by a power failure is no longer.
    if len(data) > _WAL_HEADER.size and not _is_wal_header(data[: _WAL_HEADER.size]):
        raise damaged(path, "the header of its log is not one")


def _is_wal_header(header: bytes) -> bool:
    words = _WAL_HEADER.unpack(header)
    order = _WAL_MAGICS.get(words[0])
    if order is None:
        return False
    first = second = 0
    data = struct.unpack(f"{order}6I", header[:24])
    for even, odd in zip(data[::2], data[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return (first, second) == words[6:]


def _connect(path: Path) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(path, isolation_level=None, cached_statements=STATEMENTS)
    except sqlite3.Error as error:
        raise translated(error, path) from error
    try:
        if connection.execute("PRAGMA page_count").fetchone() == (0,):
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        for setting in _SETTINGS:
            connection.execute(setting).fetchall()
        migrate(connection)
    except sqlite3.Error as error:
        connection.close()
        raise translated(error, path) from error
    except StoreError as error:
        connection.close()
        raise type(error)(f"{path} cannot be used: {error.what}", error.fix) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)

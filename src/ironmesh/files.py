"""Private files: written atomically, read within bounds, locked between processes.

The one place that knows how a file of ours comes to disk. Nothing here knows what the bytes mean;
callers translate `FileRefusedError` and `OSError` into the error of their own subject.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ironmesh.errors import FileLockedError, FileRefusedError

PRIVATE_FILE: Final = 0o600
PRIVATE_DIR: Final = 0o700
LOCK_TIMEOUT_S: Final = 10.0

_OTHERS: Final = 0o077
_WRITE_OTHERS: Final = 0o022
_CLOEXEC: Final = getattr(os, "O_CLOEXEC", 0)
_NOFOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_NONBLOCK: Final = getattr(os, "O_NONBLOCK", 0)
_DIRECTORY: Final = getattr(os, "O_DIRECTORY", 0)
_LOCK_POLL_S: Final = (0.0005, 0.02)
_IS_POSIX: Final = os.name == "posix"


def make_private_dir(path: Path) -> None:
    """Make sure that `path` is a folder that only we can enter; missing parents become private too.

    Raises:
        FileRefusedError: a symbolic link, no folder, somebody else's, or a shared one like /tmp.
        OSError: it cannot be made.
    """
    for folder in reversed([path, *path.parents]):
        if not folder.exists():
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=PRIVATE_DIR)
    if path.is_symlink():
        raise FileRefusedError(f"{path} is a symbolic link", "name the folder itself")
    if not path.is_dir():
        raise FileRefusedError(f"{path} is not a folder", "move it away or name another folder")
    if not _IS_POSIX:
        return
    handle = os.open(path, os.O_RDONLY | _DIRECTORY | _NOFOLLOW | _CLOEXEC)
    try:
        info = os.fstat(handle)
        _check_owner(path, info)
        if info.st_mode & stat.S_ISVTX:
            raise FileRefusedError(f"{path} is shared with others", "name a folder of your own")
        if info.st_mode & _OTHERS:
            os.fchmod(handle, PRIVATE_DIR)
    finally:
        os.close(handle)


def write_private(path: Path, data: bytes) -> None:
    """Replace `path` by `data`, mode 0600: afterwards the old or the new content is there, whole.

    Raises:
        OSError: it cannot be written; `path` is as it was.
    """
    temporary = _write_beside(path, data)
    try:
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise
    _sync_dir(path.parent)


def create_private(path: Path, data: bytes) -> None:
    """Write a new file, mode 0600, whole or not at all.

    Raises:
        FileExistsError: `path` exists (also as a dangling symbolic link); it is untouched.
        OSError: it cannot be written.
    """
    temporary = _write_beside(path, data)
    try:
        os.link(temporary, path, follow_symlinks=False)
    finally:
        temporary.unlink()
    _sync_dir(path.parent)


def read_bounded(path: Path, limit_bytes: int) -> bytes:
    """Read a regular file of at most `limit_bytes`; a pipe or device is refused, never waited for.

    Raises:
        FileNotFoundError: there is none.
        FileRefusedError: not a regular file, or larger than the limit.
        OSError: it cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | _NONBLOCK | _CLOEXEC)
    try:
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode):
            raise FileRefusedError(f"{path} is not a regular file", "name a file")
        data = b"" if info.st_size > limit_bytes else _read_all(handle, limit_bytes + 1)
    finally:
        os.close(handle)
    if max(info.st_size, len(data)) > limit_bytes:
        raise FileRefusedError(f"{path} is larger than {limit_bytes} bytes", "check what it is")
    return data


def is_readable_by_others(path: Path) -> bool:
    """Tell whether the group or everybody may read, write or run the file."""
    return _IS_POSIX and bool(path.stat().st_mode & _OTHERS)


def is_writable_by_others(path: Path) -> bool:
    """Tell whether the group, everybody, or an owner other than us and root may change the file."""
    if not _IS_POSIX:
        return False
    info = path.stat()
    return bool(info.st_mode & _WRITE_OTHERS) or info.st_uid not in {os.geteuid(), 0}


def open_for_append(path: Path) -> int:
    """Open (or make, mode 0600) a private file that grows at its end only; return the handle.

    Raises:
        FileRefusedError: a symbolic link, no regular file, or somebody else's.
        OSError: it cannot be opened.
    """
    return _open_private(path, os.O_RDWR | os.O_APPEND)


@contextlib.contextmanager
def exclusive(path: Path, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """Hold the lock file `path`, made when missing: one holder among all processes and threads.

    The lock dies with its holder; the file stays, because removing it would let two holders in.

    Raises:
        FileLockedError: somebody else held it for `timeout_s`.
        FileRefusedError: the lock file is a symbolic link, no regular file, or somebody else's.
        OSError: the lock file cannot be opened.
    """
    handle = _open_private(path, os.O_RDWR)
    try:
        _wait_for_lock(handle, path, timeout_s)
        yield
    finally:
        os.close(handle)


def _wait_for_lock(handle: int, path: Path, timeout_s: float) -> None:
    pause_s, longest_s = _LOCK_POLL_S
    deadline = time.monotonic() + timeout_s
    while not _try_lock(handle):
        if time.monotonic() >= deadline:
            raise FileLockedError(
                f"another process has held {path} for {timeout_s:g} s",
                "end the process that hangs, then try again",
            )
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, longest_s)


if sys.platform == "win32":

    def _try_lock(handle: int) -> bool:
        import msvcrt

        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:

    def _try_lock(handle: int) -> bool:
        import fcntl

        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _open_private(path: Path, flags: int) -> int:
    if path.is_symlink():
        raise FileRefusedError(f"{path} is a symbolic link", "remove it")
    handle = os.open(path, flags | os.O_CREAT | _NOFOLLOW | _NONBLOCK | _CLOEXEC, PRIVATE_FILE)
    try:
        _check_private(handle, path)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _check_private(handle: int, path: Path) -> None:
    info = os.fstat(handle)
    if not stat.S_ISREG(info.st_mode):
        raise FileRefusedError(f"{path} is not a regular file", "move it away")
    if _IS_POSIX:
        _check_owner(path, info)
        if info.st_mode & _OTHERS:
            os.fchmod(handle, PRIVATE_FILE)


def _check_owner(path: Path, info: os.stat_result) -> None:
    if info.st_uid != os.geteuid():
        raise FileRefusedError(f"{path} belongs to another user", "use a folder of your own")


def _write_beside(path: Path, data: bytes) -> Path:
    """Bring `data` to disk in a new file beside `path`; return where."""
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _CLOEXEC
    handle = os.open(temporary, flags, PRIVATE_FILE)
    try:
        try:
            _write_all(handle, data)
            os.fsync(handle)
        finally:
            os.close(handle)
    except BaseException:
        temporary.unlink()
        raise
    return temporary


def _write_all(handle: int, data: bytes) -> None:
    missing = memoryview(data)
    while missing:
        missing = missing[os.write(handle, missing) :]


def _sync_dir(path: Path) -> None:
    if not _IS_POSIX:
        return
    handle = os.open(path, os.O_RDONLY | _DIRECTORY | _CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read_all(handle: int, limit_bytes: int) -> bytes:
    parts: list[bytes] = []
    missing = limit_bytes
    while missing and (part := os.read(handle, min(missing, 1 << 20))):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)

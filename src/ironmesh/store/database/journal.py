"""Which handlers began and ended, noted beside the database without waiting for the disk.

A plain write survives the end of the process, however it comes, but not a power failure. The header
tells which start of the machine wrote the file; after another one, or where that cannot be known,
notes may be missing and every unhandled message may have been seen.

    file   = "IMnotes1" || BLAKE2b-128(boot id) || record ...
    record = kind(1): b began, e ended, c closed || sequence(8) || CRC-32 of both (4)
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import threading
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from ironmesh.crypto import sodium
from ironmesh.errors import FileRefusedError, StoreError, StoreFullError
from ironmesh.files import PRIVATE_FILE, open_for_append, read_bounded, write_private

COMPACT_BYTES: Final = 64 * 1024

_MAGIC: Final = b"IMnotes1"
_BOOT_BYTES: Final = 16
_HEADER_BYTES: Final = len(_MAGIC) + _BOOT_BYTES
_MAX_BYTES: Final = 64 * 1024 * 1024
_BODY: Final = struct.Struct(">cQ")
_CHECK: Final = struct.Struct(">I")
_RECORD_BYTES: Final = _BODY.size + _CHECK.size
_BEGAN: Final = b"b"
_ENDED: Final = b"e"
_CLOSED: Final = b"c"
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Notes(NamedTuple):
    """What the journal of an earlier run says."""

    completed: tuple[int, ...] = ()
    """Sequences whose handlers ended."""
    running: tuple[int, ...] = ()
    """Those whose handlers began and did not end."""
    is_complete: bool = True
    """No note can be missing."""


class Journal:
    """The notes of this run. Notes may come from any thread.

    Args:
        path: the file; its folder exists and is private.
        boot_id: names this start of the machine; empty = unknown.
    """

    def __init__(self, path: Path, boot_id: bytes) -> None:
        self._path = path
        self._boot = boot_id and sodium.blake2b(boot_id, size_bytes=_BOOT_BYTES)
        self._lock = threading.Lock()
        self._handle: int | None = None
        self._size = 0
        self._open: dict[int, bool] = {}
        """By sequence, those not yet handled in the database; True = the handler ended."""

    def read(self) -> Notes:
        """Return what an earlier run noted.

        Raises:
            StoreError: the file cannot be read.
        """
        try:
            data = read_bounded(self._path, _MAX_BYTES)
        except FileNotFoundError:
            return Notes()
        except FileRefusedError as error:
            raise StoreError(error.what, error.fix) from error
        except OSError as error:
            raise _failure(error, self._path) from error
        return _parse(data, self._boot)

    def start(self) -> None:
        """Begin anew, once the database holds what `read` returned.

        Raises:
            StoreFullError: the disk is full.
            StoreError: the file cannot be written.
        """
        try:
            # On disk before the first note: an old header would vouch for notes that a power
            # failure takes.
            write_private(self._path, self._header())
            self._handle = open_for_append(self._path)
        except OSError as error:
            raise _failure(error, self._path) from error
        self._size = _HEADER_BYTES

    def note_started(self, sequence: int, after: int | None = None) -> None:
        """Note that a handler begins, and that the one of `after` ended.

        Raises:
            StoreFullError: the disk is full; nothing was noted.
            StoreError: the file cannot be written; nothing was noted.
        """
        note = _record(_BEGAN, sequence)
        with self._lock:
            if after is None:
                self._append(note)
            else:
                self._append(_record(_ENDED, after) + note)
                self._open[after] = True
            self._open[sequence] = False

    def note_completed(self, sequence: int) -> None:
        """Note that a handler ended.

        Raises:
            StoreFullError: the disk is full; nothing was noted.
            StoreError: the file cannot be written; nothing was noted.
        """
        with self._lock:
            self._append(_record(_ENDED, sequence))
            self._open[sequence] = True

    def settle(self, sequences: Iterable[int]) -> None:
        """The database says of these that they are handled: their notes may go."""
        with self._lock:
            for sequence in sequences:
                self._open.pop(sequence, None)
            if self._size > max(COMPACT_BYTES, 4 * _RECORD_BYTES * len(self._open)):
                self._compact()

    def close(self) -> None:
        """Bring the notes to disk, and close the file."""
        with self._lock:
            if self._handle is None:
                return
            try:
                # What cannot be written leaves a file that is read like that of a killed process.
                with contextlib.suppress(StoreError, OSError):
                    self._append(_record(_CLOSED, 0))
                    os.fsync(self._handle)
            finally:
                os.close(self._handle)
                self._handle = None

    def _header(self) -> bytes:
        return _MAGIC + self._boot.ljust(_BOOT_BYTES, b"\0")

    def _append(self, records: bytes) -> None:
        if self._handle is None:
            raise StoreError("the message store is not open", "load it first")
        try:
            _write(self._handle, records, self._size)
        except OSError as error:
            raise _failure(error, self._path) from error
        self._size += len(records)

    def _compact(self) -> None:
        """Replace the file by one with the notes that still count: at any moment one is whole."""
        data = self._header() + b"".join(
            _record(_ENDED if is_ended else _BEGAN, sequence)
            for sequence, is_ended in self._open.items()
        )
        temporary = self._path.with_name(f".{self._path.name}.{os.urandom(8).hex()}.tmp")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
        # No room for a smaller file is no reason to stop: the longer one goes on.
        with contextlib.suppress(OSError):
            handle = os.open(temporary, flags, PRIVATE_FILE)
            try:
                _write(handle, data, 0)
                temporary.replace(self._path)
            except OSError:
                os.close(handle)
                temporary.unlink(missing_ok=True)
                raise
            if self._handle is not None:
                os.close(self._handle)
            self._handle, self._size = handle, len(data)


def boot_id() -> bytes:
    """Return what names this start of the machine; empty where the system has no such name."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    except OSError:
        return b""


def _record(kind: bytes, sequence: int) -> bytes:
    body = _BODY.pack(kind, sequence)
    return body + _CHECK.pack(zlib.crc32(body))


def _write(handle: int, data: bytes, size: int) -> None:
    """Append all of `data` to a file of `size` bytes, or nothing."""
    if os.write(handle, data) != len(data):
        os.ftruncate(handle, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _parse(data: bytes, boot: bytes) -> Notes:
    if not data.startswith(_MAGIC) or len(data) < _HEADER_BYTES:
        return Notes(is_complete=False)
    ended: dict[int, bool] = {}
    is_closed = False
    for position in range(_HEADER_BYTES, len(data) - _RECORD_BYTES + 1, _RECORD_BYTES):
        record = data[position : position + _RECORD_BYTES]
        kind, sequence = _BODY.unpack_from(record)
        if record != _record(kind, sequence):
            is_closed = False
            break
        is_closed = kind == _CLOSED
        if not is_closed:
            ended[sequence] = kind == _ENDED
    is_same_boot = bool(boot) and data[len(_MAGIC) : _HEADER_BYTES] == boot
    return Notes(
        completed=tuple(sequence for sequence, is_ended in ended.items() if is_ended),
        running=tuple(sequence for sequence, is_ended in ended.items() if not is_ended),
        is_complete=is_closed or is_same_boot,
    )


def _failure(error: OSError, path: Path) -> StoreError:
    if error.errno in _FULL:
        return StoreFullError(f"the disk has no room for {path}", "free some disk space")
    return StoreError(
        f"{path} cannot be used ({error.strerror})", "check the folder's owner and mode"
    )

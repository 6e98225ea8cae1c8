"""The audit log on disk: appended by any number of processes, never rewritten.

Beside `audit.log` stand `audit.log.head`, which names the newest record that is safely on disk, and
`audit.log.lock`, which a writer holds. A log that is not as we left it (a line cut short by a power
failure, changed or missing records) is kept as it is; the chain goes on behind it with a record
that says what was found.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ironmesh import files
from ironmesh.audit.chain import (
    MAX_LINE_BYTES,
    START,
    Detail,
    Mark,
    Record,
    Restart,
    audit_key,
    bounded,
    open_head,
    open_line,
    seal,
    seal_head,
)
from ironmesh.audit.events import AuditEvent
from ironmesh.audit.limit import EventLimiter
from ironmesh.crypto import sodium
from ironmesh.errors import AuditError, FileRefusedError
from ironmesh.types import Instant, Secret

SYNC_S: Final = 10.0
"""How long a record may wait for the disk and the head file; at most so much a power failure, or
somebody who ends the node by force, can take from the end unseen."""

_TAIL_BYTES: Final = 256 * 1024
_HEAD_BYTES: Final = 1024
_UNKNOWN: Final = -1


class AuditLog:
    """The audit log of one node. Every call is quick and synchronous; use it from one thread.

    Args:
        path: the log; its folder exists and is private.
        data_key: the node's data key, 32 bytes.
        limiter: how many events of one kind are written.
    """

    def __init__(
        self, path: Path, data_key: Secret, *, limiter: EventLimiter | None = None
    ) -> None:
        self._path = path
        self._lock = lock_path(path)
        self._key = audit_key(data_key)
        self._limiter = limiter or EventLimiter()
        self._handle: int | None = None
        self._mark = START
        """The last record of the log, as far as we know."""
        self._end = _UNKNOWN
        """The size of the log up to that record."""
        self._synced = START
        """The record that the head file names."""
        self._synced_at = float("-inf")

    def log(self, event: AuditEvent, now: Instant, /, **details: Detail) -> None:
        """Append one event; of a flood of one kind, only the number.

        Args:
            event: what happened.
            now: when.
            details: who and what; no secrets. Longer texts than 256 characters are cut.

        Raises:
            AuditError: the log cannot be written.
        """
        is_admitted = self._limiter.admit(event, now)
        self._log_suppressed(now)
        if is_admitted:
            with self._writing(now) as handle:
                self._append(handle, event, now, details)

    def flush(self, now: Instant) -> None:
        """Bring what was written safely to disk; call it every minute or so.

        Raises:
            AuditError: the log cannot be written.
        """
        self._log_suppressed(now)
        if self._mark != self._synced:
            with self._writing(now) as handle:
                self._sync(handle, now)

    def close(self, now: Instant) -> None:
        """Write what is outstanding, and close the file; the log may be used again.

        Raises:
            AuditError: the log cannot be written; the file is closed all the same.
        """
        try:
            self._log_suppressed(now, all_kinds=True)
            self.flush(now)
        finally:
            self._close_handle()

    def _log_suppressed(self, now: Instant, *, all_kinds: bool = False) -> None:
        for suppressed in self._limiter.take_suppressed(now, all_kinds=all_kinds):
            with self._writing(now) as handle:
                self._append(
                    handle,
                    AuditEvent.EVENTS_SUPPRESSED,
                    now,
                    {
                        "event": suppressed.event,
                        "count": suppressed.count,
                        "since": _iso(suppressed.since.wall),
                    },
                )

    # --- Writing, under the lock ---------------------------------------------------------------

    @contextlib.contextmanager
    def _writing(self, now: Instant) -> Iterator[int]:
        """Hold the log, at its end; yield its handle."""
        with translated(self._path), files.exclusive(self._lock):
            handle = self._catch_up(now)
            yield handle
            if now.mono >= self._synced_at + SYNC_S:
                self._sync(handle, now)

    def _catch_up(self, now: Instant) -> int:
        """Find the end of the log, which another process may have moved."""
        if self._handle is not None and not _is_same_file(self._handle, self._path):
            self._close_handle()
        if self._handle is None:
            head = _head_path(self._path)
            if not self._path.exists() and not head.exists():
                files.write_private(head, seal_head(START, self._key))
            self._handle = files.open_for_append(self._path)
        size = os.fstat(self._handle).st_size
        if size != self._end:
            self._resume(self._handle, size, now)
        return self._handle

    def _resume(self, handle: int, size: int, now: Instant) -> None:
        last, end = _last_record(handle, size, self._key)
        head = read_head(self._path, self._key)
        newest = max(head or START, self._mark, key=lambda mark: mark.seq)
        skipped = _Skipped.read(handle, end, size)
        reason = _restart_reason(last, newest, skipped, has_head=head is not None)
        self._mark, self._end = max(newest, last, key=lambda mark: mark.seq), size
        if reason is not None:
            details: dict[str, Detail] = {
                "reason": reason,
                "lost_entries": max(0, newest.seq - last.seq),
                "skipped_bytes": skipped.size_bytes,
                "skipped_sha256": skipped.sha256,
            }
            prefix = b"" if skipped.is_ended else b"\n"
            self._append(handle, AuditEvent.CHAIN_RESTARTED, now, details, prefix=prefix)
            self._sync(handle, now)

    def _append(
        self,
        handle: int,
        event: AuditEvent,
        now: Instant,
        details: dict[str, Detail],
        *,
        prefix: bytes = b"",
    ) -> None:
        seq = self._mark.seq + 1
        record = Record(seq, _iso(now.wall), event, bounded(details), self._mark.entry)
        line, mark = seal(record, self._key)
        data = prefix + line
        end, self._end = self._end + len(data), _UNKNOWN
        if os.write(handle, data) != len(data):
            raise AuditError(f"{self._path} took only a part of a record", "free some disk space")
        self._mark, self._end = mark, end

    def _sync(self, handle: int, now: Instant) -> None:
        os.fsync(handle)
        files.write_private(_head_path(self._path), seal_head(self._mark, self._key))
        self._synced, self._synced_at = self._mark, now.mono

    def _close_handle(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
        self._handle, self._end = None, _UNKNOWN


# --- Reading --------------------------------------------------------------------------------------


class _Skipped:
    """What follows the last good record."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self.lines = 0
        self.is_ended = True
        """Its last byte is a line feed; also if there is nothing."""
        self.sha256 = sodium.sha256(b"").hex()

    @classmethod
    def read(cls, handle: int, start: int, end: int) -> _Skipped:
        skipped = cls()
        if start < end:
            skipped._read(handle, start, end)
        return skipped

    def _read(self, handle: int, start: int, end: int) -> None:
        from hashlib import sha256  # OpenSSL's: hardly ever needed

        digest = sha256()
        while start < end and (part := os.pread(handle, min(end - start, 1 << 20), start)):
            digest.update(part)
            start += len(part)
            self.size_bytes += len(part)
            self.lines += part.count(b"\n")
            self.is_ended = part.endswith(b"\n")
        if not self.is_ended:
            digest.update(b"\n")
        self.sha256 = digest.hexdigest()


def _restart_reason(
    last: Mark, newest: Mark, skipped: _Skipped, *, has_head: bool
) -> Restart | None:
    """Say what is wrong with the log; None = it is as we left it."""
    if not has_head:
        return Restart.HEAD_MISSING
    if last.seq < newest.seq:
        return Restart.TRUNCATED
    if skipped.lines or (last.seq == newest.seq and last != newest):
        return Restart.DAMAGED
    return Restart.TORN if skipped.size_bytes else None


def _last_record(handle: int, size: int, key: Secret) -> tuple[Mark, int]:
    """Return the last good record of a log and where it ends; the start of the chain if none is."""
    start = max(0, size - _TAIL_BYTES)
    tail = os.pread(handle, size - start, start)
    end = len(tail)
    for line in reversed(io.BytesIO(tail).readlines()):
        opened = open_line(line, key)
        if opened is not None:
            return opened[1], start + end
        end -= len(line)
    return (START, 0) if start == 0 else _last_record_of_all(handle, size, key)


def _last_record_of_all(handle: int, size: int, key: Secret) -> tuple[Mark, int]:
    found, position = (START, 0), 0
    with os.fdopen(os.dup(handle), "rb") as file:
        file.seek(0)
        while position < size and (line := file.readline(MAX_LINE_BYTES)):
            position += len(line)
            opened = open_line(line, key)
            if opened is not None:
                found = (opened[1], position)
    return found


def read_head(path: Path, key: Secret) -> Mark | None:
    """Return the place that the head file of a log names; None unless it is as it was written."""
    try:
        return open_head(files.read_bounded(_head_path(path), _HEAD_BYTES), key)
    except (FileNotFoundError, FileRefusedError):
        return None


def _head_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.head")


def lock_path(path: Path) -> Path:
    """Return the file that a writer of a log holds."""
    return path.with_name(f"{path.name}.lock")


def _is_same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise `AuditError` for what goes wrong with a log and the files beside it."""
    try:
        yield
    except FileRefusedError as error:
        raise AuditError(error.what, error.fix) from error
    except FileNotFoundError as error:
        raise AuditError(f"there is no audit log {path}", "start the node once") from error
    except OSError as error:
        raise AuditError(
            f"the audit log {path} cannot be used ({error.strerror or error})",
            "check the folder's owner, mode and free space",
        ) from error


def _iso(wall: float) -> str:
    text = datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")

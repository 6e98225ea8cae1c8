"""Whether an audit log is as it was written: from its first record to its last."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from ironmesh import files
from ironmesh.audit.chain import MAX_LINE_BYTES, START, Mark, Record, Restart, audit_key, open_line
from ironmesh.audit.events import AuditEvent
from ironmesh.audit.log import lock_path, read_head, translated
from ironmesh.types import Secret


class ChainReport(msgspec.Struct, frozen=True):
    """What verifying a log found."""

    ok: bool
    count: int
    """Records that stand in unbroken order, before the first bad one."""
    first_bad: int | None = None
    """The number of the first record that is not what it was."""
    why: str = ""
    repairs: int = 0
    """Lines cut short by a power failure, which a later record vouches for."""


def verify_file(path: Path, data_key: Secret) -> ChainReport:
    """Check a log from its first record to its last, while others may append to it.

    Args:
        path: the log; its head file stands beside it.
        data_key: the node's data key, 32 bytes.

    Raises:
        AuditError: there is no log, or it cannot be read.
    """
    key, lock = audit_key(data_key), lock_path(path)
    with translated(path):
        with files.exclusive(lock) if lock.exists() else contextlib.nullcontext():
            size = path.stat().st_size
            head = read_head(path, key)
        report = verify(_lines(path, size), key, head)
    if report.ok and head is None:
        bad = report.count + 1
        why = "the head file is missing or damaged, so the end may be cut off"
        return msgspec.structs.replace(report, ok=False, first_bad=bad, why=why)
    return report


def _lines(path: Path, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        while size > 0 and (line := file.readline(min(size, MAX_LINE_BYTES))):
            size -= len(line)
            yield line


class _BrokenError(Exception):
    def __init__(self, seq: int, why: str) -> None:
        self.seq = seq
        self.why = why
        super().__init__(why)


class _Skipped:
    """Bytes between two good records."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._hash = hashlib.sha256()

    def add(self, line: bytes) -> None:
        self.size_bytes += len(line)
        self._hash.update(line)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


class _Verifier:
    def __init__(self, key: Secret, head: Mark | None) -> None:
        self.mark = START
        self.repairs = 0
        self._key = key
        self._head = head
        self._skipped = _Skipped()

    def feed(self, line: bytes) -> None:
        opened = open_line(line, self._key)
        if opened is None:
            self._skipped.add(line)
            return
        record, mark = opened
        if self._skipped.size_bytes:
            self._expect_repair(record)
        self._expect_next(record)
        self._expect_no_break(record)
        if self._head is not None and mark.seq == self._head.seq and mark != self._head:
            raise _BrokenError(
                mark.seq, f"entry {mark.seq} is not the one that the head file names"
            )
        self.mark = mark

    def finish(self) -> None:
        missing = self.mark.seq + 1
        if self._skipped.size_bytes:
            raise _BrokenError(missing, f"entry {missing} was changed, or is incomplete")
        if self._head is not None and self._head.seq > self.mark.seq:
            raise _BrokenError(missing, f"entries {missing} to {self._head.seq} are cut off")

    def _expect_repair(self, record: Record) -> None:
        skipped, self._skipped = self._skipped, _Skipped()
        if (
            record.event != AuditEvent.CHAIN_RESTARTED
            or record.details.get("skipped_sha256") != skipped.sha256
        ):
            bad = self.mark.seq + 1
            raise _BrokenError(bad, f"entry {bad} was changed or damaged")
        self.repairs += 1

    def _expect_next(self, record: Record) -> None:
        wanted = self.mark.seq + 1
        if record.seq > wanted:
            raise _BrokenError(wanted, f"entries {wanted} to {record.seq - 1} are missing")
        if record.seq < wanted:
            raise _BrokenError(wanted, f"entry {record.seq} stands in the place of {wanted}")
        if record.prev != self.mark.entry:
            raise _BrokenError(wanted, f"entry {wanted} does not follow the one before it")

    def _expect_no_break(self, record: Record) -> None:
        reason = record.details.get("reason")
        if record.event == AuditEvent.CHAIN_RESTARTED and reason != Restart.TORN:
            raise _BrokenError(record.seq, f"before entry {record.seq} the log was {reason}")


def verify(lines: Iterable[bytes], key: Secret, head: Mark | None = None) -> ChainReport:
    """Check a log from its first line to its last.

    Args:
        lines: the lines in order, each with its line feed; a longer one may come in pieces.
        key: from `audit_key`.
        head: the place that the head file names; None = do not look for a cut end.
    """
    verifier = _Verifier(key, head)
    try:
        for line in lines:
            verifier.feed(line)
        verifier.finish()
    except _BrokenError as broken:
        return ChainReport(
            ok=False,
            count=verifier.mark.seq,
            first_bad=broken.seq,
            why=broken.why,
            repairs=verifier.repairs,
        )
    return ChainReport(ok=True, count=verifier.mark.seq, repairs=verifier.repairs)

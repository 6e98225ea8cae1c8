"""The log on disk: appended by many, never rewritten, honest about what happened to it."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
from pathlib import Path

import pytest
from tests.support.trust import DATA_KEY, at

from ironmesh.audit.events import AuditEvent
from ironmesh.audit.limit import EventLimiter
from ironmesh.audit.log import SYNC_S, AuditLog
from ironmesh.audit.verify import verify_file
from ironmesh.errors import AuditError
from ironmesh.types import Secret

PINNED = AuditEvent.PEER_PINNED


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


def write(path: Path, count: int, start: int = 0, *, close: bool = True) -> AuditLog:
    log = AuditLog(path, DATA_KEY, limiter=EventLimiter(burst=10**6))
    for number in range(start, start + count):
        log.log(PINNED, at(number), peer=f"peer-{number}")
    if close:
        log.close(at(start + count))
    return log


def records(path: Path) -> list[dict]:
    found = []
    for line in path.read_bytes().splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def test_events_are_written_in_order_with_their_time_and_details(path: Path) -> None:
    log = AuditLog(path, DATA_KEY)
    log.log(AuditEvent.NODE_STARTED, at(0), version="0.1", port=8765)
    log.log(PINNED, at(1.5), peer="ab", ok=True)
    log.close(at(2))
    first, second = records(path)
    assert (first["seq"], first["event"]) == (1, "NODE_STARTED")
    assert first["details"] == {"version": "0.1", "port": 8765}
    assert second["ts"] == "2023-11-14T22:13:21.500Z"
    report = verify_file(path, DATA_KEY)
    assert report.ok
    assert report.count == 2


def test_all_files_are_private(path: Path) -> None:  # F122
    write(path, 2)
    modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {0o600}


def test_the_chain_goes_on_after_a_restart(path: Path) -> None:
    write(path, 3)
    write(path, 3, start=3)
    assert [record["seq"] for record in records(path)] == [1, 2, 3, 4, 5, 6]
    assert verify_file(path, DATA_KEY).ok


def test_a_log_that_was_not_closed_goes_on_and_is_right(path: Path) -> None:
    write(path, 30, close=False)._close_handle()
    assert verify_file(path, DATA_KEY).ok
    write(path, 3, start=30)
    assert verify_file(path, DATA_KEY).count == 33


def test_a_log_that_was_never_used_leaves_no_file(path: Path) -> None:
    log = AuditLog(path, DATA_KEY)
    log.flush(at(0))
    log.close(at(0))
    assert not list(path.parent.iterdir())


def test_an_edited_byte_is_found_by_its_entry_also_after_a_restart(path: Path) -> None:  # F117
    write(path, 20)
    data = path.read_bytes().replace(b'"peer-11"', b'"peer-99"')
    path.write_bytes(data)
    for _ in range(2):
        report = verify_file(path, DATA_KEY)
        assert not report.ok
        assert report.first_bad == 12
        assert "12" in report.why
        write(path, 2, start=20)


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_cut_end_is_found_and_stays_found(path: Path, cut: int) -> None:  # F117
    write(path, 20)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-cut]))
    assert verify_file(path, DATA_KEY).first_bad == 21 - cut
    write(path, 2, start=20)
    report = verify_file(path, DATA_KEY)
    assert report.first_bad == 21 - cut
    restart = records(path)[-3]
    assert (restart["event"], restart["seq"]) == ("CHAIN_RESTARTED", 21)
    assert restart["details"]["reason"] == "truncated"
    assert restart["details"]["lost_entries"] == cut


def test_a_removed_log_is_found(path: Path) -> None:
    write(path, 5)
    path.unlink()
    with pytest.raises(AuditError, match="no audit log"):
        verify_file(path, DATA_KEY)
    write(path, 1, start=5)
    report = verify_file(path, DATA_KEY)
    assert report.first_bad == 1
    assert "entries 1 to 5 are missing" in report.why


def test_a_log_that_shrinks_under_a_running_node_is_found(path: Path) -> None:
    log = write(path, 9, close=False)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:4]))
    log.log(PINNED, at(9.5))
    log.close(at(10))
    assert records(path)[4]["details"]["lost_entries"] == 5
    assert verify_file(path, DATA_KEY).first_bad == 5


def test_a_removed_head_is_found_and_stays_found(path: Path) -> None:
    write(path, 5)
    path.with_name("audit.log.head").unlink()
    report = verify_file(path, DATA_KEY)
    assert not report.ok
    assert "head" in report.why
    write(path, 1, start=5)
    assert verify_file(path, DATA_KEY).first_bad == 6


def test_a_line_cut_short_by_a_power_failure_is_kept_and_vouched_for(path: Path) -> None:
    write(path, 5, close=False)._close_handle()
    torn = b'{"seq":6,"ts":"2026-01-'
    with path.open("ab") as file:
        file.write(torn)
    assert verify_file(path, DATA_KEY).first_bad == 6
    write(path, 2, start=5)
    restart = records(path)[5]
    assert restart["event"] == "CHAIN_RESTARTED"
    assert restart["details"]["reason"] == "torn"
    assert torn in path.read_bytes()
    report = verify_file(path, DATA_KEY)
    assert report.ok
    assert (report.count, report.repairs) == (8, 1)
    path.write_bytes(path.read_bytes().replace(torn, torn[:-1] + b"!"))
    assert verify_file(path, DATA_KEY).first_bad == 6


def test_the_last_line_edited_before_a_restart_is_not_taken_for_a_power_failure(path: Path) -> None:
    write(path, 5)
    path.write_bytes(path.read_bytes().replace(b'"peer-4"', b'"peer-9"'))
    write(path, 1, start=5)
    assert verify_file(path, DATA_KEY).first_bad == 5


def test_foreign_lines_at_the_end_are_kept_and_reported(path: Path) -> None:
    write(path, 5)
    with path.open("ab") as file:
        file.write(b"x" * 300_000 + b"\n")
    write(path, 1, start=5)
    assert b"xxx" in path.read_bytes()
    assert records(path)[5]["details"]["reason"] == "damaged"
    assert verify_file(path, DATA_KEY).first_bad == 6


def test_a_log_of_another_key_is_kept_and_reported(path: Path) -> None:
    write(path, 5)
    before = path.read_bytes()
    other = Secret(bytes(32))
    log = AuditLog(path, other)
    log.log(PINNED, at(9))
    log.close(at(9))
    assert path.read_bytes().startswith(before)
    assert verify_file(path, other).first_bad == 1


def test_a_flood_is_bounded_and_its_size_is_told(path: Path) -> None:
    log = AuditLog(path, DATA_KEY)
    for number in range(20_000):
        log.log(AuditEvent.AUTH_FAILED, at(number / 1000), address="192.0.2.1" * 100)
    log.log(PINNED, at(100))
    log.close(at(100))
    assert path.stat().st_size < 100_000
    written = records(path)
    failed = [record for record in written if record["event"] == "AUTH_FAILED"]
    told = [record for record in written if record["event"] == "EVENTS_SUPPRESSED"]
    assert len(failed) + told[0]["details"]["count"] == 20_000
    assert len(told) == 1
    assert told[0]["details"]["event"] == "AUTH_FAILED"
    assert verify_file(path, DATA_KEY).ok


def test_records_reach_the_disk_within_the_time_promised(path: Path, monkeypatch) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    log = AuditLog(path, DATA_KEY)
    log.log(PINNED, at(0))
    synced.clear()
    log.log(PINNED, at(1))
    assert not synced
    log.log(PINNED, at(SYNC_S))
    assert synced
    synced.clear()
    log.flush(at(SYNC_S + 1))
    assert not synced
    log.log(PINNED, at(SYNC_S + 2))
    log.flush(at(SYNC_S + 3))
    assert synced
    log.close(at(SYNC_S + 3))


def test_a_record_that_does_not_fit_the_disk_is_an_error_and_the_chain_goes_on(
    path: Path, monkeypatch
) -> None:
    log = write(path, 3, close=False)
    real_write = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda handle, data: real_write(handle, data[:20]))
        with pytest.raises(AuditError, match="part"):
            log.log(PINNED, at(3))

    def fail(_handle: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", fail)
        with pytest.raises(AuditError, match="No space left"):
            log.log(PINNED, at(4))
    log.log(PINNED, at(5))
    log.close(at(6))
    report = verify_file(path, DATA_KEY)
    assert report.ok
    assert report.repairs == 1


def test_a_link_in_the_place_of_the_log_is_refused(path: Path) -> None:
    path.symlink_to(path.parent / "elsewhere")
    with pytest.raises(AuditError, match="symbolic link"):
        AuditLog(path, DATA_KEY).log(PINNED, at(0))
    assert not (path.parent / "elsewhere").exists()


def _append(path: Path, start: int) -> None:
    write(path, 100, start=start)


def test_several_processes_write_one_chain(path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.starmap(_append, [(path, 1000 * number) for number in range(8)])
        # Workers that are left to end by themselves are not killed while they write coverage.
        pool.close()
        pool.join()
    report = verify_file(path, DATA_KEY)
    assert report.ok
    assert report.count == 800


def test_a_log_can_be_verified_while_it_is_written(path: Path) -> None:
    log = write(path, 10, close=False)
    assert verify_file(path, DATA_KEY).count == 10
    log.log(PINNED, at(11))
    assert verify_file(path, DATA_KEY).count == 11
    log.close(at(12))

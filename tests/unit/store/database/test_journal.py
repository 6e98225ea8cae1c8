"""Notes of handlers: what survives the end of a process, and what a start makes of it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.stores import DATA_KEY, put_inbox

from ironmesh.delivery.records import MarkHandled
from ironmesh.errors import StoreError, StoreFullError
from ironmesh.store.database import JOURNAL, SqliteStore
from ironmesh.store.database import store as store_module
from ironmesh.store.database.journal import COMPACT_BYTES, Journal, Notes, boot_id

BOOT = b"this start"


def started(path: Path, boot: bytes = BOOT) -> Journal:
    journal = Journal(path, boot)
    journal.read()
    journal.start()
    return journal


def abandon(journal: Journal) -> None:
    """Leave the file as a killed process does."""
    assert journal._handle is not None
    os.close(journal._handle)
    journal._handle = None


def test_there_is_nothing_to_read_at_first(tmp_path: Path) -> None:
    assert Journal(tmp_path / "j", BOOT).read() == Notes()


def test_notes_of_a_killed_process_are_read(tmp_path: Path) -> None:
    journal = started(tmp_path / "j")
    journal.note_started(1)
    journal.note_completed(1)
    journal.note_started(2)
    abandon(journal)
    assert Journal(tmp_path / "j", BOOT).read() == Notes((1,), (2,), is_complete=True)


@pytest.mark.parametrize(("first", "second"), [(BOOT, b"another"), (BOOT, b""), (b"", b"")])
def test_after_a_restart_of_the_machine_notes_may_be_missing(
    tmp_path: Path, first: bytes, second: bytes
) -> None:
    journal = started(tmp_path / "j", first)
    journal.note_started(1)
    journal.note_completed(1)
    abandon(journal)
    assert Journal(tmp_path / "j", second).read() == Notes((1,), (), is_complete=False)


def test_a_closed_journal_is_complete_whatever_came_after(tmp_path: Path) -> None:
    journal = started(tmp_path / "j")
    journal.note_started(1)
    journal.close()
    assert Journal(tmp_path / "j", b"another").read() == Notes((), (1,), is_complete=True)


@given(cut=st.integers(min_value=0, max_value=200), tail=st.binary(max_size=40))
def test_a_cut_or_garbled_end_never_invents_a_note(
    tmp_path_factory: pytest.TempPathFactory, cut: int, tail: bytes
) -> None:
    path = tmp_path_factory.mktemp("journal") / "j"
    journal = started(path)
    for sequence in range(1, 6):
        journal.note_started(sequence)
        journal.note_completed(sequence)
    abandon(journal)
    path.write_bytes(path.read_bytes()[:cut] + tail)
    notes = Journal(path, b"another").read()
    assert set(notes.completed) <= {1, 2, 3, 4, 5}
    assert not notes.is_complete


def test_a_journal_stays_small_and_keeps_what_counts(tmp_path: Path) -> None:
    journal = started(tmp_path / "j")
    journal.note_started(1)
    for sequence in range(2, 20_000):
        journal.note_started(sequence)
        journal.note_completed(sequence)
        if sequence % 100 == 0:
            journal.settle(range(sequence - 99 if sequence > 100 else 2, sequence + 1))
    assert (tmp_path / "j").stat().st_size < 2 * COMPACT_BYTES
    assert [path.name for path in tmp_path.iterdir()] == ["j"]
    assert (tmp_path / "j").stat().st_mode & 0o777 == 0o600
    abandon(journal)
    notes = Journal(tmp_path / "j", BOOT).read()
    assert 1 in notes.running
    assert set(range(19_901, 20_000)) <= set(notes.completed)


def test_that_one_ended_and_the_next_began_is_one_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = started(tmp_path / "j")
    writes: list[bytes] = []
    real = os.write
    monkeypatch.setattr(os, "write", lambda to, data: writes.append(data) or real(to, data))
    journal.note_started(1)
    journal.note_started(2, after=1)
    journal.note_started(3, after=2)
    monkeypatch.undo()
    assert len(writes) == 3
    abandon(journal)
    assert Journal(tmp_path / "j", BOOT).read() == Notes((1, 2), (3,), is_complete=True)


def test_a_full_disk_is_told_and_leaves_whole_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = started(tmp_path / "j")
    journal.note_started(1)
    real = os.write

    def partly(handle: int, data: bytes) -> int:
        return real(handle, data[:5])

    monkeypatch.setattr(os, "write", partly)
    with pytest.raises(StoreFullError):
        journal.note_completed(1)

    def not_at_all(handle: int, data: bytes) -> int:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(os, "write", not_at_all)
    with pytest.raises(StoreFullError):
        journal.note_completed(1)

    def broken(handle: int, data: bytes) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "write", broken)
    with pytest.raises(StoreError, match="Input/output error"):
        journal.note_completed(1)
    monkeypatch.undo()
    journal.note_completed(1)
    abandon(journal)
    assert Journal(tmp_path / "j", BOOT).read() == Notes((1,), (), is_complete=True)


def test_a_journal_that_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "j").mkdir()
    with pytest.raises(StoreError):
        Journal(tmp_path / "j", BOOT).read()


@pytest.mark.skipif(not Path("/proc/sys/kernel/random/boot_id").exists(), reason="needs Linux")
def test_the_start_of_this_machine_has_a_name() -> None:
    assert boot_id() == boot_id() != b""


# --- In the store ---------------------------------------------------------------------------------


async def killed_store(folder: Path) -> SqliteStore:
    """Messages 1 to 5 arrived; 1 is handled, 2 and 3 were noted so, 4 runs; then all ends."""
    store = SqliteStore(folder, DATA_KEY)
    await store.load()
    await store.commit([put_inbox(1, 2, 3, 4, 5)])
    for sequence in (1, 2, 3):
        store.note_started(sequence)
        store.note_completed(sequence)
    store.note_started(4)
    await store.commit([MarkHandled((1,))])
    abandon(store._journal)
    await store.close()
    return store


async def test_only_the_message_whose_handler_ran_comes_again_and_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "boot_id", lambda: BOOT)
    await killed_store(tmp_path)
    for _start in range(2):
        store = SqliteStore(tmp_path, DATA_KEY)
        snapshot = await store.load()
        assert [(row.sequence, row.is_redelivered) for row in snapshot.unhandled] == [
            (4, True),
            (5, False),
        ]
        await store.close()


async def test_after_a_power_failure_all_that_may_have_been_seen_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "boot_id", lambda: BOOT)
    await killed_store(tmp_path)
    monkeypatch.setattr(store_module, "boot_id", lambda: b"another")
    store = SqliteStore(tmp_path, DATA_KEY)
    snapshot = await store.load()
    assert [(row.sequence, row.is_redelivered) for row in snapshot.unhandled] == [
        (4, True),
        (5, True),
    ]
    await store.close()


async def test_a_clean_end_marks_nothing_also_when_the_machine_restarts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(tmp_path, DATA_KEY)
    await store.load()
    await store.commit([put_inbox(1, 2)])
    store.note_started(1)
    store.note_completed(1)
    await store.close()
    monkeypatch.setattr(store_module, "boot_id", lambda: b"another")
    store = SqliteStore(tmp_path, DATA_KEY)
    snapshot = await store.load()
    assert [(row.sequence, row.is_redelivered) for row in snapshot.unhandled] == [(2, False)]
    await store.close()


async def test_a_crash_between_database_and_journal_at_start_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "boot_id", lambda: BOOT)
    await killed_store(tmp_path)
    kept = (tmp_path / JOURNAL).read_bytes()
    store = SqliteStore(tmp_path, DATA_KEY)
    await store.load()
    await store.close()
    (tmp_path / JOURNAL).write_bytes(kept)
    store = SqliteStore(tmp_path, DATA_KEY)
    snapshot = await store.load()
    assert [(row.sequence, row.is_redelivered) for row in snapshot.unhandled] == [
        (4, True),
        (5, False),
    ]
    await store.close()

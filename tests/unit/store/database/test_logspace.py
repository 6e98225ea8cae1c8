"""The log of the database grows in steps, and holds what it held."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.support.stores import DATA_KEY, put_inbox, put_outbox

from ironmesh.store.database import SqliteStore
from ironmesh.store.database.logspace import STEP_BYTES, LogSpace

pytestmark = pytest.mark.skipif(
    not hasattr(os, "posix_fallocate"), reason="this system gives no blocks ahead"
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_bytes(b"frame")
    return path


def test_a_log_that_outgrew_its_last_step_gets_another_one(log: Path) -> None:
    space = LogSpace(log)
    space.follow()
    assert log.stat().st_size == 5 + STEP_BYTES
    with log.open("r+b") as file:
        file.write(bytes(STEP_BYTES))
    space.follow()
    assert log.stat().st_size == 5 + STEP_BYTES
    with log.open("ab") as file:
        file.write(b"one byte more"[:1])
    space.follow()
    space.close()
    assert log.stat().st_size == 6 + 2 * STEP_BYTES


def test_a_disk_with_little_room_is_left_alone(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nearly_full = SimpleNamespace(f_bavail=63, f_frsize=STEP_BYTES)
    monkeypatch.setattr(os, "fstatvfs", lambda _: nearly_full)
    space = LogSpace(log)
    space.follow()
    assert log.stat().st_size == 5


def test_where_no_step_can_be_taken_nobody_minds(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def refuse(*arguments: int) -> None:
        calls.append(arguments)
        raise OSError(errno.EFBIG, "a limit")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    space = LogSpace(log)
    space.follow()
    space.follow()
    assert len(calls) == 1
    LogSpace(log.with_name("missing") / "log").follow()


async def test_a_start_after_a_kill_finds_all_that_was_committed_in_such_a_log(
    tmp_path: Path,
) -> None:
    store = SqliteStore(tmp_path / "store", DATA_KEY)
    await store.load()
    for number in range(1, 400):  # more than a step
        await store.commit([put_outbox(number), put_inbox(number)])
    shutil.copytree(tmp_path / "store", tmp_path / "killed")
    size = (tmp_path / "killed" / "messages.db-wal").stat().st_size
    await store.close()
    found = SqliteStore(tmp_path / "killed", DATA_KEY)
    snapshot = await found.load()
    await found.close()
    assert size > 2 * STEP_BYTES
    assert len(snapshot.outbox) == len(snapshot.unhandled) == 399

"""Damaged files, full disks, versions that are not ours: told by name, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.support.stores import BOB, DATA_KEY, message_id, put_inbox, put_outbox

from ironmesh.delivery.records import Snapshot
from ironmesh.errors import StoreDamagedError, StoreError, StoreFullError
from ironmesh.store.database import DATABASE, JOURNAL, SqliteStore
from ironmesh.store.database import opening as opening_module
from ironmesh.store.database.engine import Engine
from ironmesh.store.database.faults import is_sync_failure, translated
from ironmesh.store.database.journal import Notes
from ironmesh.store.database.schema import APPLICATION_ID, MIGRATIONS, migrate


async def filled(folder: Path, count: int = 300) -> None:
    store = SqliteStore(folder, DATA_KEY)
    await store.load()
    await store.commit([put_outbox(*range(1, count + 1)), put_inbox(1)])
    await store.close()


async def found(folder: Path) -> Snapshot:
    store = SqliteStore(folder, DATA_KEY)
    try:
        return await store.load()
    finally:
        await store.close()


def left_open(folder: Path, copy: Path) -> None:
    """A copy of the files of a store that was killed: all that it committed is in the log."""
    engine = Engine(folder / DATABASE, DATA_KEY)
    engine.load(Notes())
    engine.apply([[put_outbox(number)] for number in range(1001, 1051)])
    engine.apply([[put_outbox(number)] for number in range(1051, 1101)])
    shutil.copytree(folder, copy)
    engine.close()


# --- Damage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [50, 4096, 20_000])
async def test_a_truncated_database_is_named_and_left_alone(tmp_path: Path, size: int) -> None:
    await filled(tmp_path)
    os.truncate(tmp_path / DATABASE, size)
    before = (tmp_path / DATABASE).read_bytes()
    with pytest.raises(StoreDamagedError, match="damaged") as caught:
        await found(tmp_path)
    assert "put back a copy" in caught.value.fix
    assert (tmp_path / DATABASE).read_bytes() == before
    assert "ironmesh-store" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize("is_missing", [False, True])
@pytest.mark.parametrize("is_killed", [False, True])
async def test_an_empty_or_missing_database_is_not_taken_for_a_new_one(
    tmp_path: Path, is_missing: bool, is_killed: bool
) -> None:
    await filled(tmp_path / "store")
    folder = tmp_path / "store"
    if is_killed:
        folder = tmp_path / "copy"
        left_open(tmp_path / "store", folder)
        (folder / JOURNAL).unlink()
    if is_missing:
        (folder / DATABASE).unlink()
    else:
        os.truncate(folder / DATABASE, 0)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(StoreDamagedError, match="empty or missing"):
        await found(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


async def test_garbage_is_named_and_left_alone(tmp_path: Path) -> None:
    await filled(tmp_path)
    garbage = os.urandom(50_000)
    (tmp_path / DATABASE).write_bytes(garbage)
    with pytest.raises(StoreDamagedError, match="damaged"):
        await found(tmp_path)
    assert (tmp_path / DATABASE).read_bytes() == garbage


async def test_a_page_of_zeros_is_named(tmp_path: Path) -> None:
    await filled(tmp_path)
    pages = (tmp_path / DATABASE).stat().st_size // 4096
    with (tmp_path / DATABASE).open("r+b") as file:
        for page in range(3, pages):
            file.seek(page * 4096)
            file.write(bytes(4096))
    with pytest.raises(StoreDamagedError):
        await found(tmp_path)


async def test_a_log_that_is_garbage_is_named_and_left_alone(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    left_open(tmp_path / "store", copy)
    wal = copy / f"{DATABASE}-wal"
    garbage = os.urandom(wal.stat().st_size)
    wal.write_bytes(garbage)
    (copy / f"{DATABASE}-shm").unlink()
    with pytest.raises(StoreDamagedError, match="log"):
        await found(copy)
    assert wal.read_bytes() == garbage


@pytest.mark.parametrize("position", range(0, 32, 3))
async def test_any_change_of_the_header_of_the_log_is_noticed(
    tmp_path: Path, position: int
) -> None:
    copy = tmp_path / "copy"
    left_open(tmp_path / "store", copy)
    with (copy / f"{DATABASE}-wal").open("r+b") as file:
        header = bytearray(file.read(32))
        header[position] ^= 0x10
        file.seek(0)
        file.write(header)
    (copy / f"{DATABASE}-shm").unlink()
    with pytest.raises(StoreDamagedError, match="log"):
        await found(copy)


async def test_an_end_of_the_log_that_was_never_committed_is_dropped(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    left_open(tmp_path / "store", copy)
    wal = copy / f"{DATABASE}-wal"
    wal.write_bytes(wal.read_bytes() + os.urandom(4096 + 24 + 100))
    (copy / f"{DATABASE}-shm").write_bytes(os.urandom(32768))
    assert len((await found(copy)).outbox) == 100


async def test_a_folder_that_cannot_hold_a_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="not a folder"):
        await found(tmp_path / "file")
    (tmp_path / DATABASE).mkdir()
    with pytest.raises(StoreError):
        await found(tmp_path)


# --- Versions -------------------------------------------------------------------------------------


async def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    await filled(tmp_path)
    connection = sqlite3.connect(tmp_path / DATABASE)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    before = (tmp_path / DATABASE).read_bytes()
    with pytest.raises(StoreError, match="newer") as caught:
        await found(tmp_path)
    assert "upgrade" in caught.value.fix
    assert (tmp_path / DATABASE).read_bytes() == before


async def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / DATABASE)
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    with pytest.raises(StoreError, match="another program"):
        await found(tmp_path)
    connection = sqlite3.connect(tmp_path / DATABASE)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    connection.close()


def test_migrations_run_once_each_in_their_order(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "db", isolation_level=None)
    steps = [("CREATE TABLE a (x)",), ("ALTER TABLE a ADD y", "INSERT INTO a VALUES (1, 2)")]
    migrate(connection, steps[:1])
    migrate(connection, steps)
    migrate(connection, steps)
    assert connection.execute("SELECT * FROM a").fetchall() == [(1, 2)]
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    connection.close()


def test_a_migration_that_fails_leaves_the_version_before_it(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "db", isolation_level=None)
    steps = [("CREATE TABLE a (x)",), ("ALTER TABLE a ADD y", "no statement")]
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, steps)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert connection.execute("SELECT count(*) FROM pragma_table_info('a')").fetchone() == (1,)
    connection.close()


async def test_an_old_sqlite_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening_module, "OLDEST_SQLITE", (99, 0, 0))
    with pytest.raises(StoreError, match="too old"):
        await found(tmp_path)


# --- No room --------------------------------------------------------------------------------------


def limit_pages(store: SqliteStore, pages: int) -> asyncio.Future[None]:
    """Let the database grow to so many pages at most; 0 = that it has now."""
    assert store._writer is not None

    def limit(engine: Engine) -> None:
        count = pages or engine._connection.execute("PRAGMA page_count").fetchone()[0]
        engine._connection.execute(f"PRAGMA max_page_count = {count}").fetchall()

    return store._writer.call(limit)


async def test_a_full_disk_refuses_the_batch_keeps_all_before_and_works_again(
    tmp_path: Path,
) -> None:
    store = SqliteStore(tmp_path, DATA_KEY)
    await store.load()
    await store.commit([put_outbox(1)])
    await limit_pages(store, 0)
    with pytest.raises(StoreFullError) as caught:
        await store.commit([put_outbox(2), put_outbox(3, payload=bytes(1_000_000))])
    assert "free some disk space" in caught.value.fix
    assert await store.payloads([(BOB, message_id(n)) for n in (1, 2)]) == [b"hello", None]
    await limit_pages(store, 1_000_000)
    await store.commit([put_outbox(2), put_outbox(3, payload=bytes(1_000_000))])
    await store.close()
    assert len((await found(tmp_path)).outbox) == 3


async def test_a_batch_too_large_for_the_disk_leaves_its_neighbours_alone(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, DATA_KEY)
    await store.load()
    await store.commit([put_outbox(1)])
    await limit_pages(store, 0)
    small = [store.commit([put_outbox(number)]) for number in range(2, 8)]
    large = store.commit([put_outbox(100, payload=bytes(1_000_000))])
    outcomes = await asyncio.gather(*small[:3], large, *small[3:], return_exceptions=True)
    assert [type(outcome) for outcome in outcomes if outcome is not None] == [StoreFullError]
    await store.close()
    assert len((await found(tmp_path)).outbox) == 7


FILLER = """
import asyncio, resource, sys
from pathlib import Path
from tests.support.stores import DATA_KEY, put_outbox
from ironmesh.errors import StoreFullError
from ironmesh.store.database import SqliteStore

async def main(folder):
    store = SqliteStore(folder, DATA_KEY)
    await store.load()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limit[1]))
    number = 0
    try:
        while True:
            await store.commit([put_outbox(number + 1, payload=bytes(10_000))])
            number += 1
    except StoreFullError as error:
        print("full", number, flush=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    await store.commit([put_outbox(number + 1, payload=bytes(10_000))])
    print("again", flush=True)
    await store.close()

asyncio.run(main(Path(sys.argv[1])))
"""


async def test_a_limit_on_file_sizes_is_like_a_full_disk(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FILLER, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    full, again = ended.stdout.splitlines()
    assert again == "again"
    count = int(full.split()[1])
    assert count > 5
    assert len((await found(tmp_path)).outbox) == count + 1


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="mounts a small disk")
async def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount")
    try:
        await fill_and_free(disk)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


async def fill_and_free(disk: Path) -> None:
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(1_000_000))
    store = SqliteStore(disk / "store", DATA_KEY)
    await store.load()
    count = 0
    with contextlib.suppress(StoreFullError):
        for count in range(1_000):
            await store.commit([put_outbox(count + 1, payload=bytes(10_000))])
    assert 10 < count < 200
    with pytest.raises(StoreFullError):
        await store.commit([put_outbox(count + 1, payload=bytes(10_000))])
    ballast.unlink()
    await store.commit([put_outbox(count + 1, payload=bytes(10_000))])
    await store.close()
    assert len((await found(disk / "store")).outbox) == count + 1


# --- What SQLite says -----------------------------------------------------------------------------


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("as SQLite says it")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_FULL, StoreFullError),
        (sqlite3.SQLITE_IOERR_WRITE, StoreFullError),
        (sqlite3.SQLITE_IOERR_READ, StoreError),
        (sqlite3.SQLITE_CORRUPT_VTAB, StoreDamagedError),
        (sqlite3.SQLITE_NOTADB, StoreDamagedError),
        (sqlite3.SQLITE_BUSY, StoreError),
        (sqlite3.SQLITE_READONLY, StoreError),
        (sqlite3.SQLITE_CONSTRAINT, StoreError),
    ],
)
def test_every_error_of_sqlite_becomes_one_of_ours(code: int, expected: type[StoreError]) -> None:
    error = translated(sqlite_error(code), Path("/somewhere/messages.db"))
    assert type(error) is expected
    assert "messages.db" in error.what
    assert error.fix


async def test_after_a_failed_sync_nothing_is_accepted_until_a_new_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = sqlite_error(sqlite3.SQLITE_IOERR_FSYNC)
    assert is_sync_failure(error)
    engine = Engine(tmp_path / DATABASE, DATA_KEY)

    def fail(*_arguments: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("ironmesh.store.database.plan.Plan.run", fail)
        (first,) = engine.apply([[put_outbox(1)]])
    (second,) = engine.apply([[put_outbox(1)]])
    assert first is second is not None
    assert "start the node again" in second.fix
    engine.close()
    assert (await found(tmp_path)).outbox == ()


async def test_a_bug_in_the_thread_leaves_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(tmp_path, DATA_KEY)
    await store.load()
    seen = []
    monkeypatch.setattr(threading, "excepthook", seen.append)

    def fail(*_arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Engine, "apply", fail)
    commits = [store.commit([put_outbox(number)]) for number in range(1, 5)]
    outcomes = await asyncio.gather(*commits, return_exceptions=True)
    with pytest.raises(StoreError, match="stopped"):
        await store.commit([put_outbox(9)])
    await store.close()
    assert {type(outcome) for outcome in outcomes} == {StoreError}
    assert [arguments.exc_type for arguments in seen] == [ZeroDivisionError]

"""Who may read what on the disk: modes, and what can be seen without the data key."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
from tests.support.stores import (
    ALICE,
    BOB,
    CAROL,
    DATA_KEY,
    EPOCH,
    WALL,
    inbox_row,
    message_id,
    outbox_row,
)

from ironmesh.delivery.records import OutboxState, PutInbox, PutOutbox, UpdateOutbox
from ironmesh.errors import StoreDamagedError, StoreError
from ironmesh.store.database import DATABASE, JOURNAL, SqliteStore
from ironmesh.store.database.outbox_rows import SMALL_BYTES
from ironmesh.store.database.sealing import Opener, Sealer
from ironmesh.types import Secret

BODY = b"the body that nobody else may read"
FOREIGN_EPOCH = b"foreign!"
SALT = bytes(range(32))


async def filled(folder: Path) -> SqliteStore:
    store = SqliteStore(folder, DATA_KEY)
    await store.load()
    row = outbox_row(1, type="app.secret-type", size_bytes=len(BODY))
    await store.commit([PutOutbox(((row, BODY),))])
    arrived = inbox_row(1, type="app.other-type", payload=BODY)
    foreign = inbox_row(2, type="x", payload=BODY, epoch=FOREIGN_EPOCH, is_foreign=True)
    await store.commit([PutInbox((arrived, foreign))])
    why = "because its operator said so"
    await store.commit(
        [UpdateOutbox(row.id, BOB, OutboxState.REFUSED, ended_wall=WALL, reason=why)]
    )
    store.note_started(1)
    return store


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


@pytest.mark.parametrize("is_closed", [False, True])
async def test_nothing_of_a_message_shows_on_the_disk(tmp_path: Path, is_closed: bool) -> None:
    store = await filled(tmp_path)
    if is_closed:
        await store.close()
    data = everything(tmp_path)
    assert len(data) > 4096
    hidden = [BODY, BODY[:8], b"app.", b"secret-type", b"other-type", b"because", EPOCH]
    hidden += [FOREIGN_EPOCH, message_id(1)]
    for node in (ALICE, BOB, CAROL):
        hidden += [node.encode(), bytes.fromhex(node), node[:8].encode()]
    assert [secret for secret in hidden if secret in data] == []
    await store.close()


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX modes")
@pytest.mark.parametrize("umask", [0o000, 0o027])
async def test_every_file_is_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "nodes" / "store"
    before = os.umask(umask)
    try:
        store = await filled(folder)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == dict.fromkeys((DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", JOURNAL), 0o600)
    assert folder.stat().st_mode & 0o777 == 0o700
    await store.close()


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX modes")
async def test_files_that_others_could_read_are_made_private(tmp_path: Path) -> None:
    await (await filled(tmp_path)).close()
    (tmp_path / DATABASE).chmod(0o644)
    store = SqliteStore(tmp_path, DATA_KEY)
    await store.load()
    assert (tmp_path / DATABASE).stat().st_mode & 0o777 == 0o600
    await store.close()


@pytest.mark.parametrize("name", [DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"])
async def test_a_symbolic_link_is_refused(tmp_path: Path, name: str) -> None:
    target = tmp_path / "elsewhere"
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / name).symlink_to(target)
    with pytest.raises(StoreError, match="symbolic link"):
        await SqliteStore(folder, DATA_KEY).load()
    assert not target.exists()


async def test_another_data_key_opens_nothing_and_changes_nothing(tmp_path: Path) -> None:
    await (await filled(tmp_path)).close()
    before = (tmp_path / DATABASE).read_bytes()
    with pytest.raises(StoreDamagedError, match="another data key"):
        await SqliteStore(tmp_path, Secret(b"k" * 32)).load()
    assert (tmp_path / DATABASE).read_bytes() == before


@pytest.mark.parametrize("size", [1, SMALL_BYTES - 3, SMALL_BYTES])
@pytest.mark.parametrize("column", ["head", "payload"])
async def test_a_record_moved_to_another_row_does_not_open(
    tmp_path: Path, size: int, column: str
) -> None:
    store = SqliteStore(tmp_path, DATA_KEY)
    await store.load()
    rows = tuple((outbox_row(number), b"%d" % number * size) for number in (1, 2))
    await store.commit([PutOutbox(rows)])
    await store.close()
    connection = sqlite3.connect(tmp_path / DATABASE)
    first, second = connection.execute(f"SELECT {column} FROM outbox ORDER BY seq").fetchall()
    connection.execute(f"UPDATE outbox SET {column} = ? WHERE seq = 1", second)
    connection.execute(f"UPDATE outbox SET {column} = ? WHERE seq = 2", first)
    connection.commit()
    connection.close()
    store = SqliteStore(tmp_path, DATA_KEY)
    if column == "payload" and size < SMALL_BYTES:
        assert first == second == (b"",)  # all of it lies in the head
        return
    if column == "head":
        with pytest.raises(StoreDamagedError):
            await store.load()
        return
    await store.load()
    with pytest.raises(StoreDamagedError):
        await store.payloads([(BOB, message_id(1))])
    await store.close()


async def test_every_opening_seals_under_a_key_of_its_own(tmp_path: Path) -> None:
    for _opening in range(3):
        store = SqliteStore(tmp_path, DATA_KEY)
        await store.load()
        await store.close()
    connection = sqlite3.connect(tmp_path / DATABASE)
    salts = connection.execute("SELECT salt FROM opening").fetchall()
    connection.close()
    assert len({salt for (salt,) in salts}) == 3


def test_equal_plaintexts_are_sealed_differently_and_open_only_whole() -> None:
    sealer = Sealer(DATA_KEY, {1: SALT}, 1)
    one, two = sealer.seal(b"row", b"same"), sealer.seal(b"row", b"same")
    assert one != two
    opener = Opener(DATA_KEY, {1: SALT})
    assert opener.open(b"row", one) == opener.open(b"row", two) == b"same"
    for position in range(len(one)):
        changed = bytearray(one)
        changed[position] ^= 1
        with pytest.raises(StoreDamagedError):
            opener.open(b"row", bytes(changed))
    for cut in range(len(one)):
        with pytest.raises(StoreDamagedError):
            opener.open(b"row", one[:cut])
    with pytest.raises(StoreDamagedError):
        opener.open(b"another row", one)


def test_a_pseudonym_depends_on_key_kind_and_name() -> None:
    opener, other = Opener(DATA_KEY, {}), Opener(Secret(bytes(32)), {})
    names = {
        opener.pseudonym(b"peer", b"a"),
        opener.pseudonym(b"peer", b"b"),
        opener.pseudonym(b"epoch", b"a"),
        other.pseudonym(b"peer", b"a"),
    }
    assert len(names) == 4
    assert opener.pseudonym(b"peer", b"a") in names

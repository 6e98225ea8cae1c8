"""The pin file: nothing edited is trusted, nothing damaged overwritten, no change lost."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from tests.support.trust import DATA_KEY, VECTORS, at, claim, identity

from ironmesh.errors import TrustFileError, UnknownPeerError
from ironmesh.trust.book import TrustBook
from ironmesh.trust.file import TrustFile
from ironmesh.trust.pins import TrustState
from ironmesh.types import Secret

V1 = json.loads((VECTORS / "trust_store.json").read_text())
SEED = Secret(bytes.fromhex(V1["identity_seed_hex"]))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "known_peers.json"


def meet(number: int, name: str):
    return lambda book: book.admit(claim(number, name), at(number))


def full_book() -> TrustBook:
    book = TrustBook().admit(claim(1, "alice"), at(1)).admit(claim(2, 'zoë \\ " \x01'), at(2))
    book = book.remember_tls(identity(1).node_id, "ab" * 32)
    return book.revoke(identity(9).node_id, identity(1).node_id, at(3), "why not")


def test_a_book_comes_back_as_it_was_written(path: Path) -> None:
    TrustFile(path, DATA_KEY).update(lambda _book: full_book())
    assert TrustFile(path, DATA_KEY).read() == full_book()


def test_a_missing_file_is_an_empty_book_and_reading_makes_none(path: Path) -> None:
    assert TrustFile(path, DATA_KEY).read() == TrustBook()
    assert not list(path.parent.iterdir())


def test_all_files_are_private(path: Path) -> None:  # F122
    TrustFile(path, DATA_KEY).update(meet(1, "alice"))
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"known_peers.json": 0o600, "known_peers.json.lock": 0o600}


def test_every_changed_byte_is_noticed_and_the_file_left_alone(path: Path) -> None:  # F082
    TrustFile(path, DATA_KEY).update(lambda _book: full_book())
    good = path.read_bytes()
    for position in range(len(good)):
        edited = bytearray(good)
        edited[position] ^= 0x01
        path.write_bytes(edited)
        file = TrustFile(path, DATA_KEY)
        with pytest.raises(TrustFileError):
            file.read()
        with pytest.raises(TrustFileError):
            file.update(meet(3, "carol"))
        assert path.read_bytes() == edited


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data + b"\n",
        lambda data: b" " + data,
        lambda data: data.replace(b"  ", b" "),
        lambda data: data.replace(b'"version": 3', b'"version": 4'),
        lambda data: b'{"a":' * 200_000,
        lambda data: b"\xff\xfe",
        lambda data: b"null",
    ],
)
def test_a_spoiled_file_is_refused_by_an_error_that_says_what_to_do(path: Path, spoil) -> None:
    TrustFile(path, DATA_KEY).update(lambda _book: full_book())
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(TrustFileError) as caught:
        TrustFile(path, DATA_KEY).read()
    assert caught.value.fix


def test_a_file_of_another_key_is_refused(path: Path) -> None:
    TrustFile(path, DATA_KEY).update(meet(1, "alice"))
    with pytest.raises(TrustFileError, match="nobody is trusted"):
        TrustFile(path, Secret(bytes(32))).read()


def test_a_file_that_is_edited_while_we_use_it_is_refused_until_it_is_restored(path: Path) -> None:
    file = TrustFile(path, DATA_KEY)
    book = file.update(meet(1, "alice"))
    good = path.read_bytes()
    path.write_bytes(good.replace(b"alice", b"mlice"))
    with pytest.raises(TrustFileError):
        file.read()
    path.write_bytes(good)
    assert file.read() == book


def test_a_file_that_disappears_while_we_use_it_is_not_an_empty_book(path: Path) -> None:
    file = TrustFile(path, DATA_KEY)
    file.update(meet(1, "alice"))
    path.unlink()
    with pytest.raises(TrustFileError, match="removed"):
        file.read()
    with pytest.raises(TrustFileError, match="removed"):
        file.update(meet(2, "bob"))
    assert not path.exists()


def test_a_change_of_another_process_is_seen_at_once(path: Path) -> None:
    here, there = TrustFile(path, DATA_KEY), TrustFile(path, DATA_KEY)
    for number in range(1, 40):
        there.update(meet(number, f"peer-{number}"))
        assert len(here.read().pins) == number


def test_an_unchanged_file_is_not_read_again(path: Path, monkeypatch) -> None:
    TrustFile(path, DATA_KEY).update(meet(1, "alice"))
    os.utime(path, (1, 1))
    monkeypatch.setattr("ironmesh.trust.file._RACY_S", -60.0)
    file = TrustFile(path, DATA_KEY)
    book = file.read()
    assert file.read() is book


def test_what_was_just_written_is_not_judged_anew(path: Path, monkeypatch) -> None:
    monkeypatch.setattr("ironmesh.trust.file._RACY_S", 3600.0)
    file = TrustFile(path, DATA_KEY)
    book = file.update(meet(1, "alice"))
    assert file.read() is book
    here, there = file.update(meet(2, "bob")), TrustFile(path, DATA_KEY).update(meet(3, "carol"))
    assert file.read() == there != here


def test_a_change_that_fails_or_changes_nothing_writes_nothing(path: Path) -> None:
    file = TrustFile(path, DATA_KEY)
    file.update(meet(1, "alice"))
    before = path.stat()
    file.update(lambda book: book)
    with pytest.raises(UnknownPeerError):
        file.update(lambda book: book.set_state("bob", TrustState.BLOCKED))
    assert path.stat() == before


def test_a_disk_error_is_a_named_error_and_loses_nothing(path: Path, monkeypatch) -> None:
    file = TrustFile(path, DATA_KEY)
    book = file.update(meet(1, "alice"))

    def fail(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(TrustFileError, match="No space left"):
            file.update(meet(2, "bob"))
    assert file.read() == book
    assert TrustFile(path, DATA_KEY).read() == book


# --- Files of the published package ---------------------------------------------------------------


def published_file(path: Path) -> bytes:
    data = json.dumps(V1["file"], indent=2).encode()
    path.write_bytes(data)
    return data


def test_a_published_file_is_read_and_only_the_first_change_replaces_it(path: Path) -> None:
    data = published_file(path)
    file = TrustFile(path, DATA_KEY, SEED)
    assert len(file.read().pins) == 1
    assert path.read_bytes() == data
    file.update(meet(1, "alice"))
    copy = path.with_name("known_peers.json.published")
    assert copy.read_bytes() == data
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    again = TrustFile(path, DATA_KEY)
    assert len(again.read().pins) == 2
    assert len(again.read().revoked) == 1
    assert any("kept as" in notice for notice in file.notices)


def test_the_notices_of_a_published_file_come_once(path: Path) -> None:
    published_file(path)
    file = TrustFile(path, DATA_KEY, SEED)
    for _ in range(3):
        file.read()
    assert len(file.notices) == 1


def test_a_conversion_that_was_cut_short_is_repeated(path: Path) -> None:
    data = published_file(path)
    path.with_name("known_peers.json.published").write_bytes(data)
    assert len(TrustFile(path, DATA_KEY, SEED).update(meet(1, "alice")).pins) == 2


def test_a_published_file_cannot_take_the_place_of_ours(path: Path) -> None:
    unchecked = b'{"peers": {}, "revoked": {}}'
    file = TrustFile(path, DATA_KEY, SEED)
    file.update(meet(1, "alice"))
    path.write_bytes(unchecked)
    with pytest.raises(TrustFileError, match="where ours was"):
        file.read()
    path.unlink()
    published_file(path)
    TrustFile(path, DATA_KEY, SEED).update(meet(1, "alice"))
    path.write_bytes(unchecked)
    with pytest.raises(TrustFileError, match="where ours was"):
        TrustFile(path, DATA_KEY, SEED).read()

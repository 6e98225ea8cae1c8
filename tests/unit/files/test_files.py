"""Private files: modes, atomic replacement, bounds, locks."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from ironmesh import files
from ironmesh.errors import FileRefusedError


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def _open_umask():
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_new_folder_and_its_missing_parents_are_private(tmp_path: Path) -> None:
    files.make_private_dir(tmp_path / "a" / "b")
    assert mode_of(tmp_path / "a") == mode_of(tmp_path / "a" / "b") == 0o700


def test_a_looser_folder_is_tightened(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o755)
    files.make_private_dir(tmp_path / "a")
    assert mode_of(tmp_path / "a") == 0o700


def test_a_folder_behind_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(FileRefusedError, match="symbolic link"):
        files.make_private_dir(tmp_path / "link")


def test_a_shared_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    with pytest.raises(FileRefusedError, match="shared"):
        files.make_private_dir(shared)
    assert mode_of(shared) == 0o1777


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(FileRefusedError, match="not a folder"):
        files.make_private_dir(tmp_path / "a")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    os.chown(tmp_path / "a", 12345, 12345)
    with pytest.raises(FileRefusedError, match="another user"):
        files.make_private_dir(tmp_path / "a")


def test_a_written_file_is_private_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("old")
    path.chmod(0o644)
    files.write_private(path, b"new")
    assert path.read_bytes() == b"new"
    assert mode_of(path) == 0o600
    assert not files.is_readable_by_others(path)
    assert list(tmp_path.iterdir()) == [tmp_path / "f"]


def test_a_failed_write_leaves_the_old_content(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "f"
    files.write_private(path, b"old")

    def fail(_handle: int) -> None:
        raise OSError("no space")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        files.write_private(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [tmp_path / "f"]


def test_writing_replaces_a_symbolic_link_and_not_its_target(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("theirs")
    (tmp_path / "f").symlink_to(tmp_path / "target")
    files.write_private(tmp_path / "f", b"ours")
    assert (tmp_path / "target").read_text() == "theirs"
    assert not (tmp_path / "f").is_symlink()


def test_creating_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "f"
    files.create_private(path, b"first")
    assert mode_of(path) == 0o600
    with pytest.raises(FileExistsError):
        files.create_private(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [tmp_path / "f"]


def test_creating_through_a_dangling_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        files.create_private(tmp_path / "f", b"x")
    assert not (tmp_path / "elsewhere").exists()


def test_reading_stops_at_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(100))
    assert files.read_bounded(path, 100) == bytes(100)
    with pytest.raises(FileRefusedError, match="larger than 99 bytes"):
        files.read_bounded(path, 99)


@pytest.mark.parametrize("path", [Path("/dev/zero"), Path("/dev")])
def test_a_device_or_folder_is_not_read(path: Path) -> None:
    with pytest.raises((FileRefusedError, IsADirectoryError)):
        files.read_bounded(path, 100)


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileRefusedError, match="regular"):
        files.read_bounded(tmp_path / "pipe", 100)
    with pytest.raises((FileRefusedError, OSError)):
        files.open_for_append(tmp_path / "pipe")


def test_appending_goes_to_the_end_of_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\n")
    path.chmod(0o644)
    handle = files.open_for_append(path)
    os.write(handle, b"two\n")
    os.close(handle)
    assert path.read_bytes() == b"one\ntwo\n"
    assert mode_of(path) == 0o600


def test_appending_through_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("")
    (tmp_path / "log").symlink_to(tmp_path / "target")
    with pytest.raises(FileRefusedError, match="symbolic link"):
        files.open_for_append(tmp_path / "log")


def test_a_lock_has_one_holder_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    counter = 0

    def work() -> None:
        nonlocal counter
        for _ in range(50):
            with files.exclusive(lock):
                seen = counter
                os.sched_yield()
                counter = seen + 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter == 200
    assert mode_of(lock) == 0o600


def test_waiting_for_a_lock_ends_with_an_error_that_names_it(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    with (
        files.exclusive(lock),
        pytest.raises(FileRefusedError, match=r"x\.lock"),
        files.exclusive(lock, timeout_s=0.01),
    ):
        pass


@pytest.mark.parametrize(
    ("mode", "is_open"), [(0o600, False), (0o644, False), (0o620, True), (0o602, True)]
)
def test_a_file_that_others_may_change_is_told_apart(tmp_path, mode, is_open):
    path = tmp_path / "file"
    path.touch()
    path.chmod(mode)
    assert files.is_writable_by_others(path) is is_open

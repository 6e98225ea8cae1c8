"""Passphrase files: the good one is read, every hostile one is refused with the fix."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ironmesh.errors import PassphraseError
from ironmesh.store.passphrase_file import MAX_BYTES, read_passphrase_file
from ironmesh.types import Secret

TEXT = "orbit velvet canyon plum"


def write(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_a_private_file_is_read_without_a_warning(tmp_path: Path) -> None:
    found = read_passphrase_file(write(tmp_path / "pass", f"  {TEXT}\r\n".encode()))
    assert found.passphrase == Secret(TEXT)
    assert found.warning is None
    assert TEXT not in repr(found)


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    write(tmp_path / "pass", TEXT.encode())
    (tmp_path / "link").symlink_to("pass")
    assert read_passphrase_file(tmp_path / "link").passphrase == Secret(TEXT)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_file_that_others_can_read_draws_a_warning(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path / "pass", TEXT.encode(), mode)
    found = read_passphrase_file(path)
    assert found.passphrase == Secret(TEXT)
    assert found.warning is not None
    assert f"chmod 600 {path}" in found.warning


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b" \n\t\r\n", "empty"),
        (b"x" * 5000, "larger"),
        (b"\xff\xfe\x00secret words", "UTF-8"),
        (b"secret\0words of mine", "control"),
        (b"secret words\nof mine", "several lines"),
        (b"secret words \x1b[31m of mine", "control"),
        (b"\xef\xbb\xbfsecret words of mine", "byte order mark"),
    ],
)
def test_a_hostile_content_is_refused_and_not_shown(
    tmp_path: Path, data: bytes, reason: str
) -> None:
    with pytest.raises(PassphraseError, match=reason) as caught:
        read_passphrase_file(write(tmp_path / "pass", data))
    assert caught.value.fix
    assert "secret" not in "".join(traceback.format_exception(caught.value))
    assert not isinstance(caught.value.__cause__, UnicodeDecodeError)


def test_the_largest_file_is_accepted(tmp_path: Path) -> None:
    assert read_passphrase_file(write(tmp_path / "pass", b"x" * MAX_BYTES))
    with pytest.raises(PassphraseError):
        read_passphrase_file(write(tmp_path / "pass", b"x" * MAX_BYTES + b"\n"))


def test_devices_pipes_and_folders_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (Path("/dev/zero"), Path("/dev/null"), tmp_path / "pipe", tmp_path):
        with pytest.raises(PassphraseError) as caught:
            read_passphrase_file(path)
        assert caught.value.fix


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PassphraseError, match="no passphrase file"):
        read_passphrase_file(tmp_path / "pass")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(PassphraseError, match="loop"):
        read_passphrase_file(tmp_path / "loop")


@given(st.binary(max_size=MAX_BYTES + 100))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_content_is_a_passphrase_or_a_named_error(tmp_path: Path, data: bytes) -> None:
    try:
        found = read_passphrase_file(write(tmp_path / "pass", data))
    except PassphraseError:
        return
    assert found.passphrase.reveal().decode() == data.decode().strip()

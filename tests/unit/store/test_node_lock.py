"""The node lock: one process and one agent for each node folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ironmesh.errors import FileRefusedError, NodeAlreadyRunningError
from ironmesh.store.node_lock import NodeLock

HOLDER = """
import sys
from pathlib import Path
from ironmesh.store.node_lock import NodeLock
lock = NodeLock.acquire(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    """A process that holds the lock until its standard input ends."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_the_lock_makes_a_private_folder_and_holds_the_pid(tmp_path: Path) -> None:
    folder = tmp_path / "nodes" / "alice"
    with NodeLock.acquire(folder):
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "node.lock").stat().st_mode & 0o777 == 0o600
        assert int((folder / "node.lock").read_text()) == os.getpid()


def test_a_second_agent_of_this_process_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    first = NodeLock.acquire(tmp_path / "alice")
    with pytest.raises(NodeAlreadyRunningError, match=r"alice.*another agent of this process"):
        NodeLock.acquire(tmp_path / "alice")
    with NodeLock.acquire(tmp_path / "bob"):
        pass
    first.release()
    first.release()
    NodeLock.acquire(tmp_path / "alice").release()


def test_another_process_is_named_by_its_id(tmp_path: Path) -> None:
    with hold(tmp_path / "alice") as holder:
        with pytest.raises(NodeAlreadyRunningError, match=f"process {holder.pid}") as caught:
            NodeLock.acquire(tmp_path / "alice")
        assert caught.value.fix
        holder.communicate()
    NodeLock.acquire(tmp_path / "alice").release()


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    with hold(tmp_path / "alice") as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with NodeLock.acquire(tmp_path / "alice"):
        assert int((tmp_path / "alice" / "node.lock").read_text()) == os.getpid()


def test_a_holder_that_cannot_be_read_is_just_another_process(tmp_path: Path) -> None:
    with NodeLock.acquire(tmp_path / "alice"):
        (tmp_path / "alice" / "node.lock").write_text("x" * 100)
        with pytest.raises(NodeAlreadyRunningError, match="another process"):
            NodeLock.acquire(tmp_path / "alice")


def test_a_lock_file_that_is_a_link_is_refused_for_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "alice").mkdir()
    (tmp_path / "alice" / "node.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileRefusedError, match="symbolic link"):
        NodeLock.acquire(tmp_path / "alice")
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_cannot_be_made_is_a_named_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileRefusedError, match="cannot be used") as caught:
        NodeLock.acquire(tmp_path / "file" / "alice")
    assert caught.value.fix


def test_a_lock_whose_pid_cannot_be_written_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ironmesh.store.node_lock._write_pid", full)
    with pytest.raises(FileRefusedError, match="No space left"):
        NodeLock.acquire(tmp_path / "alice")
    monkeypatch.undo()
    NodeLock.acquire(tmp_path / "alice").release()

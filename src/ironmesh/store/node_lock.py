"""One process, and in it one agent, for each node folder."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ironmesh.errors import FileLockedError, FileRefusedError, NodeAlreadyRunningError
from ironmesh.files import exclusive, make_private_dir, read_bounded

_FILE: Final = "node.lock"
_MAX_PID_BYTES: Final = 32


class NodeLock:
    """The right to run the node of one folder; it dies with the process. `acquire` gets one."""

    def __init__(self, held: contextlib.ExitStack) -> None:
        self._held = held

    @classmethod
    def acquire(cls, node_dir: Path) -> NodeLock:
        """Take the lock of a node folder, which is made when missing; never waits.

        Raises:
            NodeAlreadyRunningError: somebody holds it; the text tells the process id.
            FileRefusedError: the folder or the lock file cannot be used.
        """
        try:
            with contextlib.ExitStack() as held:
                make_private_dir(node_dir)
                held.enter_context(exclusive(node_dir / _FILE, timeout_s=0))
                _write_pid(node_dir / _FILE)
                return cls(held.pop_all())
        except FileLockedError as error:
            raise _already_running(node_dir) from error
        except OSError as error:
            raise FileRefusedError(
                f"the folder {node_dir} cannot be used ({error.strerror})", "check its permissions"
            ) from error

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


def wait_released(node_dir: Path, timeout_s: float) -> None:
    """Return once nobody runs the node of this folder.

    Raises:
        NodeAlreadyRunningError: somebody still does after `timeout_s`.
        FileRefusedError: the lock file cannot be used.
    """
    try:
        with exclusive(node_dir / _FILE, timeout_s=timeout_s):
            return
    except FileLockedError as error:
        raise _already_running(node_dir) from error
    except OSError as error:
        raise FileRefusedError(
            f"the folder {node_dir} cannot be used ({error.strerror})", "check its permissions"
        ) from error


def _write_pid(path: Path) -> None:
    # Windows lets nobody write to a locked file: there the process id stays unknown.
    with contextlib.suppress(PermissionError), path.open("r+b") as file:
        file.truncate()
        file.write(b"%d\n" % os.getpid())


def _already_running(node_dir: Path) -> NodeAlreadyRunningError:
    try:
        pid = int(read_bounded(node_dir / _FILE, _MAX_PID_BYTES))
    except (OSError, ValueError, FileRefusedError):
        holder = "another process"
    else:
        holder = "another agent of this process" if pid == os.getpid() else f"process {pid}"
    return NodeAlreadyRunningError(
        f"the node {node_dir.name} is already run by {holder}", "stop it, or choose another name"
    )

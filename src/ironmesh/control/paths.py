"""Where a node's control socket is: in the node's folder, unless that path is too long for one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from ironmesh.crypto import sodium
from ironmesh.errors import ConfigError

MAX_SOCKET_PATH_BYTES: Final = 100
"""The systems' limits are 104 and 108, with a terminating zero."""
SOCKET_NAME: Final = "control.sock"


def socket_path(node_dir: Path) -> Path:
    """Return the path of the control socket of the node whose folder is `node_dir`.

    A path over 100 bytes is replaced by one in a private folder of this user: `ironmesh` in
    `XDG_RUNTIME_DIR`, else `ironmesh-UID` in the folder for temporary files.

    Raises:
        ConfigError: that one is too long as well.
    """
    beside = Path(os.path.abspath(node_dir)) / SOCKET_NAME  # noqa: PTH100 - links stay as named
    if _fits(beside):
        return beside
    digest = sodium.sha256(os.fsencode(beside)).hex()[:24]
    for folder in _runtime_dirs():
        if _fits(folder / f"{digest}.sock"):
            return folder / f"{digest}.sock"
    raise ConfigError(
        f"the path of the control socket is longer than {MAX_SOCKET_PATH_BYTES} bytes",
        "use a shorter --home, or set XDG_RUNTIME_DIR or TMPDIR to a short path",
    )


def _runtime_dirs() -> list[Path]:
    import tempfile  # with its archive formats: hardly ever needed

    folders = []
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if Path(runtime).is_absolute():
        folders.append(Path(runtime) / "ironmesh")
    owner = os.getuid() if hasattr(os, "getuid") else "user"
    folders.append(Path(tempfile.gettempdir()) / f"ironmesh-{owner}")
    return folders


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES

"""What server and client share about Unix sockets: whether there are any, and who is at the end."""

from __future__ import annotations

import os
import socket
import struct

from ironmesh.errors import NotBuiltError

_UCRED = struct.Struct("3i")


def require_unix_sockets() -> None:
    """Check that this system has Unix sockets.

    Raises:
        NotBuiltError: it has none that Python knows (Windows).
    """
    if not hasattr(socket, "AF_UNIX"):
        raise NotBuiltError(
            "the control socket is not built for this system yet",
            "use the Python API, or run the node under Linux, macOS or WSL",
        )


def is_same_user(end: socket.socket) -> bool:
    """Tell whether the process at the other end runs as this user, or as root.

    Where the system does not tell (other than Linux), the socket's file mode has to do.
    """
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True
    _pid, uid, _gid = _UCRED.unpack(end.getsockopt(socket.SOL_SOCKET, option, _UCRED.size))
    return uid in {os.geteuid(), 0}

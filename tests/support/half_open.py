"""A program that opens many connections to a node, each from an address of its own, and is silent.

    python half_open.py HOST PORT COUNT

It prints how many it has opened and holds them, also those that the node has ended, until its
standard input ends.
"""

from __future__ import annotations

import errno
import resource
import selectors
import socket
import sys
from contextlib import ExitStack

AT_ONCE = 100
"""Connections that are being opened; fewer than the node's system queues for it."""
OTHER_FILES = 50


def main() -> None:
    """Open, tell, hold."""
    host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    if files != resource.RLIM_INFINITY:
        count = min(count, files - OTHER_FILES)
    with ExitStack() as held:
        print(flood((host, port), count, held), flush=True)
        sys.stdin.read()


def flood(target: tuple[str, int], count: int, held: ExitStack) -> int:
    """Open connections; return how many were."""
    waiting = held.enter_context(selectors.DefaultSelector())
    opened = begun = 0
    while begun < count or waiting.get_map():
        while begun < count and len(waiting.get_map()) < AT_ONCE:
            stranger = held.enter_context(socket.socket())
            stranger.setblocking(False)
            stranger.bind((f"127.{10 + begun // 40_000}.{begun // 200 % 200}.{1 + begun % 200}", 0))
            if stranger.connect_ex(target) not in (0, errno.EINPROGRESS):
                raise OSError("a connection could not be begun")
            waiting.register(stranger, selectors.EVENT_WRITE)
            begun += 1
        for key, _ in waiting.select():
            waiting.unregister(key.fileobj)
            assert isinstance(key.fileobj, socket.socket)
            opened += key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    return opened


if __name__ == "__main__":
    main()

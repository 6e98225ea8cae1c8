"""A program that opens many connections to a node, each from an address of its own, and is silent.

    python half_open.py HOST PORT COUNT KEPT

The node is to keep at most KEPT of them; so many and a hundred are open at once, as more would only
fill the queue of its system, which drops what does not fit. It prints how many it has opened, and
holds them, also those that the node has ended, until its standard input ends.
"""

from __future__ import annotations

import errno
import resource
import selectors
import socket
import sys
from contextlib import ExitStack

AT_ONCE = 100
"""Connections that the node has not looked at yet; fewer than its system queues for it."""
OTHER_FILES = 50


def main() -> None:
    """Open, tell, hold."""
    host, port, count, kept = sys.argv[1], *map(int, sys.argv[2:])
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    if files != resource.RLIM_INFINITY:
        count = min(count, files - OTHER_FILES)
    with ExitStack() as held:
        print(flood((host, port), count, kept, held), flush=True)
        sys.stdin.read()


def flood(target: tuple[str, int], count: int, kept: int, held: ExitStack) -> int:
    """Open connections; return how many were."""
    waiting = held.enter_context(selectors.DefaultSelector())
    opened = begun = opening = 0
    while begun < count or opening:
        while begun < count and len(waiting.get_map()) < kept + AT_ONCE:
            stranger = held.enter_context(socket.socket())
            stranger.setblocking(False)
            stranger.bind((f"127.{10 + begun // 40_000}.{begun // 200 % 200}.{1 + begun % 200}", 0))
            if stranger.connect_ex(target) not in (0, errno.EINPROGRESS):
                raise OSError("a connection could not be begun")
            waiting.register(stranger, selectors.EVENT_WRITE)
            begun += 1
            opening += 1
        for key, events in waiting.select():
            assert isinstance(key.fileobj, socket.socket)
            if events & selectors.EVENT_WRITE:
                opening -= 1
                opened += key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
                waiting.modify(key.fileobj, selectors.EVENT_READ)
            else:  # the node has ended it, with or without a word
                waiting.unregister(key.fileobj)
    return opened


if __name__ == "__main__":
    main()

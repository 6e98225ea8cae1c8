"""Shows that something is going on, once it takes longer than a person waits without wondering."""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
from collections.abc import Iterator
from typing import Final

PATIENCE_S: Final = 1.0
FRAME_S: Final = 0.1

_FRAMES: Final = "|/-\\"
_ERASE: Final = "\r\x1b[K"


@contextlib.contextmanager
def working(what: str, *, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """While the block runs for over a second, show `what` on standard error, if it is a terminal.

    Args:
        what: as in "opening the key file".
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    done = threading.Event()
    shower = threading.Thread(target=_show, args=(what, done, patience_s), daemon=True)
    shower.start()
    try:
        yield
    finally:
        done.set()
        shower.join()


def _show(what: str, done: threading.Event, patience_s: float) -> None:
    if done.wait(patience_s):
        return
    for frame in itertools.cycle(_FRAMES):
        sys.stderr.write(f"{_ERASE}{frame} {what} ...")
        sys.stderr.flush()
        if done.wait(FRAME_S):
            break
    sys.stderr.write(_ERASE)
    sys.stderr.flush()

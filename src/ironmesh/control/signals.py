"""SIGINT and SIGTERM for a thread that only waits for them."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
from collections.abc import Iterator
from typing import Final

from ironmesh.node.threads import Wanted

WAKE_S: Final = 0.5 if os.name == "nt" else None
"""Windows delivers Ctrl-C between two waits, never within one."""


@contextlib.contextmanager
def caught_signals(wanted: Wanted) -> Iterator[None]:
    """Put something into `wanted` at each SIGINT and SIGTERM; only the main thread gets them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    # A queue and not an event: its `put` may interrupt its own `get`.
    before = {number: signal.signal(number, lambda *_: wanted.put(None)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def wait_for(wanted: Wanted) -> None:
    """Block until something is in `wanted`."""
    while True:
        with contextlib.suppress(queue.Empty):
            wanted.get(timeout=WAKE_S)
            return

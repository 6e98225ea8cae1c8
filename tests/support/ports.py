"""TCP ports for nodes in tests that run side by side."""

from __future__ import annotations

import itertools
import os
import re
import socket

RANGE_START = 20_000
"""Below the range from which systems take ports for outgoing connections."""
PER_WORKER = 700

_worker = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or 0)
_offsets = itertools.count(os.getpid() * 2 % PER_WORKER, 2)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port that is free together with the next one.

    A published node also takes the port after its own. Each worker has a range of its own, and a
    port is not given out twice, so workers do not race for one.
    """
    first = RANGE_START + _worker * PER_WORKER
    for offset in itertools.islice(_offsets, PER_WORKER):
        port = first + offset % PER_WORKER
        if _is_free(port) and _is_free(port + 1):
            return port
    raise RuntimeError("no free port in this worker's range")

"""A node that has started gives back what the start took and freed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ironmesh.node.maintenance import give_back_memory


def anonymous_bytes() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8").splitlines()
    line = next(line for line in lines if line.startswith("Anonymous:"))
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc keeps what was freed")
def test_what_was_freed_in_small_pieces_goes_back_to_the_system() -> None:
    pieces = [bytearray(4096) for _ in range(16_384)]
    kept = pieces[::512]  # the heap cannot shrink from its end
    del pieces
    before = anonymous_bytes()
    give_back_memory()
    assert before - anonymous_bytes() > 16_000_000
    assert len(kept) == 32

"""What a part leaves behind when it ends: tasks, threads, open files. It should be nothing."""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

DESCRIPTORS = Path("/proc/self/fd")
"""Linux shows here what is open; elsewhere only tasks and threads are counted."""
WRITING_S = 10.0
"""How long a node that goes on may take to replace one of its files."""


@dataclass(frozen=True, slots=True)
class Leftovers:
    """A count of everything that is open now; equal counts mean that nothing was left."""

    tasks: int
    threads: int
    files: tuple[str, ...]

    @classmethod
    async def now(cls) -> Self:
        """Count, once what was scheduled has run and what is being written is written."""
        for _ in range(3):
            await asyncio.sleep(0)
        async with asyncio.timeout(WRITING_S):
            while any(name.endswith(".tmp") for name in _open_files()):
                await asyncio.sleep(0.01)
        return cls(len(asyncio.all_tasks()), threading.active_count(), tuple(_open_files()))


def _open_files() -> list[str]:
    links: list[str] = []
    if not DESCRIPTORS.is_dir():
        return links
    for entry in DESCRIPTORS.iterdir():
        try:
            links.append(str(entry.readlink()))
        except OSError:
            # The listing's own descriptor is closed by now.
            continue
    return sorted(link for link in links if os.sep + "proc" not in link)

"""When neighbours are told what changed: soon, but not one by one."""

from __future__ import annotations

from typing import Final

from ironmesh.mesh.routing.core import Core
from ironmesh.mesh.routing.journal import NEVER
from ironmesh.mesh.routing.neighbour import Neighbour

_LONG: Final = 4
"""A journal that is so many times longer than the table is full of repetitions."""
_LEAST: Final = 64


class Telling:
    """Tells each neighbour about changes, paced, and in batches."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def plan(self, now: float) -> None:
        """See to it that what was noted is told in time."""
        core = self._core
        if not (core.is_fast or core.is_normal or core.is_lazy):
            return
        soon = now + core.between(*core.limits.first_delay_s)
        later = now + core.between(*core.limits.lazy_delay_s) if core.is_lazy else NEVER
        for neighbour in core.neighbours.values():
            if core.is_fast and (neighbour.fast or neighbour.asks or neighbour.lacks):
                neighbour.plan(neighbour.fast, soon)
            if core.is_normal and neighbour.normal:
                neighbour.plan(neighbour.normal, soon)
            if core.is_lazy and neighbour.lazy:
                neighbour.plan(neighbour.lazy, later)
        core.is_fast = core.is_normal = core.is_lazy = False

    def timer(self, now: float) -> None:
        """Tell those whose time has come."""
        core = self._core
        neighbours = core.neighbours.values()
        for neighbour in neighbours:
            if now >= min(neighbour.fast.due, neighbour.normal.due, neighbour.lazy.due):
                core.out += neighbour.tell(neighbour.take(now))
                core.out += neighbour.requests()
        if len(core.normal) + len(core.lazy) > _LONG * max(_LEAST, len(core.table)):
            for neighbour in neighbours:
                neighbour.normal.shorten()
                neighbour.lazy.shorten()
        core.fast.trim(each.fast.place for each in neighbours)
        core.normal.trim(each.normal.place for each in neighbours)
        core.lazy.trim(each.lazy.place for each in neighbours)

    def flush(self, neighbour: Neighbour, now: float) -> None:
        """Tell a neighbour everything that it does not know yet."""
        neighbour.lazy.due = now
        self._core.out += neighbour.tell(neighbour.take(now))
        self._core.out += neighbour.requests()

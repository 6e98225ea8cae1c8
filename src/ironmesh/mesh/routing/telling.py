"""When neighbours are told what changed: soon, but not one by one."""

from __future__ import annotations

from typing import Final

from ironmesh.mesh.routing.core import LAZY, Core
from ironmesh.mesh.routing.destination import Destination
from ironmesh.mesh.routing.neighbour import NEVER, Neighbour

_LONG: Final = 4
"""A journal that is so many times longer than the table is full of repetitions."""


class Telling:
    """Tells each neighbour about changes, paced, and in batches."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def plan(self, now: float) -> None:
        """See to it that what was noted is told in time."""
        core = self._core
        if not core.level and not core.is_fast:
            return
        limits = core.limits
        soon = now + core.between(*limits.first_delay_s)
        at = now + core.between(*limits.lazy_delay_s) if core.level == LAZY else soon
        for neighbour in core.neighbours.values():
            if core.level and (neighbour.place < core.slow.end or neighbour.extra):
                neighbour.plan(at)
            if core.is_fast and self._has_urgent(neighbour):
                neighbour.plan_fast(soon)
        core.level, core.is_fast = 0, False

    def _has_urgent(self, neighbour: Neighbour) -> bool:
        return bool(
            neighbour.fast_place < self._core.fast.end
            or neighbour.urgent
            or neighbour.asks
            or neighbour.lacks
        )

    def timer(self, now: float) -> None:
        """Tell those whose time has come."""
        core = self._core
        for neighbour in core.neighbours.values():
            if now >= neighbour.flush_at:
                self.flush(neighbour, now)
            elif now >= neighbour.fast_at:
                self._flush_fast(neighbour, now)
        places = [each.place for each in core.neighbours.values()]
        core.slow.trim(places)
        core.fast.trim([each.fast_place for each in core.neighbours.values()])
        if len(core.slow) > _LONG * max(64, len(core.table)):
            self._shorten()

    def flush(self, neighbour: Neighbour, now: float) -> None:
        """Tell a neighbour everything that it does not know yet."""
        core = self._core
        changed: dict[Destination, None] = dict.fromkeys(neighbour.urgent)
        changed.update(dict.fromkeys(core.fast.since(neighbour.fast_place)))
        changed.update(neighbour.extra)
        changed.update(dict.fromkeys(core.slow.since(neighbour.place)))
        neighbour.place, neighbour.fast_place = core.slow.end, core.fast.end
        neighbour.extra, neighbour.urgent = {}, {}
        neighbour.flush_at = neighbour.fast_at = NEVER
        neighbour.last_flush = neighbour.last_fast = now
        core.out += neighbour.tell(changed)
        core.out += neighbour.requests()

    def _flush_fast(self, neighbour: Neighbour, now: float) -> None:
        core = self._core
        changed: dict[Destination, None] = dict.fromkeys(core.fast.since(neighbour.fast_place))
        changed.update(neighbour.urgent)
        neighbour.fast_place = core.fast.end
        neighbour.urgent = {}
        neighbour.fast_at = NEVER
        neighbour.last_fast = now
        core.out += neighbour.tell(changed)
        core.out += neighbour.requests()

    def is_settled(self, neighbour: Neighbour) -> bool:
        """Tell whether a neighbour has been told everything."""
        core = self._core
        is_told = neighbour.place == core.slow.end and neighbour.fast_place == core.fast.end
        return is_told and not neighbour.extra and not neighbour.urgent

    def _shorten(self) -> None:
        """Somebody is told so seldom that the same changes pile up: once each is enough."""
        core = self._core
        for neighbour in core.neighbours.values():
            neighbour.extra.update(dict.fromkeys(core.slow.since(neighbour.place)))
            neighbour.place = core.slow.end
        core.slow.trim([])

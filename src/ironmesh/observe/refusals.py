"""Refusals, counted one by one and logged with restraint."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Final

import msgspec

from ironmesh.observe.counters import Counters
from ironmesh.observe.logs import fields
from ironmesh.types import Instant, Refusal

LINE_S: Final = 60.0
"""One line a minute for the same reason from the same source."""
MAX_SOURCES: Final = 1024


class _Source(msgspec.Struct):
    logged_at: float
    repeats: int = 0


class RefusalLog:
    """Counts every refusal, and writes one line a minute for each reason and source.

    Args:
        log: where the lines go.
        counters: where `refused.<reason>` grows.
    """

    def __init__(self, log: logging.Logger, counters: Counters) -> None:
        self._log = log
        self._counters = counters
        self._sources: OrderedDict[tuple[Refusal, str], _Source] = OrderedDict()

    def note(
        self,
        reason: Refusal,
        source: str,
        detail: str,
        now: Instant,
        *,
        level: int = logging.WARNING,
    ) -> None:
        """Count a refusal, and log it unless the same was logged within the last minute.

        Args:
            reason: why; also the name of the counter.
            source: who was refused: a node id, or an address without its port.
            detail: what was wrong, for a person; no secret and no payload.
            now: the present.
            level: how loud the line is.
        """
        self._counters.refused(reason)
        key = (reason, source)
        known = self._sources.get(key)
        if known is not None and now.mono < known.logged_at + LINE_S:
            known.repeats += 1
            return
        repeats = known.repeats if known is not None else 0
        self._sources[key] = _Source(now.mono)
        self._sources.move_to_end(key)
        if len(self._sources) > MAX_SOURCES:
            self._sources.popitem(last=False)
        facts = fields(reason=str(reason), source=source, detail=detail, repeats=repeats)
        self._log.log(level, "refused", extra=facts)

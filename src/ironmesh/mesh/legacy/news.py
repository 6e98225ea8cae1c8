"""Which capabilities of other nodes a published neighbour is told of, and when (10.6). Pure.

A published node believes what it is told until it is told otherwise. So it is told of what changed,
of what is gone, and of everything again each minute, a few nodes at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ironmesh.types import NodeId

REPEAT_S: Final = 60.0
MAX_ORIGINS: Final = 256
"""Nodes of which one neighbour is told; a minute has room for no more."""

Capabilities = frozenset[str]


class CapabilityNews:
    """Remembers what each neighbour was told; `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._told: dict[NodeId, dict[NodeId, tuple[Capabilities, float]]] = {}

    def link_down(self, neighbour: NodeId) -> None:
        """A neighbour is gone: it is told everything when it comes back."""
        self._told.pop(neighbour, None)

    def take_due(
        self, neighbour: NodeId, known: Mapping[NodeId, Capabilities], now: float, limit: int
    ) -> list[tuple[NodeId, Capabilities]]:
        """Return what to tell a neighbour now: at most `limit` nodes, what is new first.

        Args:
            known: the capabilities of all nodes but this one and the neighbour.
        """
        told = self._told.setdefault(neighbour, {})
        gone = [origin for origin, (said, _at) in told.items() if said and origin not in known]
        news = [(origin, Capabilities()) for origin in gone]
        repeats: list[tuple[float, NodeId]] = []
        for origin in list(known)[:MAX_ORIGINS]:
            said, at = told.get(origin, (Capabilities(), now))
            if said != known[origin]:
                news.append((origin, known[origin]))
            elif now - at >= REPEAT_S:
                repeats.append((at, origin))
        news += [(origin, known[origin]) for _at, origin in sorted(repeats)]
        for origin, capabilities in news[:limit]:
            if capabilities:
                told[origin] = (capabilities, now)
            else:
                del told[origin]
        return news[:limit]

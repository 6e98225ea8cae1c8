"""Keeps traffic off a way that failed again and again, and tries it anew after a while. Pure."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from ironmesh.types import NodeId

MAX_WAYS: Final = 4096


class BreakerLimits(NamedTuple):
    """When a way is given a rest."""

    failures: int = 3
    window_s: float = 60.0
    """Within so long."""
    rest_s: float = 60.0


class _Way:
    __slots__ = ("failures", "first_at", "open_until")

    def __init__(self, now: float) -> None:
        self.failures = 0
        self.first_at = now
        self.open_until = 0.0


class CircuitBreakers:
    """One breaker for each way: a next hop, on the way to a destination.

    A next hop that cannot reach one destination may be the best one to another.
    """

    def __init__(self, limits: BreakerLimits | None = None) -> None:
        self._limits = limits or BreakerLimits()
        self._ways: OrderedDict[tuple[NodeId, NodeId], _Way] = OrderedDict()

    def is_open(self, next_hop: NodeId, destination: NodeId, now: float) -> bool:
        """Tell whether the way is given a rest; after it, one failure opens the breaker again."""
        if not self._ways:
            return False
        way = self._ways.get((next_hop, destination))
        return way is not None and now < way.open_until

    def failed(self, next_hop: NodeId, destination: NodeId, now: float) -> bool:
        """Something came back, or got lost, on this way; True if that opens its breaker."""
        key = (next_hop, destination)
        way = self._ways.get(key)
        if way is None:
            while len(self._ways) >= MAX_WAYS:
                self._ways.popitem(last=False)
            way = self._ways[key] = _Way(now)
        elif now < way.open_until:
            return False
        elif now - way.first_at > self._limits.window_s and not way.open_until:
            way.failures, way.first_at = 0, now
        way.failures += 1
        if way.failures < self._limits.failures:
            return False
        way.open_until = now + self._limits.rest_s
        return True

    def worked(self, next_hop: NodeId, destination: NodeId) -> None:
        """Something arrived on this way: forget its failures."""
        self._ways.pop((next_hop, destination), None)

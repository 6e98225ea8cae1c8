"""What a hop over a link costs: from its round trip, its losses and, for radio, its airtime. Pure.

A hop on a LAN costs 64: what it costs a node to hand a message on. A millisecond more costs 4. So
links of one LAN cost the same, and a route over them is one with few hops.
"""

from __future__ import annotations

from typing import Final

from ironmesh.mesh.routing.values import LinkCost

HOP_COST: Final = 64
PER_SECOND: Final = 4000
LAN_ROUND_TRIP_S: Final = 0.005
"""A shorter round trip is as good as this."""
MAX_COST: Final = 2**20
MAX_LOSS: Final = 0.9
PACKET_BYTES: Final = 500
"""A message in its record; what airtime is reckoned for."""

_SMOOTHING: Final = 8
_STEP: Final = 4
"""A cost that is within a fourth of the one in use changes nothing."""
_PATIENCE: Final = 3
"""Samples in a row that have to say so."""


def hop_cost(round_trip_s: float, *, loss: float = 0.0, bytes_per_second: float = 0.0) -> int:
    """Return the cost of a hop.

    Args:
        loss: share of packets that are lost, 0 to 1.
        bytes_per_second: what a radio link carries; 0 = it is none.

    Source: docs/protocol-mesh.md, "Routes".
    """
    cost = HOP_COST + PER_SECOND * max(0.0, round_trip_s - LAN_ROUND_TRIP_S)
    if bytes_per_second > 0:
        cost += PER_SECOND * PACKET_BYTES / bytes_per_second
    cost /= (1.0 - min(MAX_LOSS, max(0.0, loss))) ** 2
    return round(min(MAX_COST, cost))


class CostMeter:
    """The cost of one link over time: it changes seldom, and only for a reason that lasts.

    Args:
        is_radio: the link goes over radio.
        bytes_per_second: what a radio link carries; 0 = not known, or no radio.
    """

    def __init__(self, *, is_radio: bool = False, bytes_per_second: float = 0.0) -> None:
        self._is_radio = is_radio
        self._bytes_per_second = bytes_per_second if is_radio else 0.0
        self._round_trip_s: float | None = None
        self._loss = 0.0
        self._differed = 0
        self._cost = self._measured()

    @property
    def link(self) -> LinkCost:
        """The cost in use."""
        return LinkCost(self._cost, self._is_radio)

    @property
    def is_steady(self) -> bool:
        """The last sample was as expected: nothing says that the cost in use is wrong."""
        return not self._differed

    def answered(self, round_trip_s: float) -> bool:
        """Take the round trip of a ping, in seconds; tell whether the cost in use changed."""
        if self._round_trip_s is None:
            self._round_trip_s = round_trip_s
            return self._use(self._measured())
        self._round_trip_s += (round_trip_s - self._round_trip_s) / _SMOOTHING
        self._loss -= self._loss / _SMOOTHING
        return self._judge(is_usual=not self._differs(self._measured(round_trip_s)))

    def unanswered(self) -> bool:
        """Take a ping without an answer; tell whether the cost in use changed."""
        self._loss += (1.0 - self._loss) / _SMOOTHING
        return self._judge(is_usual=False)

    def _measured(self, round_trip_s: float | None = None) -> int:
        if round_trip_s is None:
            round_trip_s = self._round_trip_s or 0.0
        return hop_cost(round_trip_s, loss=self._loss, bytes_per_second=self._bytes_per_second)

    def _differs(self, cost: int) -> bool:
        return abs(cost - self._cost) * _STEP > self._cost

    def _judge(self, *, is_usual: bool) -> bool:
        measured = self._measured()
        if is_usual or not self._differs(measured):
            self._differed = 0
            return False
        self._differed += 1
        return self._differed >= _PATIENCE and self._use(measured)

    def _use(self, cost: int) -> bool:
        self._differed = 0
        changed = cost != self._cost
        self._cost = cost
        return changed

"""One neighbour of a router: what is to be told to it, and when."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ironmesh.mesh.routing.destination import Destination
from ironmesh.mesh.routing.values import LinkCost, RouterAction, Send
from ironmesh.types import NodeId
from ironmesh.wire.native.beacons import Beacon
from ironmesh.wire.native.routes import (
    ALL,
    ANNOUNCED_BYTES,
    ENTRY_BYTES,
    MAX_REQUESTS,
    MAX_ROUTES_BYTES,
    ORIGIN_BYTES,
    RouteEntry,
    RouteRequest,
    Routes,
    SequenceRequest,
    size_of,
)

NEVER: Final = float("inf")
_ROOM_BYTES: Final = MAX_ROUTES_BYTES - 16
_MAX_RETRACTED: Final = _ROOM_BYTES // ORIGIN_BYTES
_MAX_ANNOUNCED: Final = _ROOM_BYTES // ANNOUNCED_BYTES
_MAX_PLAIN: Final = _ROOM_BYTES // ENTRY_BYTES


class Neighbour:
    """A link of a router that is up.

    Args:
        slot: its number among the neighbours.
        place: how far it has been told what changed.
        fast_place: the same for what is urgent.
    """

    __slots__ = (
        "asks",
        "bit",
        "cost",
        "digest_at",
        "extra",
        "fast_at",
        "fast_place",
        "flush_at",
        "has_refused",
        "interval_s",
        "is_radio",
        "lacks",
        "last_fast",
        "last_flush",
        "last_resend",
        "peer",
        "place",
        "share",
        "slot",
        "urgent",
    )

    def __init__(
        self, peer: NodeId, slot: int, link: LinkCost, place: int, fast_place: int
    ) -> None:
        self.peer = peer
        self.slot = slot
        self.bit = 1 << slot
        self.cost, self.is_radio = link
        self.place = place
        self.fast_place = fast_place
        self.interval_s = 0.0
        self.extra: dict[Destination, None] = {}
        """What this one alone is to be told."""
        self.urgent: dict[Destination, None] = {}
        """The same, at once."""
        self.asks: dict[NodeId, SequenceRequest] = {}
        self.lacks: dict[NodeId, None] = {}
        """Whose beacons we ask it for."""
        self.flush_at = NEVER
        self.fast_at = NEVER
        self.digest_at = NEVER
        self.last_flush = self.last_fast = self.last_resend = -NEVER
        self.share = 0
        """Destinations of the table that it brought."""
        self.has_refused = False
        """We did not take all that it told, so that digests cannot agree."""

    @property
    def due(self) -> float:
        """When it wants to be told something next."""
        return min(self.flush_at, self.fast_at, self.digest_at)

    def plan(self, at: float) -> None:
        """Have everything told at a time, if that is allowed by then."""
        at = max(at, self.last_flush + self.interval_s)
        self.flush_at = min(self.flush_at, at)

    def plan_fast(self, at: float) -> None:
        """Have what is urgent told at a time, if that is allowed by then."""
        at = max(at, self.last_fast + self.interval_s / 5)
        self.fast_at = min(self.fast_at, at)

    def requests(self) -> list[RouterAction]:
        """Return what it is to be asked for, once."""
        asks, lacks = list(self.asks.values()), list(self.lacks)
        self.asks, self.lacks = {}, {}
        return [
            Send(
                self.peer,
                RouteRequest(
                    tuple(asks[start : start + MAX_REQUESTS]),
                    tuple(lacks[start : start + MAX_REQUESTS]),
                ),
            )
            for start in range(0, max(len(asks), len(lacks)), MAX_REQUESTS)
        ]

    def tell(self, changed: Iterable[Destination], bucket: int = ALL) -> list[RouterAction]:
        """Return what it is to be told about destinations: what it need not know is left out.

        A route goes to all but the neighbour that it leads over: that one would not use it.
        """
        bit, slot = self.bit, self.slot
        retracted: list[NodeId] = []
        announced: list[RouteEntry] = []
        beacons: list[Beacon] = []
        plain: list[RouteEntry] = []
        for destination in changed:
            entry = destination.exported
            if entry is None or destination.best == slot or entry.origin == self.peer:
                if destination.told & bit:
                    destination.told ^= bit
                    retracted.append(destination.origin)
                continue
            destination.told |= bit
            destination.is_told(entry)
            if destination.knows & bit:
                plain.append(entry)
            else:
                destination.knows |= bit
                announced.append(entry)
                beacons.append(destination.beacon)
        if bucket != ALL:
            whole = Routes((), (*announced, *plain), tuple(beacons), bucket)
            if size_of(whole) <= MAX_ROUTES_BYTES:
                return [Send(self.peer, whole)]
        return self._in_parts(retracted, announced, beacons, plain)

    def _in_parts(
        self,
        retracted: list[NodeId],
        announced: list[RouteEntry],
        beacons: list[Beacon],
        plain: list[RouteEntry],
    ) -> list[RouterAction]:
        """Return messages of a size that is allowed, retractions first."""
        whole = Routes(tuple(retracted), (*announced, *plain), tuple(beacons))
        if not (retracted or announced or plain):
            return []
        if size_of(whole) <= MAX_ROUTES_BYTES:
            return [Send(self.peer, whole)]
        parts: list[Routes] = []
        for start in range(0, len(retracted), _MAX_RETRACTED):
            parts.append(Routes(tuple(retracted[start : start + _MAX_RETRACTED])))
        for start in range(0, len(announced), _MAX_ANNOUNCED):
            part = slice(start, start + _MAX_ANNOUNCED)
            parts.append(Routes((), tuple(announced[part]), tuple(beacons[part])))
        for start in range(0, len(plain), _MAX_PLAIN):
            parts.append(Routes((), tuple(plain[start : start + _MAX_PLAIN])))
        return [Send(self.peer, part) for part in parts]

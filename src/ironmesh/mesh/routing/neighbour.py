"""One neighbour of a router: what is to be told to it, and when."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ironmesh.mesh.routing.destination import Destination
from ironmesh.mesh.routing.journal import NEVER, Journal, Queue
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

_FAST: Final = 5
"""What is urgent waits this part of the interval."""
_ROOM_BYTES: Final = MAX_ROUTES_BYTES - 16
_MAX_RETRACTED: Final = _ROOM_BYTES // ORIGIN_BYTES
_MAX_ANNOUNCED: Final = _ROOM_BYTES // ANNOUNCED_BYTES
_MAX_PLAIN: Final = _ROOM_BYTES // ENTRY_BYTES


class Neighbour:
    """A link of a router that is up.

    Args:
        slot: its number among the neighbours.
        journals: of what is fast, normal and lazy to be told.
        interval_s: between two times that it is told something that is not urgent.
    """

    __slots__ = (
        "asks",
        "bit",
        "cost",
        "digest_at",
        "fast",
        "has_refused",
        "held_hash",
        "interval_s",
        "is_radio",
        "lacks",
        "last_digest",
        "last_fast",
        "last_flush",
        "last_resend",
        "lazy",
        "normal",
        "peer",
        "share",
        "slot",
        "told_hash",
    )

    def __init__(
        self,
        peer: NodeId,
        slot: int,
        link: LinkCost,
        journals: tuple[Journal, Journal, Journal],
        interval_s: float,
    ) -> None:
        self.peer = peer
        self.slot = slot
        self.bit = 1 << slot
        self.cost, self.is_radio = link
        self.interval_s = interval_s
        self.fast, self.normal, self.lazy = (Queue(journal) for journal in journals)
        self.asks: dict[NodeId, SequenceRequest] = {}
        """Sequences that it is to be asked for."""
        self.lacks: dict[NodeId, None] = {}
        """Whose beacons it is to be asked for."""
        self.digest_at = NEVER
        self.last_digest = -NEVER
        self.last_flush = self.last_fast = self.last_resend = -NEVER
        self.share = 0
        """Destinations of the table that it brought."""
        self.has_refused = False
        """We did not take all that it told, so that digests cannot agree."""
        self.told_hash: int | None = None
        """Of all that it was told, if nothing changed since."""
        self.held_hash: int | None = None
        """Of all that it told, likewise."""

    @property
    def due(self) -> float:
        """When it wants to be told something next."""
        return min(self.fast.due, self.normal.due, self.lazy.due, self.digest_at)

    @property
    def is_settled(self) -> bool:
        """It has been told everything."""
        return not (self.fast or self.normal or self.lazy)

    def plan(self, queue: Queue, at: float) -> None:
        """Have what is in a queue told at a time, or as soon after it as is allowed."""
        if queue is self.fast:
            at = max(at, self.last_fast + self.interval_s / _FAST)
        else:
            at = max(at, self.last_flush + self.interval_s)
        queue.due = min(queue.due, at)

    def take(self, now: float) -> dict[Destination, None]:
        """Return what is due, and with it what is more urgent."""
        taken = self.fast.take()
        self.last_fast = now
        is_lazy = now >= self.lazy.due
        if is_lazy or now >= self.normal.due:
            self.last_flush = now
            taken.update(self.normal.take())
            if is_lazy:
                taken.update(self.lazy.take())
        return taken

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

        A route goes to all but the neighbour that it leads over: that one would not use it. What a
        neighbour holds already is told again only with its bucket, which is told as a whole.
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
                    destination.current &= ~bit
                    retracted.append(destination.origin)
                continue
            if destination.current & destination.knows & bit and bucket == ALL:
                continue
            destination.told |= bit
            destination.current |= bit
            sequence = entry.sequence
            if sequence > destination.fd_sequence or (
                sequence == destination.fd_sequence and entry.metric < destination.fd_metric
            ):
                destination.come_nearer(sequence, entry.metric)
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
        if retracted or announced or plain:
            self.told_hash = None
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

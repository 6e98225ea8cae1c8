"""Proving now and then that both ends of a link agree on what was told, and mending it if not."""

from __future__ import annotations

from typing import Final

from ironmesh.mesh.routing.core import Core
from ironmesh.mesh.routing.destination import Destination
from ironmesh.mesh.routing.digests import bucket_of, hash_of, hashes_of_buckets
from ironmesh.mesh.routing.neighbour import Neighbour
from ironmesh.mesh.routing.selection import Selection
from ironmesh.mesh.routing.telling import Telling
from ironmesh.mesh.routing.values import Send
from ironmesh.wire.native.routes import RouteDigest, RouteEntry, Routes

_BUSY: Final = 5
"""So many intervals a digest waits at most."""
_RESEND_INTERVAL_S: Final = 30.0
"""Between two times that a neighbour is told all over again."""


class Agreement:
    """Sends digests, compares those of neighbours, and mends buckets that differ."""

    def __init__(self, core: Core, telling: Telling, selection: Selection) -> None:
        self._core = core
        self._telling = telling
        self._selection = selection

    def begin(self, neighbour: Neighbour, now: float) -> None:
        """Plan the first digest of a link."""
        neighbour.last_digest = now
        neighbour.digest_at = now + self._interval_s(neighbour)

    def timer(self, now: float) -> None:
        """Send the digests whose time has come; where much is told, they wait until it is less."""
        for neighbour in self._core.neighbours.values():
            if now < neighbour.digest_at:
                continue
            interval_s = self._interval_s(neighbour)
            quiet_at = max(neighbour.last_flush, neighbour.last_fast) + interval_s
            if quiet_at > now and now < neighbour.last_digest + _BUSY * interval_s:
                neighbour.digest_at = quiet_at
            else:
                neighbour.last_digest = now
                neighbour.digest_at = now + interval_s
                self._send(neighbour, now)

    def _interval_s(self, neighbour: Neighbour) -> float:
        limits = self._core.limits
        interval_s = self._core.between(0.9, 1.1) * limits.digest_interval_s
        if neighbour.is_radio:
            interval_s *= limits.radio_interval_s / limits.interval_s
        return interval_s

    def _send(self, neighbour: Neighbour, now: float) -> None:
        if not neighbour.is_settled:
            self._telling.flush(neighbour, now)
        if neighbour.told_hash is None:
            neighbour.told_hash = hash_of(self._told(neighbour))
        self._core.out.append(Send(neighbour.peer, RouteDigest((neighbour.told_hash,))))

    def received(self, neighbour: Neighbour, digest: RouteDigest, now: float) -> None:
        """Compare what a neighbour told with what we hold, or what it holds with what we told."""
        if len(digest.hashes) == 1:
            if neighbour.held_hash is None:
                neighbour.held_hash = hash_of(self._held(neighbour))
            if not neighbour.has_refused and neighbour.held_hash != digest.hashes[0]:
                self._core.counters.digest_mismatches += 1
                buckets = RouteDigest(hashes_of_buckets(self._held(neighbour)))
                self._core.out.append(Send(neighbour.peer, buckets))
        elif now - neighbour.last_resend >= _RESEND_INTERVAL_S:
            neighbour.last_resend = now
            self._telling.flush(neighbour, now)
            self._resend(neighbour, digest.hashes)

    def _resend(self, neighbour: Neighbour, held: tuple[int, ...]) -> None:
        told = hashes_of_buckets(self._told(neighbour))
        differs = {bucket for bucket in range(len(told)) if told[bucket] != held[bucket]}
        content: dict[int, list[Destination]] = {bucket: [] for bucket in differs}
        for destination in self._known():
            if destination.told & neighbour.bit:
                bucket = bucket_of(destination.origin)
                if bucket in differs:
                    content[bucket].append(destination)
        for bucket, destinations in sorted(content.items()):
            self._core.out += neighbour.tell(destinations, bucket)

    def replaced(self, neighbour: Neighbour, routes: Routes) -> None:
        """A neighbour told all of a bucket: what it did not name, it has no longer."""
        named = {entry.origin for entry in routes.routes}
        for destination in self._core.table.values():
            origin = destination.origin
            if origin not in named and bucket_of(origin) == routes.bucket:
                self._selection.retract(neighbour, destination)

    def _known(self) -> list[Destination]:
        own = self._core.own
        return [*self._core.table.values(), *([own] if own is not None else [])]

    def _told(self, neighbour: Neighbour) -> list[RouteEntry]:
        return [
            destination.exported
            for destination in self._known()
            if destination.told & neighbour.bit and destination.exported is not None
        ]

    def _held(self, neighbour: Neighbour) -> list[RouteEntry]:
        slot = neighbour.slot
        entries = (
            destination.entries[slot]
            for destination in self._core.table.values()
            if slot < len(destination.entries)
        )
        return [entry for entry in entries if entry is not None]

"""What becomes of a frame for somebody else (wire specification, section 10.4)."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import UNSET

from ironmesh.types import Instant, MeshMode, NodeId
from ironmesh.wire.legacy import inner
from ironmesh.wire.legacy.constants import BROADCAST, MAX_HOPS
from ironmesh.wire.legacy.inner import Inner
from ironmesh.wire.legacy.transit import fits

MAX_AGE_S: Final = 86_400.0
SEEN_S: Final = 300.0
MAX_SOURCES: Final = 128
"""Sources whose frames are remembered; the one heard of longest ago makes room."""
MAX_FRAMES: Final = 1024
"""Frames of one source that are remembered."""


class DropReason(StrEnum):
    """Why a frame was not passed on. The value is part of the name of its counter."""

    NOT_A_RELAY = "not_a_relay"
    BROADCAST = "broadcast"
    TOO_OLD = "too_old"
    REPEATED = "repeated"
    NO_HOPS_LEFT = "no_hops_left"
    LOOP = "loop"
    TOO_LARGE = "too_large"


class PassOn(msgspec.Struct, frozen=True):
    """Give the frame to this neighbour."""

    next_hop: NodeId
    said: Inner


class Hand(msgspec.Struct, frozen=True):
    """The destination is reached otherwise than over published nodes: hand the frame over."""

    said: Inner


class Drop(msgspec.Struct, frozen=True):
    """Forget the frame."""

    reason: DropReason


class NoRoute(msgspec.Struct, frozen=True):
    """Forget the frame, and tell its source."""


RelayVerdict = PassOn | Hand | Drop | NoRoute

NextHop = Callable[[NodeId], NodeId | None]
"""Returns the published neighbour through which a destination is reached; None = there is none."""


class SeenFrames:
    """Remembers the frames of each source for 300 s, in bounded space.

    A frame is known again by all that its source wrote: a forged one with the same id does not keep
    the real one from being passed on.
    """

    def __init__(self) -> None:
        self._shards: OrderedDict[str, OrderedDict[bytes, float]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._shards.values()))

    def add(self, said: Inner, now: float) -> bool:
        """Note a frame at monotonic time `now`; False if it was seen within the time."""
        shard = self._shards.setdefault(said.source, OrderedDict())
        self._shards.move_to_end(said.source)
        while len(self._shards) > MAX_SOURCES:
            self._shards.popitem(last=False)
        key = _digest(said)
        seen_at = shard.get(key)
        if seen_at is not None and now - seen_at < SEEN_S:
            return False
        shard[key] = now
        shard.move_to_end(key)
        while len(shard) > MAX_FRAMES:
            shard.popitem(last=False)
        return True


class LegacyRelay:
    """Decides about frames for others, in the published order of checks."""

    def __init__(self, own_id: NodeId, mode: MeshMode) -> None:
        self._own_id = own_id
        self._mode = mode
        self._seen = SeenFrames()

    def judge(
        self,
        said: Inner,
        sender: NodeId,
        now: Instant,
        *,
        is_otherwise: Callable[[NodeId], bool],
        next_hop: NextHop,
    ) -> RelayVerdict:
        """Return what becomes of a frame.

        Args:
            sender: the neighbour that handed it over; it never gets it back.
            is_otherwise: tells whether a destination is reached otherwise than over published
                nodes, which goes before any published route.
        """
        reason = self._refusal(said, now)
        if reason is not None:
            return Drop(reason)
        passed = msgspec.structs.replace(
            said, ttl=int(said.ttl) - 1, hops=(*said.hops, self._own_id)
        )
        if not fits(passed):
            return Drop(DropReason.TOO_LARGE)
        destination = NodeId(said.destination)
        if is_otherwise(destination):
            return Hand(passed)
        hop = next_hop(destination)
        return NoRoute() if hop is None or hop == sender else PassOn(hop, passed)

    def _refusal(self, said: Inner, now: Instant) -> DropReason | None:
        if self._mode is not MeshMode.RELAY:
            return DropReason.NOT_A_RELAY
        if said.destination in ("", BROADCAST):
            return DropReason.BROADCAST
        if now.wall - inner.timestamp_of(said) > MAX_AGE_S:
            return DropReason.TOO_OLD
        if not self._seen.add(said, now.mono):
            return DropReason.REPEATED
        if said.ttl <= 0 or len(said.hops) >= MAX_HOPS:
            return DropReason.NO_HOPS_LEFT
        return DropReason.LOOP if self._own_id in said.hops else None


def _digest(said: Inner) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in (
        said.msg_id.encode(),
        said.type.encode(),
        said.destination.encode(),
        said.payload,
        b"" if said.e2e_payload is UNSET else said.e2e_payload,
        b"" if said.source_signature is UNSET else said.source_signature,
    ):
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
    return digest.digest()

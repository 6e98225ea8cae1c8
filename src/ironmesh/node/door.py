"""Admission: who may begin a handshake. Pure limits, asked before any byte is read or any key used.

Unfinished handshakes have places, on both wires. The native wire rations guesses. On the 0.8 wire a
source whose proofs failed three times within 300 s is turned away until the oldest failure is 300 s
old, and a success clears it. A source is an IPv4 address, an IPv6 /64 or an interface of Reticulum.
"""

from __future__ import annotations

import functools
import ipaddress
from collections import Counter, OrderedDict
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from ironmesh.errors import LocalProtocolError
from ironmesh.types import NodeId, Refusal

RETICULUM_PREFIX: Final = "reticulum/"

_KNOWN_SOURCES: Final = 256
"""Addresses whose source is not worked out anew: it is asked several times for each connection."""
_ROUNDING_S: Final = 1e-6
"""What sums of seconds may be off by."""


class LockoutLimits(msgspec.Struct, frozen=True):
    """Tuning of the lockout."""

    failures: int = 3
    failure_window_s: float = 300.0
    remembered_sources: int = 4096


@functools.lru_cache(maxsize=_KNOWN_SOURCES)
def source_of(host: str) -> str:
    """Return what limits are counted by: the IPv4 address, or the /64 of an IPv6 address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


class Lockouts:
    """Counts failed proofs on the 0.8 wire by source; `now` is monotonic seconds."""

    def __init__(self, limits: LockoutLimits | None = None) -> None:
        self._limits = limits or LockoutLimits()
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def failed(self, host: str, now: float) -> bool:
        """Count a failed proof; True if it locks the source out."""
        source = source_of(host)
        failures = [*self._recent(source, now), now]
        self._failures[source] = failures[-self._limits.failures :]
        self._failures.move_to_end(source)
        while len(self._failures) > self._limits.remembered_sources:
            self._failures.popitem(last=False)
        return len(failures) >= self._limits.failures

    def succeeded(self, host: str) -> None:
        """A peer at this source proved the passphrase: forget its failures."""
        self._failures.pop(source_of(host), None)

    def is_locked_out(self, host: str, now: float) -> bool:
        """Tell whether this source failed too often."""
        return len(self._recent(source_of(host), now)) >= self._limits.failures

    def _recent(self, source: str, now: float) -> list[float]:
        since = now - self._limits.failure_window_s
        return [at for at in self._failures.get(source, ()) if at > since]


def reticulum_source(interface: str) -> str:
    """Return what limits are counted by on Reticulum: one of its interfaces."""
    return RETICULUM_PREFIX + interface


class Hall(StrEnum):
    """Where an unfinished handshake has its place."""

    UNKNOWN = "unknown"
    """Of those that come from anywhere."""
    KNOWN = "known"
    """Of those that come from where a pinned peer last succeeded."""


class PlaceLimits(msgspec.Struct, frozen=True):
    """Tuning of the halls."""

    per_hall: int = 256
    per_source: int = 8
    """In each hall."""


class HandshakePlaces:
    """Counts unfinished handshakes; asked before any key is used.

    A flood from anywhere takes no place of those that come from where a pinned peer was.
    """

    def __init__(self, limits: PlaceLimits | None = None) -> None:
        self._limits = limits or PlaceLimits()
        self._taken: dict[Hall, dict[str, int]] = {hall: {} for hall in Hall}
        self._totals = dict.fromkeys(Hall, 0)

    def total(self, hall: Hall) -> int:
        """Return how many places of a hall are taken."""
        return self._totals[hall]

    def enter(self, source: str, hall: Hall) -> Refusal | None:
        """Take a place, or say why there is none."""
        if self._totals[hall] >= self._limits.per_hall:
            return Refusal.BUSY
        taken = self._taken[hall]
        if taken.get(source, 0) >= self._limits.per_source:
            return Refusal.LIMIT
        taken[source] = taken.get(source, 0) + 1
        self._totals[hall] += 1
        return None

    def leave(self, source: str, hall: Hall) -> None:
        """Give a place back: the handshake is finished, or its connection is gone.

        Raises:
            LocalProtocolError: this source has none there.
        """
        taken = self._taken[hall]
        count = taken.get(source, 0)
        if count == 0:
            raise LocalProtocolError(f"{source} leaves the hall {hall.value} and is not in it")
        if count == 1:
            del taken[source]
        else:
            taken[source] = count - 1
        self._totals[hall] -= 1


class Rate(NamedTuple):
    """A bucket of tokens: how many it holds, and after how many seconds one more comes."""

    tokens: int
    period_s: float


UNKNOWN_SOURCE: Final = Rate(5, 30.0)
KNOWN_SOURCE: Final = Rate(20, 5.0)
ALL_UNKNOWN_SOURCES: Final = Rate(100, 1.0)


class RationLimits(msgspec.Struct, frozen=True):
    """Tuning of the rationing of guesses."""

    unknown: Rate = UNKNOWN_SOURCE
    known: Rate = KNOWN_SOURCE
    all_unknown: Rate = ALL_UNKNOWN_SOURCES
    remembered_sources: int = 4096
    remembered_peers: int = 4096


class _Bucket(msgspec.Struct):
    """A bucket in which something is missing; one that is full is not kept."""

    rate: Rate
    full_at: float
    """When it will be full again, if nothing more is taken."""
    shared: int = 0
    """Tokens taken from the bucket of all unknown sources, too."""


class GuessRation:
    """Rations the guesses at the passphrase that this node gives away when it is dialled.

    To answer the first message of a full handshake is to give one guess away, finished or not, so
    it costs a token of its source; who then proves the passphrase gets that one back. Nobody is
    ever locked out: tokens come back with time. `now` is monotonic seconds.

    Source: docs/protocol.md, "The door".
    """

    def __init__(self, limits: RationLimits | None = None) -> None:
        self._limits = limits or RationLimits()
        self._buckets: dict[str, _Bucket] = {}
        self._shared_full_at = 0.0
        self._homes: OrderedDict[NodeId, str] = OrderedDict()
        self._known: Counter[str] = Counter()

    # --- Sources -----------------------------------------------------------------------------

    def is_known(self, source: str) -> bool:
        """Tell whether a pinned peer last succeeded there, or it is an interface of Reticulum."""
        return source in self._known or source.startswith(RETICULUM_PREFIX)

    def succeeded(self, peer: NodeId, source: str) -> None:
        """A pinned peer came in from this source; where it came from before no longer counts."""
        self.forget(peer)
        self._homes[peer] = source
        self._known[source] += 1
        if len(self._homes) > self._limits.remembered_peers:
            self.forget(next(iter(self._homes)))

    def forget(self, peer: NodeId) -> None:
        """A peer is no longer pinned: where it came from is as any other source."""
        source = self._homes.pop(peer, None)
        if source is None:
            return
        self._known[source] -= 1
        if not self._known[source]:
            del self._known[source]

    # --- Guesses -----------------------------------------------------------------------------

    def answer(self, source: str, now: float) -> Refusal | None:
        """Spend a token, before a first message is answered and before any key is used.

        Returns:
            None to go on; `Refusal.BUSY` if there is no token.
        """
        bucket = self._bucket(source, now)
        if _wait_s(bucket.full_at, bucket.rate, now) or not self._has_room(source, now):
            return Refusal.BUSY
        if not self.is_known(source):
            shared = self._limits.all_unknown
            if _wait_s(self._shared_full_at, shared, now):
                return Refusal.BUSY
            self._shared_full_at = max(self._shared_full_at, now) + shared.period_s
            bucket.shared += 1
        bucket.full_at += bucket.rate.period_s
        self._buckets[source] = bucket
        return None

    def proved(self, source: str, now: float) -> None:
        """Give back the token of a handshake whose last message was good, and no other one.

        Call it once for each such handshake, before `succeeded`.
        """
        if source not in self._buckets:
            return  # it came back by itself
        bucket = self._bucket(source, now)
        bucket.full_at -= bucket.rate.period_s
        if bucket.shared:
            bucket.shared -= 1
            self._shared_full_at -= self._limits.all_unknown.period_s
        if bucket.full_at <= now:
            del self._buckets[source]

    def wait_s(self, source: str, now: float) -> float:
        """Return after how many seconds this source has a token, if nobody takes it first."""
        bucket = self._bucket(source, now)
        waits = [_wait_s(bucket.full_at, bucket.rate, now)]
        if not self.is_known(source):
            waits.append(_wait_s(self._shared_full_at, self._limits.all_unknown, now))
        return max(waits)

    def _bucket(self, source: str, now: float) -> _Bucket:
        """Return the bucket of a source; if its kind changed, it lacks as many tokens as before."""
        rate = self._limits.known if self.is_known(source) else self._limits.unknown
        bucket = self._buckets.get(source)
        if bucket is None or bucket.full_at <= now:
            return _Bucket(rate, now)
        if bucket.rate != rate:
            missing = (bucket.full_at - now) / bucket.rate.period_s
            # Tokens of the shared bucket stay spent: which of them were, is forgotten here.
            bucket.rate, bucket.full_at, bucket.shared = rate, now + missing * rate.period_s, 0
        return bucket

    def _has_room(self, source: str, now: float) -> bool:
        """Make room by forgetting full buckets only: another one would be refilled by it."""
        limit = self._limits.remembered_sources
        if source in self._buckets or len(self._buckets) < limit:
            return True
        self._buckets = {
            each: bucket for each, bucket in self._buckets.items() if bucket.full_at > now
        }
        return len(self._buckets) < limit


def _wait_s(full_at: float, rate: Rate, now: float) -> float:
    wait = full_at - now - (rate.tokens - 1) * rate.period_s
    return wait if wait > _ROUNDING_S else 0.0

"""Admission: who may begin a handshake. Pure limits, asked before any byte is read or any key used.

At most 64 half-open connections in all and 8 for each source; a source whose proofs failed three
times within 300 s is turned away until the oldest failure is 300 s old, and a success clears it.
A source is an IPv4 address or an IPv6 /64.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

from ironmesh.types import Refusal


@dataclass(frozen=True, slots=True)
class DoorLimits:
    """Tuning of the door."""

    half_open_total: int = 64
    half_open_per_source: int = 8
    failures: int = 3
    failure_window_s: float = 300.0
    remembered_sources: int = 4096


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


class AdmissionLimits:
    """Counts half-open connections and failed proofs by source; `now` is monotonic seconds."""

    def __init__(self, limits: DoorLimits | None = None) -> None:
        self._limits = limits or DoorLimits()
        self._half_open: dict[str, int] = {}
        self._half_open_total = 0
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    @property
    def half_open_total(self) -> int:
        """Connections that have not finished their handshake."""
        return self._half_open_total

    def admit(self, host: str, now: float) -> Refusal | None:
        """Count a new connection, or say why it may not stay."""
        source = source_of(host)
        if self.is_locked_out(host, now):
            return Refusal.LOCKED_OUT
        if self._half_open_total >= self._limits.half_open_total:
            return Refusal.BUSY
        if self._half_open.get(source, 0) >= self._limits.half_open_per_source:
            return Refusal.LIMIT
        self._half_open[source] = self._half_open.get(source, 0) + 1
        self._half_open_total += 1
        return None

    def settle(self, host: str) -> None:
        """An admitted connection finished its handshake, or is gone."""
        source = source_of(host)
        count = self._half_open.get(source, 0)
        if count <= 1:
            self._half_open.pop(source, None)
        else:
            self._half_open[source] = count - 1
        self._half_open_total -= 1 if count else 0

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

"""What the router is told, what it answers, and what it asks its shell to do."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import msgspec

from ironmesh.types import NodeId
from ironmesh.wire.native.beacons import Beacon
from ironmesh.wire.native.routes import RouteDigest, RouteRequest, Routes


class LinkCost(NamedTuple):
    """What a hop over a link costs."""

    cost: int
    """At least 1; about 64 for a hop on a LAN."""
    is_radio: bool = False


class NextHop(NamedTuple):
    """One way to a destination."""

    peer: NodeId
    metric: int
    """Of the whole way."""
    hops: int
    is_radio: bool


class RouteView(NamedTuple):
    """How a destination is reached now."""

    metric: int
    hops: int
    is_radio: bool
    next_hops: tuple[NextHop, ...]
    """All that may be used, the best first."""


class Suspicion(StrEnum):
    """What a neighbour said that is not believed. The value is the name of its counter."""

    FORGED_BEACON = "forged_beacon"
    """A beacon that its node did not sign."""
    CLAIMED_ORIGIN = "claimed_origin"
    """It says that it is another node: a distance of 0 to one."""
    UNPROVED_SEQUENCE = "unproved_sequence"
    """A route with a sequence of which there is no beacon."""
    CLONED = "cloned"
    """Two beacons of one node with the same sequence, or a later one of our own."""


# --- Actions -------------------------------------------------------------------------------------


class Send(msgspec.Struct, frozen=True, gc=False):
    """Hand this to a neighbour, in order."""

    peer: NodeId
    value: Routes | RouteDigest | RouteRequest


class RouteFound(msgspec.Struct, frozen=True, gc=False):
    """A destination can be reached that could not before."""

    destination: NodeId
    hops: int
    is_radio: bool


class RouteLost(msgspec.Struct, frozen=True, gc=False):
    """A destination can be reached no longer."""

    destination: NodeId


class NewBeacon(msgspec.Struct, frozen=True, gc=False):
    """A node says something new about itself; its signature is good."""

    beacon: Beacon
    peer: NodeId
    """Who told us, and can be asked for the record."""


class Bump(msgspec.Struct, frozen=True, gc=False):
    """Somebody needs a newer beacon of ours: make one and `announce` it."""

    above: int
    """Its sequence is larger than this."""


class Suspicious(msgspec.Struct, frozen=True, gc=False):
    """A neighbour said something that is not believed: count it, and audit it."""

    peer: NodeId
    what: Suspicion
    origin: NodeId
    """Of whom it spoke."""


class PartitionAlarm(msgspec.Struct, frozen=True, gc=False):
    """Over half of the destinations were lost, and did not come back at once."""

    lost: int
    remaining: int


RouterAction = Send | RouteFound | RouteLost | NewBeacon | Bump | Suspicious | PartitionAlarm


# --- Settings and counters -----------------------------------------------------------------------


class RouterLimits(msgspec.Struct, frozen=True):
    """How much, how often and how long."""

    max_destinations: int = 20_000
    first_delay_s: tuple[float, float] = (0.01, 0.05)
    """From a change to telling it: between these, at random."""
    interval_s: float = 1.0
    """Between two tellings to one neighbour; what is urgent waits a fifth of it."""
    radio_interval_s: float = 20.0
    lazy_delay_s: tuple[float, float] = (2.0, 4.0)
    """How long what is no loss to anybody waits for more to go with."""
    small_delay_s: tuple[float, float] = (30.0, 60.0)
    """How long changes of a metric wait that are too small to matter."""
    unsafe_delay_s: tuple[float, float] = (15.0, 30.0)
    """How long a much better way that is not safe waits to become so by itself."""
    digest_interval_s: float = 120.0
    hold_s: float = 300.0
    """How long a lost destination is remembered."""
    alarm_delay_s: float = 10.0
    bump_burst: int = 8
    bump_interval_s: float = 5.0
    """Between two new beacons that others ask for, once the burst is used up."""
    retry_s: float = 1.0
    """Until a sequence is asked for again; doubles up to a minute."""


class RouterCounters(msgspec.Struct):
    """What happened since the start."""

    loops_prevented: int = 0
    """Ways that looked better and could have led back to us."""
    black_holes: int = 0
    """Destinations for which only such ways were left, so that a newer sequence was asked for."""
    routes_lost: int = 0
    bumps: int = 0
    table_full: int = 0
    """Destinations that were not taken, or had to make room."""
    digest_mismatches: int = 0
    suspicious: int = 0

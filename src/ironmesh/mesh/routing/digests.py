"""Hashes over routes, by which two neighbours find out that they agree."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from ironmesh.types import NodeId
from ironmesh.wire.native.routes import BUCKETS, RouteEntry, entry_bytes


def bucket_of(origin: NodeId) -> int:
    """Return the bucket of a destination: the first byte of its id."""
    return int(origin[:2], 16)


def hash_of(entries: Iterable[RouteEntry]) -> int:
    """Return 64 bits over a set of routes."""
    text = b"".join(sorted([entry_bytes(entry) for entry in entries]))
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


def hashes_of_buckets(entries: Iterable[RouteEntry]) -> tuple[int, ...]:
    """Return 32 bits for each bucket."""
    buckets: list[list[RouteEntry]] = [[] for _ in range(BUCKETS)]
    for entry in entries:
        buckets[bucket_of(entry.origin)].append(entry)
    return tuple(hash_of(each) & 0xFFFFFFFF if each else 0 for each in buckets)

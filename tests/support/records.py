"""Nodes that say something about themselves."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from tests.support.legacy import identity
from tests.support.parcels import START

from ironmesh.crypto.identity import Identity
from ironmesh.mesh.beacons import make_beacon
from ironmesh.mesh.clock import RecordClock
from ironmesh.mesh.records import RecordBook
from ironmesh.types import NodeId
from ironmesh.wire.native.beacons import Beacon
from ironmesh.wire.native.noderecords import NodeRecord, encode_node_record

EXPIRY_S = int(START.wall) + 48 * 3600
OWN, PEER, OTHER, THIRD = (identity(name).node_id for name in ("own", "peer", "other", "third"))


def kem_of(label: str) -> bytes:
    """Return what has the size of an ML-KEM key."""
    return sha256(label.encode()).digest() * 37


def body_of(name: str, *capabilities: str, **changes: Any) -> bytes:
    """Return the body of a record."""
    values: dict[str, Any] = {
        "name": name,
        "capabilities": tuple(sorted(capabilities)),
        "prekey_number": 7,
        "x25519": sha256(name.encode()).digest(),
        "kem_hash": sha256(kem_of(name)).digest(),
    }
    return encode_node_record(NodeRecord(**(values | changes)))


def beacon_of(node: Identity, body: bytes, sequence: int = 1, expiry_s: int = EXPIRY_S) -> Beacon:
    """Return a beacon that names a body."""
    return make_beacon(node, sequence, expiry_s, sha256(body).digest())


def book(*, pinned: tuple[NodeId, ...] = (), **changes: Any) -> RecordBook:
    """Return the book of a node with three neighbours."""
    values: dict[str, Any] = {
        "is_pinned": lambda node_id: node_id in pinned,
        "next_hops": lambda _: (PEER,),
    }
    made = RecordBook(OWN, RecordClock(), **(values | changes))
    for neighbour in (PEER, OTHER, THIRD):
        made.link_up(neighbour, START)
    return made


def teach(
    made: RecordBook, node: Identity, body: bytes, sequence: int = 1, peer: NodeId = PEER
) -> Beacon:
    """Let a book learn the record of a node."""
    beacon = beacon_of(node, body, sequence)
    made.heard(beacon, peer, START)
    made.blobs(peer, [body], START)
    return beacon

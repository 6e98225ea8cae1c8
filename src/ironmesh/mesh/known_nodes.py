"""What a node knows of others, in bounded memory that no neighbour can fill alone. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from ironmesh.types import NodeId
from ironmesh.wire.native.beacons import Beacon
from ironmesh.wire.native.noderecords import NodeRecord

ENTRY_BYTES: Final = 2048
"""What a node costs in memory beside the body of its record, as measured."""


class KnownNode(msgspec.Struct, frozen=True):
    """A node of which we have a record; that it is trusted is for others to say."""

    node_id: NodeId
    identity_public: bytes
    """Ed25519 key, 32 bytes; it signed the record."""
    sequence: int
    expiry_s: int
    """Seconds since 1970, by record time."""
    name: str
    """A claim."""
    capabilities: tuple[str, ...]
    prekey_number: int
    x25519: bytes
    kem_hash: bytes
    """Empty = it has no ML-KEM prekey: kind 1 is all that can be sealed to it."""
    kem: bytes | None
    """The ML-KEM prekey, once it came."""
    wire_versions: tuple[int, ...]

    def is_expired(self, time_s: float) -> bool:
        """Tell whether nothing may be sealed to it any more, by record time."""
        return time_s > self.expiry_s


class Entry:
    """One node."""

    __slots__ = ("beacon", "body", "charged_to", "is_routed", "is_unreadable", "known")

    def __init__(self, beacon: Beacon, charged_to: NodeId) -> None:
        self.beacon = beacon
        self.charged_to = charged_to
        """The neighbour that told us of it last."""
        self.body = b""
        self.known: KnownNode | None = None
        """Of the last beacon whose body came."""
        self.is_routed = True
        self.is_unreadable = False
        """The body that the beacon names came and is malformed."""

    @property
    def cost(self) -> int:
        """Bytes that it is charged with."""
        return ENTRY_BYTES + len(self.body)

    def learn(self, body: bytes, record: NodeRecord) -> None:
        """Take over a record; the beacon names its body."""
        kem = self.known.kem if self.known and self.known.kem_hash == record.kem_hash else None
        self.body = body
        self.known = KnownNode(
            node_id=self.beacon.origin,
            identity_public=self.beacon.public,
            sequence=self.beacon.sequence,
            expiry_s=self.beacon.expiry_s,
            name=record.name,
            capabilities=record.capabilities,
            prekey_number=record.prekey_number,
            x25519=record.x25519,
            kem_hash=record.kem_hash,
            kem=kem,
            wire_versions=record.wire_versions,
        )


class KnownNodes:
    """All entries, within a limit that neighbours share.

    Args:
        max_bytes: that all may cost together.
        is_pinned: says which nodes are never pushed out.
    """

    def __init__(self, max_bytes: int, is_pinned: Callable[[NodeId], bool]) -> None:
        self._max_bytes = max_bytes
        self._is_pinned = is_pinned
        self._entries: dict[NodeId, Entry] = {}
        self._used: dict[NodeId, int] = {}
        self._of: dict[NodeId, OrderedDict[NodeId, None]] = {}
        """The nodes that each neighbour is charged with, those heard of longest ago first."""
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[NodeId]:
        return iter(self._entries)

    @property
    def size_bytes(self) -> int:
        """What all cost together."""
        return self._size_bytes

    def get(self, node_id: NodeId) -> Entry | None:
        """Return what is kept of a node."""
        return self._entries.get(node_id)

    def make_room(self, peer: NodeId, more_bytes: int, node_id: NodeId) -> list[NodeId] | None:
        """Return which nodes make room for what `peer` brings of `node_id`; None: there is no room.

        The neighbour that is charged with most gives way. If that is `peer` itself, only nodes
        without a route do, unless the new one is pinned. The caller removes the nodes.
        """
        victims: list[NodeId] = []
        missing = self._size_bytes + more_bytes - self._max_bytes
        used = dict(self._used) if missing > 0 else {}
        while missing > 0:
            largest = max(used, key=lambda each: used[each], default=None)
            if largest is None:
                return None
            victim = self._victim(largest, {node_id, *victims})
            if victim is None:
                del used[largest]
                continue
            is_over = used.get(peer, 0) + more_bytes > used[largest]
            if is_over and self._entries[victim].is_routed and not self._is_pinned(node_id):
                return None
            victims.append(victim)
            cost = self._entries[victim].cost
            used[largest] -= cost
            missing -= cost
        return victims

    def _victim(self, neighbour: NodeId, spared: set[NodeId]) -> NodeId | None:
        """Return the node to push out: one without a route, or that heard of longest ago."""
        free = (
            node_id
            for node_id in self._of.get(neighbour, ())
            if node_id not in spared and not self._is_pinned(node_id)
        )
        first = None
        for node_id in free:
            if not self._entries[node_id].is_routed:
                return node_id
            first = first or node_id
        return first

    def put(self, node_id: NodeId, entry: Entry) -> None:
        """Keep an entry, in place of one that was removed."""
        self._entries[node_id] = entry
        self._charge(node_id, entry)

    def remove(self, node_id: NodeId) -> Entry | None:
        """Forget a node."""
        entry = self._entries.pop(node_id, None)
        if entry is not None:
            self._release(node_id, entry)
        return entry

    def _charge(self, node_id: NodeId, entry: Entry) -> None:
        peer = entry.charged_to
        self._of.setdefault(peer, OrderedDict())[node_id] = None
        self._used[peer] = self._used.get(peer, 0) + entry.cost
        self._size_bytes += entry.cost

    def _release(self, node_id: NodeId, entry: Entry) -> None:
        peer = entry.charged_to
        nodes = self._of[peer]
        del nodes[node_id]
        self._used[peer] -= entry.cost
        self._size_bytes -= entry.cost
        if not nodes:
            del self._of[peer], self._used[peer]

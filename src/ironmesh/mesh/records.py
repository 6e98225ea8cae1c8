"""The node records of a mesh: who is called what, can do what, and what to seal to. Pure.

Beacons come with the routes, checked by the router. The body of a record is pulled once, by the
hash that its beacon holds, from the neighbour that told of it; so it is the node's own, whoever
hands it over. ML-KEM prekeys are pulled likewise, but only when somebody needs one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec

from ironmesh.errors import RemoteProtocolError
from ironmesh.mesh.clock import RecordClock
from ironmesh.mesh.known_nodes import ENTRY_BYTES, Entry, KnownNode, KnownNodes
from ironmesh.mesh.pulls import Pull, Pulls
from ironmesh.types import Instant, NodeId
from ironmesh.wire.native.beacons import Beacon
from ironmesh.wire.native.noderecords import decode_node_record, is_kem_key

MAX_ANSWER_BYTES: Final = 1024 * 1024
"""To one request; what it leaves out is asked for again."""
SWEEP_EVERY_S: Final = 3600.0
KEPT_OWN: Final = 16
"""Bodies and keys of ours that others may still ask for."""


class Answer(NamedTuple):
    """Give a peer what it asked for."""

    peer: NodeId
    blobs: tuple[bytes, ...]


class Learned(NamedTuple):
    """The record of a node is new, or its ML-KEM prekey came."""

    node_id: NodeId


class Cloned(NamedTuple):
    """Two different beacons of one node have the same number: two nodes may use its key."""

    node_id: NodeId


RecordAction = Pull | Answer | Learned | Cloned


class RecordLimits(msgspec.Struct, frozen=True):
    """How much is kept."""

    max_bytes: int = 48 * 1024 * 1024
    """Bodies, and 2 KiB for each node."""
    max_kem_keys: int = 4096
    """ML-KEM prekeys, of 1,184 bytes each; the one used longest ago makes room."""


class RecordBook:
    """Everything that nodes said about themselves, as far as it is still of use.

    Args:
        own_id: this node; nothing is kept about it.
        clock: the time that records expire by.
        is_pinned: says which nodes are never pushed out.
        next_hops: the neighbours on the way to a node, the best first.
        name_key: what two spellings of one name have in common.
        count: is told why something was not taken, or not kept.
    """

    def __init__(
        self,
        own_id: NodeId,
        clock: RecordClock,
        *,
        is_pinned: Callable[[NodeId], bool],
        next_hops: Callable[[NodeId], Sequence[NodeId]],
        name_key: Callable[[str], str] = str.casefold,
        count: Callable[[str], None] = lambda _: None,
        limits: RecordLimits | None = None,
    ) -> None:
        self._own_id = own_id
        self._clock = clock
        self._name_key = name_key
        self._count = count
        self._limits = limits or RecordLimits()
        self._nodes = KnownNodes(self._limits.max_bytes, is_pinned)
        self._is_pinned = is_pinned
        self._pulls = Pulls(next_hops)
        self._listed: dict[bytes, set[NodeId]] = {}
        """Whose beacon or record names a hash."""
        self._names: dict[str, set[NodeId]] = {}
        self._kems: OrderedDict[NodeId, None] = OrderedDict()
        self._own: OrderedDict[bytes, bytes] = OrderedDict()
        self._sweep_at: float | None = None

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, node_id: NodeId) -> bool:
        return self._nodes.get(node_id) is not None

    @property
    def size_bytes(self) -> int:
        """What all that is kept is counted as."""
        return self._nodes.size_bytes

    # --- Inputs ------------------------------------------------------------------------------

    def publish(self, *blobs: bytes) -> None:
        """Let others have these: the body of our record, and our ML-KEM prekey."""
        for blob in blobs:
            self._own[sha256(blob).digest()] = blob
        while len(self._own) > KEPT_OWN:
            self._own.popitem(last=False)

    def link_up(self, peer: NodeId, now: Instant) -> list[RecordAction]:
        """A native neighbour can be asked from now on."""
        return [*self._pulls.link_up(peer, now.mono)]

    def link_down(self, peer: NodeId, now: Instant) -> list[RecordAction]:
        """A neighbour is gone."""
        return [*self._pulls.link_down(peer, now.mono)]

    def heard(self, beacon: Beacon, peer: NodeId, now: Instant) -> list[RecordAction]:
        """A neighbour told of a beacon, whose signature is right."""
        origin = beacon.origin
        if origin == self._own_id:
            return []
        entry = self._nodes.get(origin)
        if entry is None:
            if not self._make_room(peer, ENTRY_BYTES, origin):
                return []
            self._put(origin, Entry(beacon, peer))
            if self._sweep_at is None:
                self._sweep_at = now.mono + SWEEP_EVERY_S
        else:
            is_back, entry.is_routed = not entry.is_routed, True
            if is_back:
                self._pulls.again(origin)
            if beacon.sequence == entry.beacon.sequence and beacon != entry.beacon:
                return [Cloned(origin), *self._pulls.ask(now.mono)]
            if beacon.sequence <= entry.beacon.sequence:
                return [*self._pulls.ask(now.mono)]
            self._renew(origin, entry, beacon, peer)
        self._pull_body(origin)
        return [*self._pulls.ask(now.mono)]

    def lost(self, origin: NodeId) -> None:
        """No route leads to a node any more; what is known of it stays, if there is room."""
        entry = self._nodes.get(origin)
        if entry is not None:
            entry.is_routed = False

    def blobs(self, peer: NodeId, blobs: Iterable[bytes], now: Instant) -> list[RecordAction]:
        """A neighbour gave what is wanted, asked or not; anything else is left."""
        actions: list[RecordAction] = []
        for blob in blobs:
            known = sha256(blob).digest()
            origins = self._listed.get(known)
            if known not in self._pulls or not origins:
                self._count("unasked")
                continue
            for waiter in self._pulls.settle(known):
                if waiter != peer:
                    actions.append(Answer(waiter, (blob,)))
            actions += [Learned(each) for each in list(origins) if self._learn(each, known, blob)]
        actions += self._pulls.ask(now.mono)
        return actions

    def requested(self, peer: NodeId, hashes: Iterable[bytes], now: Instant) -> list[RecordAction]:
        """A neighbour asks; what we do not have and others may is asked for on its behalf."""
        found: list[bytes] = []
        size = 0
        for wanted in dict.fromkeys(hashes):
            blob = self._blob(wanted)
            if blob is None:
                self._want_for(peer, wanted)
            elif size + len(blob) <= MAX_ANSWER_BYTES:
                size += len(blob)
                found.append(blob)
        answer: list[RecordAction] = [Answer(peer, tuple(found))] if found else []
        return [*answer, *self._pulls.ask(now.mono)]

    def want(self, node_id: NodeId, now: Instant) -> list[RecordAction]:
        """Somebody wants to seal to a node; `Learned` tells when what lacks for that came."""
        self._pull_body(node_id)
        known = self.get(node_id)
        if known is not None and known.kem is not None:
            self._kems.move_to_end(node_id)
        elif known is not None and known.kem_hash:
            self._pulls.want(known.kem_hash, node_id)
        return [*self._pulls.ask(now.mono)]

    @property
    def next_timer(self) -> float | None:
        """When to call `timer`, in monotonic seconds; None = no need."""
        due = [at for at in (self._pulls.next_timer, self._sweep_at) if at is not None]
        return min(due, default=None)

    def timer(self, now: Instant) -> list[RecordAction]:
        """Ask again for what did not come, and forget what is of no use any more."""
        if self._sweep_at is not None and self._sweep_at <= now.mono:
            self._sweep(now)
        return [*self._pulls.timer(now.mono)]

    # --- Questions ---------------------------------------------------------------------------

    def is_wanted(self, wanted: bytes) -> bool:
        """Tell whether what has this hash is missing still."""
        return wanted in self._pulls

    def get(self, node_id: NodeId) -> KnownNode | None:
        """Return what is known of a node; it may be expired."""
        entry = self._nodes.get(node_id)
        return entry.known if entry is not None else None

    def claimants(self, name: str, now: Instant) -> list[NodeId]:
        """Return the nodes whose record is not expired and claims a name, sorted."""
        time_s = self._clock.time(now)
        return sorted(
            node_id
            for node_id in self._names.get(self._name_key(name), ())
            if (known := self.get(node_id)) is not None and not known.is_expired(time_s)
        )

    def find(self, pattern: str, now: Instant) -> list[tuple[NodeId, str]]:
        """Return `(node id, capability)` that match a shell-style, case-sensitive pattern.

        Only nodes with a route and a record that is not expired are asked, sorted by id.
        """
        time_s = self._clock.time(now)
        return [
            (node_id, capability)
            for node_id in sorted(self._nodes)
            if (entry := self._nodes.get(node_id)) is not None
            and entry.is_routed
            and entry.known is not None
            and not entry.known.is_expired(time_s)
            for capability in entry.known.capabilities
            if fnmatchcase(capability, pattern)
        ]

    # --- Keeping -----------------------------------------------------------------------------

    def _put(self, origin: NodeId, entry: Entry) -> None:
        self._nodes.put(origin, entry)
        self._list(entry.beacon.record_hash, origin)

    def _renew(self, origin: NodeId, entry: Entry, beacon: Beacon, peer: NodeId) -> None:
        """Take over a newer beacon; the record of the last one counts until the new body comes."""
        has_same_body = beacon.record_hash == entry.beacon.record_hash
        self._nodes.remove(origin)
        if not has_same_body:
            self._unlist(entry.beacon.record_hash, origin)
            entry.is_unreadable = False
        entry.beacon = beacon
        entry.charged_to = peer
        if entry.known is not None and has_same_body:
            entry.known = msgspec.structs.replace(
                entry.known, sequence=beacon.sequence, expiry_s=beacon.expiry_s
            )
        self._put(origin, entry)

    def _want_for(self, peer: NodeId, wanted: bytes) -> None:
        """Ask for something on behalf of a neighbour, if a node lists it."""
        for origin in self._listed.get(wanted, ()):
            entry = self._nodes.get(origin)
            if entry is not None and not entry.is_unreadable:
                self._pulls.want(wanted, origin, peer)
                return

    def _pull_body(self, origin: NodeId) -> None:
        entry = self._nodes.get(origin)
        if entry is None or entry.is_unreadable:
            return
        if not entry.body or sha256(entry.body).digest() != entry.beacon.record_hash:
            self._pulls.want(entry.beacon.record_hash, origin)

    def _learn(self, origin: NodeId, known: bytes, blob: bytes) -> bool:
        """Take over a body or key; False if it cannot be used or kept."""
        entry = self._nodes.get(origin)
        if entry is None:
            return False
        if known != entry.beacon.record_hash:
            return self._learn_kem(origin, entry, blob)
        try:
            record = decode_node_record(blob)
        except RemoteProtocolError:
            self._count("malformed")
            entry.is_unreadable = True
            return False
        if not self._make_room(entry.charged_to, len(blob) - len(entry.body), origin):
            return False
        self._unname(origin, entry, kept_kem=record.kem_hash)
        self._nodes.remove(origin)
        entry.learn(blob, record)
        self._nodes.put(origin, entry)
        self._names.setdefault(self._name_key(record.name), set()).add(origin)
        if record.kem_hash:
            self._list(record.kem_hash, origin)
        return True

    def _learn_kem(self, origin: NodeId, entry: Entry, blob: bytes) -> bool:
        if entry.known is None or not is_kem_key(blob):
            self._count("malformed")
            return False
        entry.known = msgspec.structs.replace(entry.known, kem=blob)
        self._kems[origin] = None
        self._kems.move_to_end(origin)
        while len(self._kems) > self._limits.max_kem_keys:
            oldest, _ = self._kems.popitem(last=False)
            kept = self._nodes.get(oldest)
            if kept is not None and kept.known is not None:
                kept.known = msgspec.structs.replace(kept.known, kem=None)
        return True

    def _make_room(self, peer: NodeId, more_bytes: int, origin: NodeId) -> bool:
        victims = self._nodes.make_room(peer, more_bytes, origin)
        if victims is None:
            self._count("no_room")
            return False
        for victim in victims:
            self._count("pushed_out")
            self._forget(victim)
        return True

    def _forget(self, origin: NodeId) -> None:
        entry = self._nodes.remove(origin)
        if entry is not None:
            self._unname(origin, entry)
            self._unlist(entry.beacon.record_hash, origin)
            self._kems.pop(origin, None)

    def _sweep(self, now: Instant) -> None:
        self._sweep_at = now.mono + SWEEP_EVERY_S
        time_s = self._clock.time(now)
        for node_id in list(self._nodes):
            entry = self._nodes.get(node_id)
            if entry is None or entry.is_routed or self._is_pinned(node_id):
                continue
            if time_s > entry.beacon.expiry_s:
                self._forget(node_id)

    # --- Indexes -----------------------------------------------------------------------------

    def _blob(self, wanted: bytes) -> bytes | None:
        blob = self._own.get(wanted)
        if blob is not None:
            return blob
        for origin in self._listed.get(wanted, ()):
            entry = self._nodes.get(origin)
            if entry is None or entry.known is None:
                continue
            if wanted == entry.known.kem_hash and entry.known.kem is not None:
                return entry.known.kem
            if wanted == entry.beacon.record_hash == sha256(entry.body).digest():
                return entry.body
        return None

    def _list(self, known: bytes, origin: NodeId) -> None:
        self._listed.setdefault(known, set()).add(origin)

    def _unlist(self, known: bytes, origin: NodeId) -> None:
        origins = self._listed.get(known, set())
        origins.discard(origin)
        if not origins:
            self._listed.pop(known, None)
            for _ in self._pulls.settle(known):
                self._count("given_up")

    def _unname(self, origin: NodeId, entry: Entry, kept_kem: bytes = b"") -> None:
        """Forget which name and key the record of an entry listed, but for a key it still lists."""
        if entry.known is None:
            return
        key = self._name_key(entry.known.name)
        self._names.get(key, set()).discard(origin)
        if not self._names.get(key):
            self._names.pop(key, None)
        if entry.known.kem_hash and entry.known.kem_hash != kept_kem:
            self._unlist(entry.known.kem_hash, origin)

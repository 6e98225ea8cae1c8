"""Parcels of several nodes in hands that drop, repeat, swap, alter and redirect them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.parcels import ALICE, BOB, MALLORY, keys_of, message, numbers, prekeys, sealer

from ironmesh.crypto.identity import Identity
from ironmesh.errors import RemoteProtocolError
from ironmesh.session.parcels.inbox import ParcelInbox
from ironmesh.session.parcels.prekeys import Prekeys
from ironmesh.session.parcels.sealing import open_parcel
from ironmesh.session.parcels.writer import ParcelWriter
from ironmesh.types import NodeId

PREKEYS = {node.node_id: prekeys(node.node_id) for node in (ALICE, BOB, MALLORY)}
NODES = (ALICE, BOB, MALLORY)


@dataclass
class Reader:
    """A node that opens whatever it is given."""

    own: Identity
    keys: Prekeys
    inbox: ParcelInbox
    heard: dict[NodeId, list[int]] = field(default_factory=dict)
    refused: int = 0

    def take(self, parcel: bytes, now: float) -> None:
        try:
            opened = open_parcel(parcel, self.keys, self.own)
        except RemoteProtocolError:
            self.refused += 1
            return
        taken = self.inbox.take(opened.source, opened.content, now, is_fresh=opened.is_fresh)
        for one in taken.messages:
            assert (one.source, one.destination) == (opened.source, self.own.node_id)
            assert one.payload == f"{one.source} to {one.destination}".encode()
        self.heard.setdefault(opened.source, []).extend(numbers(taken.messages))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_whatever_is_done_to_parcels_each_node_reads_a_beginning_of_what_each_other_wrote(
    seed: int,
) -> None:
    rng = random.Random(seed)
    pairs = [(one, other) for one in NODES for other in NODES if one is not other]
    ways = {
        (one.node_id, other.node_id): (
            ParcelWriter(one.node_id, other.node_id, 100),
            sealer(one, keys_of(other, PREKEYS[other.node_id], is_hybrid=rng.random() < 0.3)),
        )
        for one, other in pairs
    }
    readers = [Reader(node, PREKEYS[node.node_id], ParcelInbox(node.node_id)) for node in NODES]
    written = dict.fromkeys(ways, 0)
    seen: list[bytes] = []
    for step in range(150):
        if rng.random() < 0.4 or not seen:
            way = rng.choice(list(ways))
            writer, seal = ways[way]
            source, destination = way
            text = f"{source} to {destination}".encode()
            sent = message(written[way], text, source=source, destination=destination)
            written[way] += 1
            seen.append(seal(writer.write([sent])[0].content))
        parcel = rng.choice(seen[-12:])
        if rng.random() < 0.3:
            changed = bytearray(parcel)
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
            parcel = bytes(changed)
        for reader in rng.sample(readers, rng.randint(1, 3)):
            reader.take(parcel, step / 1000)
    for reader in readers:
        for other in NODES:
            heard = reader.heard.get(other.node_id, [])
            assert heard == list(range(len(heard)))
            way = (other.node_id, reader.own.node_id)
            assert len(heard) <= written.get(way, 0)
    assert sum(reader.refused for reader in readers) > 0


def test_what_was_not_sealed_by_anybody_is_not_read() -> None:
    reader = Reader(BOB, PREKEYS[BOB.node_id], ParcelInbox(BOB.node_id))
    rng = random.Random(1)
    current = PREKEYS[BOB.node_id].current
    assert current is not None
    for _ in range(200):
        head = b"\x01" + current.number.to_bytes(4, "big")
        reader.take(head + rng.randbytes(rng.randint(0, 400)), 0)
    assert (reader.refused, reader.heard) == (200, {})

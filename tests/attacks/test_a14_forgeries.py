"""A14: routes, capabilities, receipts, records, revocations for somebody else; old ones put back.

The liar is an insider with good sessions. It may lie about its own distance, and so lose messages,
which the missing receipt shows; it never reads or alters them, and speaks for nobody but itself.
"""

from __future__ import annotations

import os
from hashlib import sha256

import msgspec
import pytest
from tests.support.attacker import PLAIN
from tests.support.liar import Liar, know_each_other, knows, liar_between
from tests.support.nodes import Live, Nodes, eventually

from ironmesh.crypto.identity import Identity
from ironmesh.errors import UnknownPeerError
from ironmesh.mesh.beacons import make_beacon
from ironmesh.mesh.revocations import make_revocation
from ironmesh.types import MeshType, MessageType
from ironmesh.wire import receipts
from ironmesh.wire.native import routes
from ironmesh.wire.native.beacons import Beacon
from ironmesh.wire.native.noderecords import (
    NodeRecord,
    decode_node_record,
    encode_blobs,
    encode_node_record,
    is_kem_key,
)
from ironmesh.wire.native.revocations import Revocation, encode_revocations
from ironmesh.wire.native.routes import RouteEntry, Routes
from ironmesh.wire.receipts import Receipt, Verdict

BODY = b"what alice says to bob"
LATER = 1 << 40


async def pair(nodes: Nodes) -> tuple[Live, Live]:
    """Start two nodes that have no session with each other."""
    return await nodes.start("alice", **PLAIN), await nodes.start("bob", **PLAIN)


def suspicions(live: Live, what: str) -> int:
    return live.node.counters[f"mesh.suspicious.{what}"]


async def still_talks(alice: Live, bob: Live, count: int = 1) -> None:
    """Show that what was forged changed nothing between them."""
    _, message_id = await alice.node.send(bob.id, BODY)
    assert (await alice.node.outgoing.wait_end(message_id)).state.value == "delivered"
    assert bob.texts == [BODY.decode()] * count


# --- Beacons and routes --------------------------------------------------------------------------


async def test_a14_a_beacon_for_another_node_is_refused(nodes: Nodes) -> None:
    alice, bob = await pair(nodes)
    async with liar_between(alice, bob) as liar:
        await know_each_other(alice, bob)
        true = liar.beacons[bob.id]
        forged = make_beacon(
            liar.own.identity, true.sequence + LATER, true.expiry_s, true.record_hash
        )
        for beacon in (
            msgspec.structs.replace(true, sequence=true.sequence + 1),
            msgspec.structs.replace(true, sequence=true.sequence + 2, record_hash=bytes(32)),
            msgspec.structs.replace(true, sequence=true.sequence + 3, signature=bytes(64)),
            msgspec.structs.replace(forged, public=true.public),
        ):
            await liar.announce(alice, beacon)
        await eventually(lambda: suspicions(alice, "forged_beacon") == 4)
        await still_talks(alice, bob)
    assert alice.audited().count("MESSAGE_REFUSED") >= 1


async def test_a14_a_distance_of_0_to_another_node_is_refused(nodes: Nodes) -> None:
    alice, bob = await pair(nodes)
    async with liar_between(alice, bob) as liar:
        await know_each_other(alice, bob)
        await liar.announce(alice, liar.beacons[bob.id], metric=0, hops=0)
        await eventually(lambda: suspicions(alice, "claimed_origin") == 1)
        await still_talks(alice, bob)


async def test_a14_a_route_with_a_number_that_its_node_did_not_sign_is_refused(
    nodes: Nodes,
) -> None:
    alice, bob = await pair(nodes)
    async with liar_between(alice, bob) as liar:
        await know_each_other(alice, bob)
        entry = RouteEntry(bob.id, liar.beacons[bob.id].sequence + LATER, 1, 1)
        said = routes.encode_routes(Routes(routes=(entry,)))
        await liar.say(alice, MeshType.ROUTES, said)
        await eventually(lambda: suspicions(alice, "unproved_sequence") == 1)
        await still_talks(alice, bob)


async def test_a14_a_lie_about_a_distance_loses_messages_and_shows(nodes: Nodes) -> None:
    """The liar says that it is near bob, and drops everything; another way is used in the end."""
    alice, bob = await pair(nodes)
    relay = await nodes.start("relay", **PLAIN)
    await alice.dial(relay)
    async with liar_between(alice, bob, tamper=lambda _: [], is_telling=False) as liar:
        await eventually(lambda: bob.id in liar.beacons)
        await liar.announce(alice, liar.beacons[bob.id], metric=1)
        await knows(alice, bob)
        _, message_id = await alice.node.send(bob.id, BODY)
        await eventually(lambda: bool(liar.parcels))
        ending = alice.node.outgoing.ending(message_id)
        assert ending is not None
        assert ending.state.value == "queued"
        await relay.dial(bob)
        assert (await alice.node.outgoing.wait_end(message_id)).state.value == "delivered"
        assert bob.received[0].via == relay.id


async def test_a14_our_own_beacon_cannot_be_raised_by_others(nodes: Nodes) -> None:
    alice, bob = await pair(nodes)
    async with liar_between(alice, bob) as liar:
        await know_each_other(alice, bob)
        true = liar.beacons[alice.id]
        forged = msgspec.structs.replace(true, sequence=true.sequence + LATER)
        await liar.announce(alice, forged)
        await liar.announce(alice, true)
        await still_talks(alice, bob)
        assert liar.beacons[alice.id].sequence < true.sequence + LATER
    assert "IDENTITY_CLONED" not in alice.audited()


# --- Records and capabilities --------------------------------------------------------------------


def _with_root(blob: bytes) -> bytes:
    """Return a record that can do more than its node said."""
    if is_kem_key(blob):
        return blob
    record = decode_node_record(blob)
    return encode_node_record(msgspec.structs.replace(record, capabilities=("root",)))


async def test_a14_a_record_that_was_changed_on_its_way_is_left(nodes: Nodes) -> None:
    alice, bob = await pair(nodes)
    is_lying = [True]

    def rewrite(blob: bytes) -> bytes:
        return _with_root(blob) if is_lying else blob

    async with liar_between(alice, bob, rewrite=rewrite) as liar:
        await eventually(lambda: bool(liar.blobs.get(bob.id)))
        await eventually(lambda: alice.node.counters["mesh.records_unasked"] > 0)
        assert alice.node.mesh is not None
        assert alice.node.mesh.capabilities("*") == []
        assert alice.node.mesh.claimants("bob") == []
        is_lying.clear()
        await liar.say(alice, MeshType.NODE_RECORDS, encode_blobs(liar.blobs[bob.id]))
        await know_each_other(alice, bob)
        await still_talks(alice, bob)


async def test_a14_what_nobody_asked_for_is_left(nodes: Nodes) -> None:
    alice, bob = await pair(nodes)
    async with liar_between(alice, bob) as liar:
        await know_each_other(alice, bob)
        await liar.say(
            alice, MeshType.NODE_RECORDS, encode_blobs(map(_with_root, liar.blobs[bob.id]))
        )
        await eventually(lambda: alice.node.counters["mesh.records_unasked"] > 0)
        await still_talks(alice, bob)
        assert alice.node.mesh is not None
        assert alice.node.mesh.capabilities("root") == []


async def test_a14_an_old_record_that_is_put_back_changes_nothing(nodes: Nodes) -> None:
    alice, bob = await pair(nodes)
    async with liar_between(alice, bob) as liar:
        await know_each_other(alice, bob)
        assert alice.node.mesh is not None
        mesh = alice.node.mesh
        bob.node.capabilities.advertise("printer")
        await eventually(lambda: mesh.capabilities("printer") == [(bob.id, "printer")])
        old_beacon, old_blobs = liar.beacons[bob.id], list(liar.blobs[bob.id])
        bob.node.capabilities.withdraw("printer")
        await eventually(lambda: mesh.capabilities("printer") == [])
        await liar.announce(alice, old_beacon)
        await liar.say(alice, MeshType.NODE_RECORDS, encode_blobs(old_blobs))
        await still_talks(alice, bob)
        assert mesh.capabilities("printer") == []


# --- Names ---------------------------------------------------------------------------------------


async def _claims(liar: Liar, to: Live, name: str) -> Identity:
    """Let a node that does not exist claim a name."""
    claimant = Identity.generate(os.urandom)
    body = encode_node_record(NodeRecord(name, ("root",), 7, os.urandom(32)))
    beacon: Beacon = make_beacon(claimant, LATER, 2**39, sha256(body).digest())
    await liar.announce(to, beacon)
    await eventually(
        lambda: any(
            message.type == MeshType.RECORD_REQUEST and beacon.record_hash in message.payload
            for message in liar.heard
        )
    )
    await liar.say(to, MeshType.NODE_RECORDS, encode_blobs([body]))
    return claimant


async def test_a14_a_name_that_two_nodes_claim_leads_nowhere(nodes: Nodes) -> None:
    alice, bob = await pair(nodes)
    async with liar_between(alice, bob) as liar:
        await know_each_other(alice, bob)
        other = await _claims(liar, alice, "bob")
        assert alice.node.mesh is not None
        mesh = alice.node.mesh
        await eventually(lambda: mesh.claimants("bob") == sorted([bob.id, other.node_id]))
        with pytest.raises(UnknownPeerError):
            await alice.node.send("bob", BODY)
        await still_talks(alice, bob)


async def test_a14_a_pinned_name_leads_to_its_key_whoever_claims_it(nodes: Nodes) -> None:
    alice, bob = await pair(nodes)
    async with liar_between(alice, bob) as liar:
        await know_each_other(alice, bob)
        await bob.node.send("alice", b"pins bob's key at alice's")
        await alice.has_received(1)
        other = await _claims(liar, alice, "bob")
        assert alice.node.mesh is not None
        mesh = alice.node.mesh
        await eventually(lambda: other.node_id in mesh.claimants("bob"))
        destination, message_id = await alice.node.send("bob", BODY)
        assert destination == bob.id
        assert (await alice.node.outgoing.wait_end(message_id)).state.value == "delivered"


# --- Receipts and revocations --------------------------------------------------------------------


async def test_a14_a_receipt_for_a_message_to_another_node_is_ignored_and_audited(
    nodes: Nodes,
) -> None:
    alice, bob = await pair(nodes)
    is_silent = [True]
    async with liar_between(
        alice, bob, tamper=lambda parcel: [] if is_silent else [parcel]
    ) as liar:
        await know_each_other(alice, bob)
        _, message_id = await alice.node.send(bob.id, BODY)
        await eventually(lambda: bool(liar.parcels))
        said = receipts.encode([Receipt(Verdict.ACCEPTED, (message_id,))])
        await liar.say(alice, MessageType.ACK, said)
        await eventually(lambda: alice.node.counters["refused.forged_receipt"] == 1)
        ending = alice.node.outgoing.ending(message_id)
        assert ending is not None
        assert ending.state.value == "queued"
        is_silent.clear()
        assert (await alice.node.outgoing.wait_end(message_id)).state.value == "delivered"
    assert "MESSAGE_REFUSED" in alice.audited()


async def test_a14_nobody_revokes_another_node(nodes: Nodes) -> None:
    alice, bob = await pair(nodes)
    async with liar_between(alice, bob) as liar:
        await know_each_other(alice, bob)
        await still_talks(alice, bob)
        public = liar.beacons[bob.id].public
        by_liar = make_revocation(liar.own.identity, public, 1_767_225_600)
        unsigned = Revocation(public, public, 1_767_225_600, by_liar.signature)
        await liar.say(alice, MessageType.REVOCATION, encode_revocations([by_liar, unsigned]))
        await eventually(lambda: alice.node.counters["mesh.revocations_refused"] == 2)
        await still_talks(alice, bob, 2)
    assert not alice.node.trust.is_revoked(bob.id)

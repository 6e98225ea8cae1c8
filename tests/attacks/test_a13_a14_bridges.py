"""A13 and A14 at the bridge: a member of the mesh that says what published nodes wrote."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec import UNSET
from tests.support import legacy
from tests.support.attacker import CLOCK, PLAIN, Peer, dialling, message, party
from tests.support.hostile_relay import hostile_relay
from tests.support.nodes import LEGACY, Live, Nodes, eventually

from ironmesh.errors import DeliveryError
from ironmesh.mesh.legacy import behind
from ironmesh.session.legacy.sources import originate
from ironmesh.session.native.channel import NativeChannel
from ironmesh.types import BRIDGED, Message, MessageId, NodeId
from ironmesh.wire.legacy import bridged, inner, source
from ironmesh.wire.legacy.bridged import Bridged
from ironmesh.wire.legacy.inner import Inner
from ironmesh.wire.receipts import join_id

CAROL, DAVE = legacy.identity("carol"), legacy.identity("dave")
"""Nodes of the 0.8 wire."""
NUMBERS = itertools.count(1)


def from_carol(destination: NodeId, payload: bytes = b"it is me") -> Inner:
    """Return what carol wrote, as a bridge hands it over."""
    written = Message(MessageId(os.urandom(16)), "MSG", payload, CAROL.node_id, destination)
    said = originate(CAROL, written, seal_to=None, max_hops=5)
    return msgspec.structs.replace(said, ttl=4, hops=("b" * 32,))


async def hand(peer: Peer, channel: NativeChannel, own: Any, node: Live, payload: bytes) -> None:
    """Hand something over as a bridge."""
    message_id = join_id(b"an epoch", next(NUMBERS))
    said = message(own, node.id, payload, type=BRIDGED, id=message_id)
    await peer.say(*channel.seal([said], CLOCK.now()))


async def test_a13_an_honest_bridge_changes_nothing_of_who_wrote_it(nodes: Nodes) -> None:
    alice, own = await nodes.start("alice", **PLAIN), party("bridge")
    async with dialling(alice) as peer:
        channel = await peer.join(own)
        body = bridged.encode(Bridged(CAROL.public, from_carol(alice.id)))
        await hand(peer, channel, own, alice, body)
        assert await alice.has_received(1) == ["it is me"]
    (event,) = alice.received
    assert (event.message.source, event.via) == (CAROL.node_id, own.identity.node_id)
    assert event.is_legacy


FORGERIES: dict[str, tuple[Callable[[Inner], Inner], bytes]] = {
    "body": (lambda said: msgspec.structs.replace(said, payload=b"x"), CAROL.public),
    "re-attributed": (
        lambda said: msgspec.structs.replace(said, source=DAVE.node_id),
        DAVE.public,
    ),
    "another key": (lambda said: said, DAVE.public),
    "signed by another": (
        lambda said: msgspec.structs.replace(
            said,
            source_signature=DAVE.sign(
                source.signed_v2(said.source, said.destination, said.msg_id, said.payload)
            ),
        ),
        DAVE.public,
    ),
    "unsigned": (lambda said: msgspec.structs.replace(said, source_signature=UNSET), CAROL.public),
    "id": (lambda said: msgspec.structs.replace(said, msg_id="another"), CAROL.public),
}


@pytest.mark.parametrize("how", FORGERIES)
async def test_a13_what_a_bridge_makes_up_is_refused_and_audited(nodes: Nodes, how: str) -> None:
    alice, own = await nodes.start("alice", **PLAIN), party("bridge")
    forge, public = FORGERIES[how]
    async with dialling(alice) as peer:
        channel = await peer.join(own)
        body = bytes((bridged.VERSION,)) + public + inner.encode(forge(from_carol(alice.id)))
        await hand(peer, channel, own, alice, body)
        await eventually(lambda: alice.node.counters["refused.source_forged"] == 1)
    assert alice.received == []
    assert "MESSAGE_REFUSED" in alice.audited()


async def test_a13_a_bridge_cannot_pass_off_a_message_for_another_node(nodes: Nodes) -> None:
    alice, own = await nodes.start("alice", **PLAIN), party("bridge")
    async with dialling(alice) as peer:
        channel = await peer.join(own)
        stolen = msgspec.structs.replace(from_carol(DAVE.node_id), destination=alice.id)
        await hand(peer, channel, own, alice, bridged.encode(Bridged(CAROL.public, stolen)))
        await eventually(lambda: alice.node.counters["refused.source_forged"] == 1)
    assert alice.received == []


async def test_a13_a_native_node_is_never_heard_through_a_bridge(nodes: Nodes) -> None:
    """Not even rightly signed: who speaks our own wire is not talked down to the other one."""
    alice = await nodes.start("alice", **PLAIN)
    victim, own = party("victim"), party("bridge")
    async with dialling(alice) as met:
        await met.join(victim)
    written = Message(
        MessageId(os.urandom(16)), "MSG", b"talked down", victim.identity.node_id, alice.id
    )
    said = originate(victim.identity, written, seal_to=None, max_hops=5)
    async with dialling(alice) as peer:
        channel = await peer.join(own)
        body = bridged.encode(Bridged(victim.identity.public, said))
        await hand(peer, channel, own, alice, body)
        await eventually(lambda: alice.node.counters["refused.downgraded"] == 1)
    assert alice.received == []


@pytest.mark.parametrize("body", [b"", b"\1", b"\2" + bytes(100), b"\1" + bytes(32) + b"{}"])
async def test_a15_what_is_no_bridged_message_is_refused_and_the_next_one_is_taken(
    nodes: Nodes, body: bytes
) -> None:
    alice, own = await nodes.start("alice", **PLAIN), party("bridge")
    async with dialling(alice) as peer:
        channel = await peer.join(own)
        await hand(peer, channel, own, alice, body)
        good = bridged.encode(Bridged(CAROL.public, from_carol(alice.id)))
        await hand(peer, channel, own, alice, good)
        assert await alice.has_received(1) == ["it is me"]


async def test_a14_a_bridge_that_is_none_gets_what_it_cannot_open(nodes: Nodes) -> None:
    """It may say that somebody stands behind it; the key in its word belongs to the id alone."""
    alice = await nodes.start("alice", **PLAIN)
    liar = await nodes.start("liar", **PLAIN, capabilities=(behind.token(CAROL.public, "carol"),))
    await alice.dial(liar)
    await eventually(lambda: bool(alice.node.capabilities.find("legacy:*")))
    _node, message_id = await alice.node.send(CAROL.node_id, b"for carol and nobody else")
    ending = await alice.node.outgoing.wait_end(message_id)
    assert ending.state.value == "sent", "no more is known of a node that confirms nothing"
    assert liar.received == []


async def test_a15_a_member_cannot_fill_a_bridge_with_messages_for_nobody(nodes: Nodes) -> None:
    bridge = await nodes.start("bridge", **PLAIN, **LEGACY)
    own = party("flooder")
    async with dialling(bridge) as peer:
        channel = await peer.join(own)
        for number in range(20):
            nobody = NodeId(f"{number:032x}")
            written = Message(MessageId(os.urandom(16)), "MSG", b"x", own.identity.node_id, nobody)
            said = originate(own.identity, written, seal_to=None, max_hops=5)
            body = bridged.encode(Bridged(own.identity.public, said))
            await hand(peer, channel, own, bridge, body)
        await eventually(lambda: bridge.node.counters["refused.not_for_us"] == 20)
    assert bridge.node.counters["bridge.handed_over"] == 0
    assert all(bridge.node.outgoing.count(NodeId(f"{number:032x}")) == 0 for number in range(20))


# --- What goes the other way ---------------------------------------------------------------------


async def test_a13_a_bridge_of_ours_reads_nothing_of_what_goes_to_a_published_node(
    nodes: Nodes,
) -> None:
    alice = await nodes.start("alice", **PLAIN)
    bridge = await nodes.start("bridge", **PLAIN, **LEGACY)
    await alice.dial(bridge)
    async with hostile_relay(bridge) as far:
        public = bridge.node.trust.public_key(alice.id)
        assert public is not None
        far.keys[alice.id] = public
        await eventually(lambda: bool(alice.node.capabilities.find("legacy:*")))
        _node, message_id = await alice.node.send(far.node_id, b"sealed for the far end")
        await eventually(lambda: any(one.type == "MSG" for one in far.said))
        ending = await alice.node.outgoing.wait_end(message_id)
    (got,) = [one for one in far.said if one.type == "MSG"]
    assert (got.source, got.payload) == (alice.id, b"sealed for the far end")
    assert ending.state.value == "sent"
    assert bridge.received == []


async def test_a13_without_a_key_nothing_is_queued_for_relays_of_the_08_wire(nodes: Nodes) -> None:
    alice = await nodes.start("alice", **PLAIN, **LEGACY)
    async with hostile_relay(alice) as relay:
        await relay.announce(CAROL.node_id)
        await relay.tell(alice.id, "MSG", b"the routes are there")
        await alice.has_received(1)
        with pytest.raises(DeliveryError, match="--allow-plain-relay"):
            await alice.node.send(CAROL.node_id, b"nobody else may read this")
        assert alice.node.outgoing.count(CAROL.node_id) == 0
    assert b"nobody else" not in relay.recorded()


async def test_relays_read_what_the_operator_allows_them_to_read(nodes: Nodes) -> None:
    alice = await nodes.start("alice", **PLAIN, **LEGACY, allow_plain_relay=True)
    async with hostile_relay(alice) as relay:
        await relay.announce(CAROL.node_id)
        await alice.node.send(CAROL.node_id, b"whoever wants to may read this")
        (said,) = await relay.heard_for(CAROL.node_id, "MSG")
    assert said.payload == b"whoever wants to may read this"

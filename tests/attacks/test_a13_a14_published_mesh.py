"""A13 and A14 on the 0.8 wire: relays and neighbours that speak for somebody else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import UNSET
from tests.support import legacy
from tests.support.attacker import PLAIN
from tests.support.hostile_relay import CLOCK, HostileRelay, hostile_relay
from tests.support.nodes import LEGACY, Live, Nodes, eventually

from ironmesh.crypto import sodium
from ironmesh.node.events import PeerOffline
from ironmesh.session.legacy.sources import originate
from ironmesh.types import Message, MessageId, NodeId
from ironmesh.wire.legacy.constants import TUNNEL_TYPE
from ironmesh.wire.legacy.inner import Inner
from ironmesh.wire.legacy.mesh import (
    CapabilityAnnounce,
    RouteEntry,
    RouteUnreachable,
    decode_route_announce,
    encode_capability_announce,
    encode_route_unreachable,
)

CAROL, DAVE = legacy.identity("carol"), legacy.identity("dave")
"""Nodes far away, whose keys alice has."""


async def relayed_to(nodes: Nodes) -> Live:
    alice = await nodes.start("alice", **PLAIN, **LEGACY)
    for identity, name in ((CAROL, "carol"), (DAVE, "dave")):
        alice.node.decisions.pin(identity.public, name, is_verified=False)
    return alice


def from_carol(alice: Live, payload: bytes = b"it is me", **changes: Any) -> Inner:
    """Return a frame of carol's for alice, as it reaches her over the relay."""
    written = Message(
        MessageId(sodium.sha256(payload)[:16]), "MSG", payload, CAROL.node_id, alice.id
    )
    said = originate(CAROL, written, seal_to=None, max_hops=5)
    return msgspec.structs.replace(
        said, timestamp=CLOCK.now().wall, ttl=4, hops=(legacy.identity("mallory").node_id,)
    )


# --- A13 -----------------------------------------------------------------------------------------


async def test_a13_on_the_08_wire_an_honest_relay_changes_nothing_of_who_wrote_it(
    nodes: Nodes,
) -> None:
    alice = await relayed_to(nodes)
    async with hostile_relay(alice) as relay:
        await relay.hand(alice.id, from_carol(alice))
        assert await alice.has_received(1) == ["it is me"]
    (event,) = alice.received
    assert (event.message.source, event.via) == (CAROL.node_id, relay.node_id)
    assert (event.source_name, event.is_legacy) == ("carol", True)


@pytest.mark.parametrize(
    "changes",
    [
        {"payload": b"something else"},
        {"source": DAVE.node_id},
        {"msg_id": "3b0f2f5e-6a55-4a67-9a7c-0d4f5b1d9a11"},
        {"source_signature": UNSET},
        {"source_signature": bytes(64)},
        {"source_sig_scheme": "v9"},
        {"hops": ()},
    ],
    ids=["body", "re-attributed", "id", "unsigned", "signature", "scheme", "as its own"],
)
async def test_a13_on_the_08_wire_what_a_relay_alters_is_refused_and_audited(
    nodes: Nodes, changes: dict[str, Any]
) -> None:
    alice = await relayed_to(nodes)
    async with hostile_relay(alice) as relay:
        await relay.hand(alice.id, msgspec.structs.replace(from_carol(alice), **changes))
        await relay.hand(alice.id, from_carol(alice, b"afterwards"))
        await alice.has_received(1)
    assert alice.texts == ["afterwards"]
    assert alice.node.counters["refused.source_forged"] == 1
    assert "MESSAGE_REFUSED" in alice.audited()


async def test_a13_on_the_08_wire_a_message_of_a_known_node_for_another_is_not_redirected(
    nodes: Nodes,
) -> None:
    alice = await relayed_to(nodes)
    async with hostile_relay(alice) as relay:
        for_dave = Message(MessageId(bytes(16)), "MSG", b"for dave", CAROL.node_id, DAVE.node_id)
        said = originate(CAROL, for_dave, seal_to=None, max_hops=5)
        stolen = msgspec.structs.replace(
            said, destination=alice.id, timestamp=CLOCK.now().wall, hops=(relay.node_id,)
        )
        await relay.hand(alice.id, stolen)
        await relay.hand(alice.id, from_carol(alice, b"afterwards"))
        await alice.has_received(1)
    assert alice.texts == ["afterwards"]


async def test_a13_on_the_08_wire_what_a_relay_repeats_is_taken_once(nodes: Nodes) -> None:
    alice = await relayed_to(nodes)
    async with hostile_relay(alice) as relay:
        said = from_carol(alice, b"once")
        await relay.hand(alice.id, said)
        await alice.has_received(1)
        again = msgspec.structs.replace(said, timestamp=CLOCK.now().wall, ttl=1)
        await relay.hand(alice.id, again)
        await relay.hand(alice.id, from_carol(alice, b"afterwards"))
        await alice.has_received(2)
    assert alice.texts == ["once", "afterwards"]


async def test_a13_on_the_08_wire_a_forged_twin_does_not_suppress_a_message(nodes: Nodes) -> None:
    alice = await relayed_to(nodes)
    async with hostile_relay(alice) as relay:
        real = from_carol(alice, b"the real one")
        await relay.hand(alice.id, msgspec.structs.replace(real, payload=b"the forged one"))
        await relay.hand(alice.id, real)
        assert await alice.has_received(1) == ["the real one"]


async def test_a13_on_the_08_wire_nobody_is_believed_whose_key_is_not_known(nodes: Nodes) -> None:
    alice = await nodes.start("alice", **PLAIN, **LEGACY)
    async with hostile_relay(alice) as relay:
        await relay.hand(alice.id, from_carol(alice))
        await eventually(lambda: alice.node.counters["refused.source_unknown"] == 1)
    assert alice.received == []


async def test_a13_a_relay_of_the_08_wire_reads_nothing_of_a_message_of_ours(nodes: Nodes) -> None:
    alice = await relayed_to(nodes)
    async with hostile_relay(alice) as relay:
        await relay.announce(CAROL.node_id)
        await alice.node.send(CAROL.node_id, b"for carol and nobody else")
        (said,) = await relay.heard_for(CAROL.node_id, "MSG")
    assert said.payload == b""
    assert b"nobody else" not in relay.recorded()
    assert not isinstance(said.e2e_payload, msgspec.UnsetType)
    box_public = sodium.sign_public_to_box(CAROL.public)
    opened = sodium.seal_open(box_public, CAROL.box_secret(), said.e2e_payload)
    assert opened == b"for carol and nobody else"


async def test_a13_a_relay_of_the_08_wire_sees_no_word_and_no_name_in_a_tunnel(
    nodes: Nodes,
) -> None:
    alice, bob = await _two(nodes)
    async with hostile_relay(alice, bob) as relay:
        await relay.announce()
        await alice.online(bob)
        await bob.online(alice)
        await alice.node.send(bob.id, b"for bob and nobody else", "HEALTH")
        assert await bob.has_received(1) == ["for bob and nobody else"]
        assert bob.received[0].message.source == alice.id
    for secret in (b"nobody else", b"alice", b"bob", b"HEALTH"):
        assert secret not in relay.recorded()


async def test_a13_a_relay_that_tampers_with_a_tunnel_ends_it_and_loses_nothing(
    nodes: Nodes,
) -> None:
    alice, bob = await _two(nodes)
    async with hostile_relay(alice, bob) as relay:
        await relay.announce()
        await alice.online(bob)
        await bob.online(alice)
        spoilt: list[Inner] = []

        def spoil_one(said: Inner) -> list[Inner]:
            if said.type != TUNNEL_TYPE or spoilt:
                return [said]
            spoilt.append(said)
            changed = said.payload[:-1] + bytes((said.payload[-1] ^ 1,))
            return [msgspec.structs.replace(said, payload=changed)]

        relay.tamper = spoil_one
        await alice.node.send(bob.id, b"one")
        await eventually(lambda: bool(spoilt))
        await alice.seen.wait(PeerOffline, lambda event: event.node_id == bob.id)
        assert await bob.has_received(1) == ["one"]


async def _two(nodes: Nodes) -> tuple[Live, Live]:
    return (
        await nodes.start("alice", **PLAIN, **LEGACY),
        await nodes.start("bob", **PLAIN, **LEGACY),
    )


# --- A14 -----------------------------------------------------------------------------------------


async def told_of(relay: HostileRelay, alice: Live) -> dict[NodeId, int]:
    """Return the routes that alice announced last."""

    def announcements() -> list[Message]:
        return [message for message in relay.said if message.type == "ROUTE_ANNOUNCE"]

    await eventually(lambda: bool(announcements()), "an announcement")
    routes = decode_route_announce(announcements()[-1].payload).routes
    return {route.destination: route.cost for route in routes}


async def test_a14_on_the_08_wire_who_claims_to_be_another_nodes_place_is_not_believed(
    nodes: Nodes,
) -> None:
    """Cost 0 is what a node says of itself alone."""
    alice = await relayed_to(nodes)
    async with hostile_relay(alice) as relay:
        await relay.say_routes(alice.id, RouteEntry(relay.node_id, 0), RouteEntry(CAROL.node_id, 0))
        await eventually(lambda: alice.node.counters["refused.source_forged"] == 1)
        await alice.node.send(CAROL.node_id, b"waits")
        await relay.tell(alice.id, "MSG", b"afterwards")
        await alice.has_received(1)
    assert [said for said in relay.heard if said.destination == CAROL.node_id] == []
    assert "MESSAGE_REFUSED" in alice.audited()


async def test_a14_on_the_08_wire_routes_in_the_name_of_another_node_are_refused(
    nodes: Nodes,
) -> None:
    alice = await relayed_to(nodes)
    async with hostile_relay(alice) as relay:
        routes = (RouteEntry(DAVE.node_id, 0), RouteEntry(CAROL.node_id, 1))
        await relay.say_routes(alice.id, *routes, origin=DAVE.node_id)
        await eventually(lambda: alice.node.counters["refused.source_forged"] == 1)
        await alice.node.send(CAROL.node_id, b"waits")
        await relay.tell(alice.id, "MSG", b"afterwards")
        await alice.has_received(1)
    assert [said for said in relay.heard if said.destination == CAROL.node_id] == []


async def test_a14_on_the_08_wire_capabilities_in_the_name_of_another_node_are_ignored(
    nodes: Nodes,
) -> None:
    alice = await relayed_to(nodes)
    async with hostile_relay(alice) as relay:
        forged = CapabilityAnnounce(CAROL.node_id, ("tool:everything",))
        own = CapabilityAnnounce(relay.node_id, ("tool:one",))
        for announce in (forged, own):
            payload = encode_capability_announce(announce)
            await relay.tell(alice.id, "CAPABILITY_ANNOUNCE", payload)
        await eventually(lambda: bool(alice.node.capabilities.find("tool:one")))
    assert alice.node.capabilities.find("tool:everything") == []
    assert alice.node.counters["ignored.capability_of_another"] == 1


async def test_a14_on_the_08_wire_a_notice_that_nothing_leads_there_ends_no_message(
    nodes: Nodes,
) -> None:
    alice = await relayed_to(nodes)
    async with hostile_relay(alice) as relay:
        _node, message_id = await alice.node.send(CAROL.node_id, b"waits for a way")
        notice = encode_route_unreachable(RouteUnreachable(CAROL.node_id, "whatever"))
        await relay.tell(alice.id, "ROUTE_UNREACHABLE", notice)
        await eventually(lambda: alice.node.counters["legacy.unreachable"] == 1)
        await relay.announce(CAROL.node_id)
        await relay.heard_for(CAROL.node_id, "MSG")
        ending = await alice.node.outgoing.wait_end(message_id)
    assert ending.state.value == "sent", "more is not known of a node that confirms nothing"


async def test_a14_on_the_08_wire_a_neighbour_hears_of_native_nodes_and_not_of_itself(
    nodes: Nodes,
) -> None:
    alice = await relayed_to(nodes)
    bob = await nodes.start("bob", **PLAIN)
    await alice.dial(bob)
    async with hostile_relay(alice) as relay:
        assert await told_of(relay, alice) == {alice.id: 0, bob.id: 1}

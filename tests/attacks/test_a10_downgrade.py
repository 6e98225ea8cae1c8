"""A10: talking two nodes down: to another version, another profile, or to the 0.8 wire."""

from __future__ import annotations

import os
from contextlib import suppress

import pytest
from tests.support import legacy
from tests.support.attacker import (
    CLOCK,
    NEGOTIATED,
    PLAIN,
    Peer,
    dialled,
    dialling,
    in_the_middle,
    party,
    refusal_of_dial,
)
from tests.support.mallory import mallory
from tests.support.nodes import LEGACY, PASSPHRASE, Live, Nodes, eventually
from websockets.exceptions import ConnectionClosed

from ironmesh.config import LegacyMode
from ironmesh.crypto.identity import Identity
from ironmesh.session.legacy.client import ClientHandshake
from ironmesh.session.legacy.server import ServerHandshake
from ironmesh.session.native.initiator import InitiatorHandshake
from ironmesh.trust.pins import TrustState
from ironmesh.types import Refusal, Unit
from ironmesh.wire.native.constants import SUBPROTOCOL

pytestmark = pytest.mark.usefixtures("outer")


@pytest.mark.parametrize(
    ("version", "reason", "code"),
    [
        (4, Refusal.VERSION_TOO_OLD, 4003),
        (0, Refusal.VERSION_TOO_OLD, 4003),
        (6, Refusal.PROTOCOL, 4000),
    ],
)
async def test_a10_another_version_is_refused(
    nodes: Nodes, version: int, reason: Refusal, code: int
) -> None:
    bob = await nodes.start("bob", **PLAIN)
    (m1,) = InitiatorHandshake(party(), NEGOTIATED).start(CLOCK.now())
    async with dialling(bob) as peer:
        await peer.say(bytes([version]) + bytes(m1)[1:])
        assert await peer.hear_end() == ([], code)
    await bob.refused(reason)


async def test_a10_the_profile_without_post_quantum_keys_is_refused_off_the_radio(
    nodes: Nodes,
) -> None:
    bob = await nodes.start("bob", **PLAIN)
    (m1,) = InitiatorHandshake(party(), NEGOTIATED).start(CLOCK.now())
    async with dialling(bob) as peer:
        await peer.say(b"\x05\x02" + bytes(m1)[2:99])
        assert await peer.hear_end() == ([], 4000)
    await bob.refused(Refusal.NOT_ALLOWED)
    assert "PEER_REFUSED" in bob.audited()


@pytest.mark.parametrize(
    "offered", [("ironmesh.v6", SUBPROTOCOL), (SUBPROTOCOL, "other")], ids=["v6 put in", "more"]
)
async def test_a10_an_offer_that_was_changed_on_the_way_opens_no_proof(
    nodes: Nodes, offered: tuple[str, ...]
) -> None:
    alice, bob = await nodes.start("alice", **PLAIN), await nodes.start("bob", **PLAIN)
    async with in_the_middle(bob, protocols=offered) as middle:
        assert await refusal_of_dial(alice, middle.endpoint) is Refusal.AUTH_FAILED
    assert "AUTH_FAILED" in alice.audited()
    assert bob.node.trust.list_pins() == []


async def test_a10_two_native_nodes_that_allow_the_08_wire_are_not_talked_down_to_it(
    nodes: Nodes,
) -> None:
    alice = await nodes.start("alice", **PLAIN, **LEGACY)
    bob = await nodes.start("bob", **PLAIN, **LEGACY)
    async with in_the_middle(bob, protocols=(), chosen=None) as middle:
        await refusal_of_dial(alice, middle.endpoint)
        await bob.refused(Refusal.DOWNGRADED)
    assert "DOWNGRADE_DETECTED" in bob.audited()
    for live in (alice, bob):
        assert live.node.trust.list_pins() == []
        assert live.flaps() == []


async def test_a10_a_native_node_that_answers_a_dial_on_the_08_wire_is_refused(
    nodes: Nodes,
) -> None:
    alice = await nodes.start("alice", **PLAIN, **LEGACY)

    async def answer(near: Peer) -> None:
        own = legacy.settings(
            "bob", passphrase=PASSPHRASE, protocol_version="ironmesh/0.6.5", random=os.urandom
        )
        machine = ServerHandshake(own)
        await near.say(*machine.start(CLOCK.now()))
        while machine.claim is None:
            await near.say(*machine.receive(await near.hear(), CLOCK.now()))
        await near.say(*machine.accept(CLOCK.now()).units)
        await near.hear_end()

    async with dialled(answer, protocol="") as endpoint:
        assert await refusal_of_dial(alice, endpoint) is Refusal.DOWNGRADED
    assert "DOWNGRADE_DETECTED" in alice.audited()
    assert alice.node.trust.list_pins() == []


async def test_a10_the_mark_of_a_native_node_cannot_be_taken_out_of_its_hello(
    nodes: Nodes,
) -> None:
    alice = await nodes.start("alice", **PLAIN, **LEGACY)
    bob = await nodes.start("bob", **PLAIN, **LEGACY)

    def tamper(way: str, number: int, unit: Unit) -> list[Unit]:
        is_hello = isinstance(unit, str) and '"HELLO"' in unit
        return [legacy.rewrite(unit, protocol_version="ironmesh/0.6")] if is_hello else [unit]

    async with in_the_middle(bob, tamper, protocols=(), chosen=None) as middle:
        await refusal_of_dial(alice, middle.endpoint)
        await bob.refused(Refusal.BAD_SIGNATURE)
    assert bob.node.trust.list_pins() == []


async def come_on_the_08_wire(bob: Live, name: str, identity: Identity) -> None:
    """Dial as a published node with this key would."""
    own = legacy.settings(
        name,
        identity=identity,
        passphrase=PASSPHRASE,
        protocol_version="ironmesh/0.6",
        random=os.urandom,
    )
    machine = ClientHandshake(own)
    async with mallory(bob) as peer:
        spoken = machine.start(CLOCK.now())
        with suppress(ConnectionClosed):
            while machine.claim is None:
                await peer.say(*spoken)
                spoken = machine.receive(await peer.hear_unit(), CLOCK.now())
            await peer.say(*machine.accept(CLOCK.now()).channel.seal([], CLOCK.now()))
            await peer.hear_unit()


async def test_a10_a_peer_once_met_as_native_is_never_taken_on_the_08_wire(nodes: Nodes) -> None:
    alice = await nodes.start("alice", **PLAIN)
    bob = await nodes.start("bob", **PLAIN, **LEGACY)
    await alice.dial(bob)
    await come_on_the_08_wire(bob, "alice", alice.node._running().keys.keys.identity)
    refused = await bob.refused(Refusal.DOWNGRADED)
    assert refused.node_id == alice.id
    assert "DOWNGRADE_DETECTED" in bob.audited()
    assert bob.link(alice) is not None


async def test_a10_a_new_key_on_the_08_wire_does_not_get_the_name_of_a_native_peer(
    nodes: Nodes,
) -> None:
    alice = await nodes.start("alice", **PLAIN)
    bob = await nodes.start("bob", **PLAIN, **LEGACY)
    await alice.dial(bob)
    await come_on_the_08_wire(bob, "alice", Identity.generate(os.urandom))
    await bob.refused(Refusal.IDENTITY_CHANGED)
    assert "TOFU_MISMATCH" in bob.audited()


async def test_a10_a_new_peer_on_the_08_wire_is_pending_and_unverified(nodes: Nodes) -> None:
    bob = await nodes.start("bob", **PLAIN, **LEGACY)
    await come_on_the_08_wire(bob, "old-node", Identity.generate(os.urandom))
    await eventually(lambda: bool(bob.node.trust.list_pins()))
    (pin,) = bob.node.trust.list_pins()
    assert (pin.state, pin.verified, pin.seen_native) == (TrustState.PENDING, False, False)


async def test_a10_only_named_peers_come_in_on_the_08_wire_where_names_are_given(
    nodes: Nodes,
) -> None:
    named = {**LEGACY, "legacy": LegacyMode.NAMED, "legacy_names": frozenset({"old-node"})}
    bob = await nodes.start("bob", **PLAIN, **named)
    await come_on_the_08_wire(bob, "another", Identity.generate(os.urandom))
    await bob.refused(Refusal.LEGACY_REFUSED)
    assert bob.node.trust.list_pins() == []

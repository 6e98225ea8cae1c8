"""A1: who sits between two nodes at their first contact, relays one part and swaps another."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest
from tests.support import legacy
from tests.support.attacker import (
    CLOCK,
    NEGOTIATED,
    PLAIN,
    WRONG,
    Peer,
    answering,
    dialled,
    dialling,
    in_the_middle,
    party,
    refusal_of_dial,
)
from tests.support.nodes import LEGACY, Nodes, eventually

from ironmesh.crypto.hybrid import KemPair, X25519Pair
from ironmesh.crypto.identity import Identity
from ironmesh.errors import HandshakeError
from ironmesh.session.legacy.hello import make_hello
from ironmesh.session.native import proof
from ironmesh.session.native.initiator import InitiatorHandshake
from ironmesh.session.native.schedule import Role
from ironmesh.trust.pins import TrustState
from ironmesh.types import Refusal, Secret, Unit
from ironmesh.wire.legacy.handshake import encode

pytestmark = pytest.mark.usefixtures("outer")

M1_PUBLIC, M1_KEM = 35, 99
M2_PUBLIC, M2_CIPHERTEXT, M2_SEALED = 32, 96, 1184
"""Where the fields of the first two messages begin."""


def put(unit: Unit, at: int, new: bytes) -> bytes:
    assert isinstance(unit, bytes)
    return unit[:at] + new + unit[at + len(new) :]


def own_x25519() -> bytes:
    return X25519Pair.generate(os.urandom).public


def own_proof(role: Role) -> bytes:
    """Return a proof of an identity of the attacker's, under a key that he guessed."""
    own = party("mallory", passphrase=WRONG)
    return proof.seal_proof(
        Secret(bytes(32)), role, bytes(32), own.identity, own.statement(CLOCK.now())
    )


SWAPS: dict[str, tuple[tuple[str, int], Callable[[Unit], bytes]]] = {
    "the initiator's X25519 key": (("up", 0), lambda m1: put(m1, M1_PUBLIC, own_x25519())),
    "the initiator's ML-KEM key": (
        ("up", 0),
        lambda m1: put(m1, M1_KEM, KemPair.generate(os.urandom).public),
    ),
    "the responder's X25519 key": (("down", 0), lambda m2: put(m2, M2_PUBLIC, own_x25519())),
    "the ML-KEM ciphertext": (("down", 0), lambda m2: put(m2, M2_CIPHERTEXT, os.urandom(1088))),
    "the responder's identity": (
        ("down", 0),
        lambda m2: put(m2, M2_SEALED, own_proof(Role.RESPONDER)),
    ),
    "the initiator's identity": (("up", 1), lambda _: own_proof(Role.INITIATOR)),
}


@pytest.mark.parametrize("what", SWAPS)
async def test_a1_who_relays_the_passphrase_stage_and_swaps_the_rest_is_shut_out(
    nodes: Nodes, what: str
) -> None:
    alice, bob = await nodes.start("alice", **PLAIN), await nodes.start("bob", **PLAIN)
    place, swap = SWAPS[what]
    is_last = place == ("up", 1)

    def tamper(way: str, number: int, unit: Unit) -> list[Unit]:
        return [swap(unit)] if (way, number) == place else [unit]

    async with in_the_middle(bob, tamper) as middle:
        with pytest.raises(HandshakeError):
            await alice.node.connect(*middle.endpoint)
        refuser = bob if is_last else alice
        await refuser.refused(Refusal.AUTH_FAILED)
    assert "AUTH_FAILED" in refuser.audited()
    assert refuser.node.counters["refused.auth_failed"] == 1
    assert not alice.flaps()
    assert not bob.flaps()
    assert bob.node.trust.list_pins() == []
    if not is_last:
        assert len(middle.said("up")) == 1, "alice shows herself to nobody whom she refuses"
        assert alice.node.trust.list_pins() == []


async def test_a1_who_shakes_hands_with_both_ends_himself_is_refused_by_both(nodes: Nodes) -> None:
    alice, bob = await nodes.start("alice", **PLAIN), await nodes.start("bob", **PLAIN)
    last_words: list[Unit] = []

    async def pose_as_bob(near: Peer) -> None:
        machine = answering(party("bob", passphrase=WRONG))
        await near.say(*machine.receive(await near.hear(), CLOCK.now()))
        words, _ = await near.hear_end()
        last_words.extend(words)

    async with dialled(pose_as_bob) as endpoint:
        assert await refusal_of_dial(alice, endpoint) is Refusal.AUTH_FAILED
    assert last_words == [], "alice says nothing to whom she refuses"
    async with dialling(bob) as far:
        machine = InitiatorHandshake(party("alice", passphrase=WRONG), NEGOTIATED)
        await far.say(*machine.start(CLOCK.now()))
        with pytest.raises(HandshakeError) as refused:
            machine.receive(await far.hear(), CLOCK.now())
        assert refused.value.reason is Refusal.AUTH_FAILED, "bob's proof does not open for him"
        await far.say(own_proof(Role.INITIATOR))
        _, code = await far.hear_end()
        assert code == 4000
    await bob.refused(Refusal.AUTH_FAILED)
    for live in (alice, bob):
        assert live.audited().count("AUTH_FAILED") == 1
        assert live.node.trust.list_pins() == []


async def test_a1_who_passes_everything_on_reads_nothing_whatever_certificate_he_shows(
    nodes: Nodes,
) -> None:
    alice, bob = await nodes.start("alice", **PLAIN), await nodes.start("bob", **PLAIN)
    async with in_the_middle(bob) as middle:
        link = await alice.node.connect(*middle.endpoint)
        await bob.online(alice)
        await alice.node.send("bob", b"read me if you can")
        assert await bob.has_received(1) == ["read me if you can"]
        heard = b"".join(middle.said("up") + middle.said("down"))
    assert link.connection_info.is_encrypted is bob.node.is_tls, "he ended the TLS himself"
    assert len(heard) > 2_000
    for word in (
        b"read me",
        b"alice",
        b"bob",
        *(live.node.trust.list_pins()[0].public for live in (alice, bob)),
    ):
        assert word not in heard


async def test_a1_on_the_08_wire_who_was_swapped_in_is_shown_as_unverified(nodes: Nodes) -> None:
    """Its bytes do not keep him out: both ends mark him until fingerprints are compared."""
    alice = await nodes.start("alice", **PLAIN, **LEGACY)
    bob = await nodes.start("bob", **PLAIN, **LEGACY)
    swapped_in = Identity.generate(os.urandom)

    def hello(name: str, nonce: str) -> Unit:
        own = legacy.settings(name, identity=swapped_in, protocol_version="ironmesh/0.6")
        return encode(make_hello(own, own_x25519(), nonce, "ironmesh/0.6"))

    async def relay(near: Peer) -> None:
        async with dialling(bob, protocols=()) as far:
            challenge = await far.hear()
            nonce = json.loads(challenge)["nonce"]
            await near.say(legacy.rewrite(challenge, protocol_version="ironmesh/0.6"))
            await far.say(await near.hear())
            await near.say(await far.hear())
            await near.hear()
            await far.say(hello("alice", nonce))
            await near.say(hello("bob", nonce))
            await far.hear()
            await eventually(lambda: all(live.node.trust.list_pins() for live in (alice, bob)))

    async with dialled(relay, protocol="") as endpoint:
        with pytest.raises(HandshakeError):
            await alice.node.connect(*endpoint)
    for live in (alice, bob):
        (pin,) = live.node.trust.list_pins()
        assert pin.node_id == swapped_in.node_id
        assert (pin.state, pin.verified) == (TrustState.PENDING, False)
        assert "PEER_PINNED" in live.audited()

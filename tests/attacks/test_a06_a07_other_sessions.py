"""A6, A7: one session's words in another: bound to another identity, or said again."""

from __future__ import annotations

import os

import pytest
from tests.support.attacker import (
    CLOCK,
    NEGOTIATED,
    PLAIN,
    Peer,
    answering,
    dialled,
    dialling,
    in_the_middle,
    party,
    refusal_of_dial,
)
from tests.support.mallory import mallory
from tests.support.nodes import LEGACY, Nodes, eventually

from ironmesh.crypto import hybrid
from ironmesh.crypto.hybrid import X25519Pair
from ironmesh.errors import HandshakeError
from ironmesh.node.entrance import Dialled
from ironmesh.node.events import PeerOffline, PeerOnline
from ironmesh.session.native import schedule
from ironmesh.session.native.exchange import Offer
from ironmesh.session.native.keys import Profile
from ironmesh.session.native.schedule import Role
from ironmesh.types import Refusal, Unit
from ironmesh.wire.native.constants import SUBPROTOCOL
from ironmesh.wire.native.handshake import Answer, decode_answer

# --- A6: unknown key share -----------------------------------------------------------------------


class Insider:
    """Knows the passphrase; opens what is proved to him, to prove it elsewhere."""

    def __init__(self) -> None:
        self.own = party()
        self.shown = b""
        """What a node stated and signed for him."""

    async def be_dialled(self, near: Peer) -> None:
        """Answer honestly, and keep the proof of who dialled."""
        machine = answering(self.own)
        await near.say(*machine.receive(await near.hear(), CLOCK.now()))
        answered = machine._answered
        assert answered is not None
        sealed = await near.hear()
        key = schedule.seal_key(answered.chain, Role.INITIATOR, answered.transcript)
        self.shown = hybrid.open_sealed(key, hybrid.ZERO_NONCE, sealed, answered.transcript)

    async def dial(self, far: Peer) -> Unit:
        """Say M1 and M2's answer as the one whose proof he kept; return it, sealed anew."""
        offer, answer = await self.meet(far)
        transcript = schedule.mix(NEGOTIATED.transcript(), offer.said.encoded)
        transcript = schedule.mix(transcript, answer.head)
        chain = schedule.chain_key(transcript, *offer.agree(answer))
        transcript = schedule.mix(transcript, answer.sealed)
        key = schedule.seal_key(chain, Role.INITIATOR, transcript)
        return hybrid.seal(key, hybrid.ZERO_NONCE, self.shown, transcript)

    async def meet(self, far: Peer) -> tuple[Offer, Answer]:
        """Dial honestly, as far as the answer."""
        offer = Offer.make(Profile.HYBRID, 0, self.own.prs[0], os.urandom)
        await far.say(offer.said.encoded)
        return offer, decode_answer(await far.hear(), Profile.HYBRID)


async def test_a6_the_proof_of_one_node_does_not_serve_an_insider_with_another(
    nodes: Nodes,
) -> None:
    alice, bob = await nodes.start("alice", **PLAIN), await nodes.start("bob", **PLAIN)
    insider = Insider()

    async def carry_over(near: Peer) -> None:
        await insider.be_dialled(near)
        async with dialling(bob) as far:
            await far.say(await insider.dial(far))
            assert await far.hear_end() == ([], 4000)

    async with dialled(carry_over) as endpoint:
        with pytest.raises(HandshakeError):
            await alice.node.connect(*endpoint)
        await bob.refused(Refusal.BAD_SIGNATURE)
    assert insider.shown[:32] == alice.node._running().keys.keys.identity.public
    assert bob.node.trust.list_pins() == [], "alice is bound to no session of the insider"
    assert bob.flaps() == []


async def test_a6_who_answers_in_the_place_of_another_is_refused(nodes: Nodes) -> None:
    alice, bob = await nodes.start("alice", **PLAIN), await nodes.start("bob", **PLAIN)
    heard: list[Unit] = []

    async def answer_as_carol(near: Peer) -> None:
        machine = answering(party("carol"))
        await near.say(*machine.receive(await near.hear(), CLOCK.now()))
        words, code = await near.hear_end()
        assert code == 4000
        heard.extend(words)

    async with dialled(answer_as_carol) as endpoint:
        parts = alice.node._running()
        connection = await parts.transport.dial(
            endpoint, use_tls=False, subprotocols=(SUBPROTOCOL,)
        )
        with pytest.raises(HandshakeError) as refused:
            await alice.node._traffic().sessions.open(connection, Dialled(expected=bob.id))
    assert refused.value.reason is Refusal.UNEXPECTED_IDENTITY
    assert heard == [], "carol does not learn who dialled bob"
    assert "TOFU_MISMATCH" in alice.audited()
    assert alice.node.trust.list_pins() == []


async def test_a6_another_node_that_answers_where_a_peer_was_dialled_is_refused(
    nodes: Nodes,
) -> None:
    alice, bob = await nodes.pair(**PLAIN)
    await bob.node.stop()
    await alice.offline(bob.known_id)
    carol = await nodes.start("carol", port=bob.port, **PLAIN)
    refused = await alice.refused(Refusal.UNEXPECTED_IDENTITY)
    assert (refused.name, refused.node_id) == ("carol", carol.id)
    assert "TOFU_MISMATCH" in alice.audited()
    assert alice.node.counters["refused.unexpected_identity"] >= 1
    assert carol.flaps() == [], "carol does not learn who dialled bob"
    await alice.node.send("bob", b"for bob alone")
    again = await nodes.again(bob, port=0)
    await again.dial(alice)
    assert await again.has_received(1) == ["for bob alone"]


async def test_a6_a_message_for_a_peer_is_not_given_to_who_answers_at_its_address(
    nodes: Nodes,
) -> None:
    alice, bob = await nodes.pair(**PLAIN)
    bob_id, port = bob.id, bob.port
    await bob.node.stop()
    await alice.offline(bob_id)
    await alice.node.send("bob", b"for bob alone")
    carol = await nodes.start("carol", port=port, **PLAIN)
    await alice.dial(carol)
    await alice.node.send("carol", b"for carol")
    assert await carol.has_received(1) == ["for carol"]
    assert alice.node.outgoing.count(bob_id) == 1


# --- A7: said again ------------------------------------------------------------------------------


async def test_a7_a_handshake_said_again_is_refused(nodes: Nodes) -> None:
    alice, bob = await nodes.start("alice", **PLAIN), await nodes.start("bob", **PLAIN)
    async with in_the_middle(bob) as middle:
        await alice.node.connect(*middle.endpoint)
        await bob.online(alice)
        m1, m3 = middle.said("up")[:2]
        m2 = middle.said("down")[0]
        async with dialling(bob) as peer:
            await peer.say(m1)
            assert await peer.hear() != m2
            await peer.say(m3)
            assert await peer.hear_end() == ([], 4000)
        await bob.refused(Refusal.AUTH_FAILED)
        await alice.node.send("bob", b"meanwhile")
        assert await bob.has_received(1) == ["meanwhile"]
    assert "AUTH_FAILED" in bob.audited()


async def test_a7_an_answer_said_again_is_refused(nodes: Nodes) -> None:
    alice, bob = await nodes.start("alice", **PLAIN), await nodes.start("bob", **PLAIN)
    async with in_the_middle(bob) as middle:
        await alice.node.connect(*middle.endpoint)
        m2 = middle.said("down")[0]

    async def say_it_again(near: Peer) -> None:
        await near.hear()
        await near.say(m2)
        assert await near.hear_end() == ([], 4000)

    async with dialled(say_it_again) as endpoint:
        carol = await nodes.start("carol", **PLAIN)
        assert await refusal_of_dial(carol, endpoint) is Refusal.AUTH_FAILED


async def test_a7_a_resumption_said_again_is_unknown(nodes: Nodes) -> None:
    alice, bob = await nodes.start("alice", **PLAIN), await nodes.start("bob", **PLAIN)
    async with in_the_middle(bob) as middle:
        await alice.node.connect(*middle.endpoint)
        await bob.online(alice)
        await middle.cut()
        await bob.seen.wait(PeerOnline, count=2)
        (ticket,) = [unit for unit in middle.said("up") if unit[:2] == b"\x05\x03"]
        async with dialling(bob) as peer:
            await peer.say(ticket)
            assert await peer.hear() == b"\x00"
        await alice.node.send("bob", b"meanwhile")
        assert await bob.has_received(1) == ["meanwhile"]
    assert len(bob.seen.of(PeerOnline)) == 2


async def test_a7_a_ticket_that_was_overheard_serves_nobody_else(nodes: Nodes) -> None:
    alice, bob = await nodes.start("alice", **PLAIN), await nodes.start("bob", **PLAIN)
    held: list[bytes] = []

    def tamper(way: str, number: int, unit: Unit) -> list[Unit]:
        if way == "up" and isinstance(unit, bytes) and unit[:2] == b"\x05\x03" and not held:
            held.append(unit)
            return []
        return [unit]

    async with in_the_middle(bob, tamper) as middle:
        await alice.node.connect(*middle.endpoint)
        await bob.online(alice)
        await middle.cut()
        await eventually(lambda: bool(held), "a ticket")
        # The ticket as it is, keys of his own, and a binder that he cannot make.
        forged = held[0][:18] + os.urandom(32) + X25519Pair.generate(os.urandom).public + bytes(32)
        async with dialling(bob) as peer:
            await peer.say(forged)
            assert await peer.hear() == b"\x00"
    assert [event.node_id for event in bob.seen.of(PeerOnline)] == [alice.id]


async def test_a7_records_of_a_session_do_not_open_in_the_next_one(nodes: Nodes) -> None:
    alice, bob = await nodes.start("alice", **PLAIN), await nodes.start("bob", **PLAIN)
    old: list[Unit] = []

    def tamper(way: str, number: int, unit: Unit) -> list[Unit]:
        # The first record that alice writes in the second session.
        return [old.pop()] if way == "up" and old and number == 1 else [unit]

    async with in_the_middle(bob, tamper) as middle:
        await alice.node.connect(*middle.endpoint)
        await bob.online(alice)
        await alice.node.send("bob", b"once")
        await bob.has_received(1)
        old.append(middle.said("up")[2])
        await middle.cut()
        gone = await bob.seen.wait(PeerOffline, count=2)
        assert gone[1].reason.startswith("undecryptable")
        await alice.node.send("bob", b"twice")
        assert await bob.has_received(2) == ["once", "twice"]


async def test_a7_on_the_08_wire_a_proof_said_again_is_refused(nodes: Nodes) -> None:
    alice = await nodes.start("alice", **PLAIN, **LEGACY)
    async with mallory(alice) as first, mallory(alice) as second:
        session = await first.open_session()
        await second.hear_challenge()
        await second.say(*session.spoken[:1])
        await second.hear_end()
    await alice.refused(Refusal.AUTH_FAILED)

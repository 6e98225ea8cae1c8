"""A2: guessing the passphrase: offline from what was recorded, served or dialled, and online."""

from __future__ import annotations

import asyncio
import os

import pytest
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
from tests.support.mallory import mallory
from tests.support.nodes import LEGACY, PASSPHRASE, Live, MovableClock, Nodes
from websockets.exceptions import ConnectionClosed

from ironmesh.config import LegacyMode
from ironmesh.errors import ConfigError, ConnectError, HandshakeError
from ironmesh.session.native import proof, schedule
from ironmesh.session.native.exchange import Offer
from ironmesh.session.native.initiator import InitiatorHandshake
from ironmesh.session.native.keys import Profile
from ironmesh.session.native.schedule import Role
from ironmesh.types import Refusal, Secret, Unit
from ironmesh.wire.native.handshake import Answer, decode_answer

BUSY = 4001
TOKENS = 5
"""Of a source that nobody knows."""


def offer_of(passphrase: Secret) -> Offer:
    return Offer.make(Profile.HYBRID, 0, party(passphrase=passphrase).prs[0], os.urandom)


def opens(offer: Offer, answer: Answer) -> bool:
    """Tell whether the attacker can open the proof of an answer to this offer."""
    transcript = schedule.mix(NEGOTIATED.transcript(), offer.said.encoded)
    transcript = schedule.mix(transcript, answer.head)
    chain = schedule.chain_key(transcript, *offer.agree(answer))
    try:
        proof.open_proof(chain, Role.RESPONDER, transcript, answer.sealed)
    except HandshakeError:
        return False
    return True


async def answer_to(bob: Live, offer: Offer, address: str = "127.0.0.3") -> Answer:
    """Dial, say M1, and hang up on the answer: nothing of it can be told from a crash."""
    async with dialling(bob, address) as peer:
        await peer.say(offer.said.encoded)
        return decode_answer(await peer.hear(), offer.said.profile)


async def guess(bob: Live, address: str) -> int | None:
    """Make one guess and hang up; return the close code, or None if the node answered it."""
    machine = InitiatorHandshake(party(passphrase=WRONG), NEGOTIATED)
    async with dialling(bob, address) as peer:
        await peer.say(*machine.start(CLOCK.now()))
        try:
            await peer.hear()
        except ConnectionClosed:
            return peer.socket.close_code
    return None


# --- Offline -------------------------------------------------------------------------------------


async def test_a2_one_answer_tests_one_guess_also_for_who_learns_the_passphrase_later(
    nodes: Nodes,
) -> None:
    bob = await nodes.start("bob", **PLAIN)
    offer = offer_of(WRONG)
    answer = await answer_to(bob, offer)
    assert not opens(offer, answer)
    for candidate in (PASSPHRASE, WRONG):
        # The share that went out is bound to the wrong guess: another one cannot take its place.
        later = Offer(offer.said, offer.pair, offer_of(candidate).share, offer.kem)
        assert not opens(later, answer)
    right = offer_of(PASSPHRASE)
    assert opens(right, await answer_to(bob, right)), "the one guess that was made is tested"


async def test_a2_who_is_dialled_hears_one_message_and_can_test_nothing_against_it(
    nodes: Nodes,
) -> None:
    alice = await nodes.start("alice", **PLAIN)
    heard: list[Unit] = []

    async def pose_as_bob(near: Peer) -> None:
        heard.append(await near.hear())
        machine = answering(party("bob", passphrase=WRONG))
        await near.say(*machine.receive(heard[0], CLOCK.now()))
        words, _ = await near.hear_end()
        heard.extend(words)

    async with dialled(pose_as_bob) as endpoint:
        assert await refusal_of_dial(alice, endpoint) is Refusal.AUTH_FAILED
    assert len(heard) == 1, "no word of alice depends on the passphrase after a wrong guess"
    assert "AUTH_FAILED" in alice.audited()


async def test_a2_a_capture_holds_nothing_that_the_right_passphrase_opens(nodes: Nodes) -> None:
    alice, bob = await nodes.start("alice", **PLAIN), await nodes.start("bob", **PLAIN)
    async with in_the_middle(bob) as middle:
        await alice.node.connect(*middle.endpoint)
        m1, m2 = middle.said("up")[0], middle.said("down")[0]
        answer = decode_answer(m2, Profile.HYBRID)
        for candidate in (PASSPHRASE, WRONG):
            own = offer_of(candidate)
            transcript = schedule.mix(NEGOTIATED.transcript(), m1)
            transcript = schedule.mix(transcript, answer.head)
            for secrets in (own.agree(answer), (party(passphrase=candidate).prs[0].reveal(),)):
                chain = schedule.chain_key(transcript, *secrets)
                with pytest.raises(HandshakeError):
                    proof.open_proof(chain, Role.RESPONDER, transcript, answer.sealed)


# --- Rationed ------------------------------------------------------------------------------------


async def test_a2_an_address_gets_five_guesses_then_one_each_30_s(nodes: Nodes) -> None:
    clock = MovableClock()
    bob = await nodes.start("bob", clock=clock, **PLAIN)
    assert [await guess(bob, "127.0.0.3") for _ in range(TOKENS)] == [None] * TOKENS
    assert [await guess(bob, "127.0.0.3") for _ in range(3)] == [BUSY] * 3
    await bob.refused(Refusal.BUSY, count=3)
    assert bob.node.counters["refused.busy"] == 3
    clock.advance(29.0)
    assert await guess(bob, "127.0.0.3") == BUSY
    clock.advance(1.5)
    assert await guess(bob, "127.0.0.3") is None
    assert await guess(bob, "127.0.0.3") == BUSY


async def test_a2_guesses_in_parallel_are_not_more_and_honest_peers_go_on(nodes: Nodes) -> None:
    alice, bob = await nodes.start("alice", **PLAIN), await nodes.start("bob", **PLAIN)
    link = await alice.dial(bob)
    async with asyncio.TaskGroup() as tasks:
        guesses = [tasks.create_task(guess(bob, "127.0.0.3")) for _ in range(8)]
    answered = [each.result() for each in guesses].count(None)
    assert answered == TOKENS
    await alice.node.send("bob", b"meanwhile")
    assert await bob.has_received(1) == ["meanwhile"]
    link.close_soon("to come again")
    await alice.offline(bob.id)
    await alice.online(bob)
    carol = await nodes.start("carol", **PLAIN)
    await carol.dial(bob)


async def test_a2_who_proves_the_passphrase_gets_back_that_token_and_no_other(
    nodes: Nodes,
) -> None:
    bob = await nodes.start("bob", clock=MovableClock(), **PLAIN)
    for _ in range(TOKENS - 1):
        assert await guess(bob, "127.0.0.3") is None
    own = party("carol")
    for _ in range(2):
        async with dialling(bob, "127.0.0.3") as peer:
            await peer.join(own)
    # That source is known now: it has more tokens in all, and lacks as many as before.
    found = [await guess(bob, "127.0.0.3") for _ in range(20)]
    assert found.count(None) == 20 - (TOKENS - 1)
    assert set(found) == {None, BUSY}


async def test_a2_who_cannot_prove_it_when_dialled_is_dialled_ever_more_rarely(
    nodes: Nodes,
) -> None:
    clock = MovableClock()
    alice = await nodes.start("alice", clock=clock, **PLAIN)
    dials = 0

    async def pose_as_bob(near: Peer) -> None:
        nonlocal dials
        dials += 1
        machine = answering(party("bob", passphrase=WRONG))
        await near.say(*machine.receive(await near.hear(), CLOCK.now()))
        await near.hear_end()

    async with dialled(pose_as_bob) as endpoint:
        for count, rest_s in enumerate((5.0, 10.0, 20.0), start=1):
            assert await refusal_of_dial(alice, endpoint) is Refusal.AUTH_FAILED
            assert dials == count
            for ahead_s in (0.0, rest_s - 1.0):
                clock.advance(ahead_s)
                with pytest.raises(ConnectError, match="dialled again in"):
                    await alice.node.connect(*endpoint)
            assert dials == count
            clock.advance(1.5)


async def test_a2_dials_of_one_address_at_once_give_away_one_guess(nodes: Nodes) -> None:
    alice = await nodes.start("alice", clock=MovableClock(), **PLAIN)
    dials = 6
    waiting = asyncio.Barrier(dials)
    heard: list[Unit] = []

    async def guess_when_all_have_dialled(near: Peer) -> None:
        machine = answering(party("bob", passphrase=WRONG))
        answer = machine.receive(await near.hear(), CLOCK.now())
        await waiting.wait()
        await near.say(*answer)
        heard.extend((await near.hear_end())[0])

    async with dialled(guess_when_all_have_dialled) as endpoint:
        refusals = await asyncio.gather(*(refusal_of_dial(alice, endpoint) for _ in range(dials)))
    assert sorted(refusals) == [Refusal.AUTH_FAILED, *[Refusal.BUSY] * (dials - 1)]
    assert heard == []
    assert alice.node.counters["refused.auth_failed"] == 1
    assert alice.node.counters["refused.busy"] == dials - 1


# --- The 0.8 wire --------------------------------------------------------------------------------


async def test_a2_a_stripped_subprotocol_wins_no_proof_of_the_mesh_passphrase(
    nodes: Nodes,
) -> None:
    alice, bob = await nodes.start("alice", **PLAIN), await nodes.start("bob", **PLAIN)
    async with in_the_middle(bob, protocols=(), chosen=None) as middle:
        assert await refusal_of_dial(alice, middle.endpoint) is Refusal.LEGACY_REFUSED
        await bob.refused(Refusal.LEGACY_REFUSED)
        assert middle.heard == [], "neither end said a word"
    for live in (alice, bob):
        assert "PEER_REFUSED" in live.audited()


async def test_a2_the_08_wire_does_not_start_with_a_mesh_passphrase_that_can_be_guessed(
    nodes: Nodes,
) -> None:
    bob = nodes.make("bob", legacy=LegacyMode.ALL, passphrase=Secret("summer holidays"), **PLAIN)
    with pytest.raises(ConfigError, match="legacy-passphrase-file"):
        await bob.node.start()


async def test_a2_three_wrong_proofs_on_the_08_wire_lock_the_address_out(nodes: Nodes) -> None:
    bob = await nodes.start("bob", **PLAIN, **LEGACY)
    for _ in range(3):
        async with mallory(bob) as peer:
            await peer.prove(secret=b"wrong passphrase")
            await peer.hear_end()
    async with mallory(bob) as peer:
        assert await peer.hear_end() == []
    await bob.refused(Refusal.LOCKED_OUT)
    assert "AUTH_LOCKOUT" in bob.audited()

"""A3, A4, A5: proofs that are left out, reflected, unsigned, or signed for something else."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass

import pytest
from tests.support import legacy
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
from tests.support.nodes import LEGACY, PASSPHRASE, Live, Nodes, eventually

from ironmesh.crypto.identity import Identity
from ironmesh.node.events import PeerOffline
from ironmesh.session.legacy.client import ClientHandshake
from ironmesh.session.native.initiator import InitiatorHandshake
from ironmesh.session.native.settings import NativeSettings
from ironmesh.types import NodeId, Refusal, Unit

# --- A3: left out --------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [0, 1184, 1200])
async def test_a3_a_server_that_leaves_its_proof_out_is_refused(nodes: Nodes, kept: int) -> None:
    alice, bob = await nodes.start("alice", **PLAIN), await nodes.start("bob", **PLAIN)

    def tamper(way: str, number: int, unit: Unit) -> list[Unit]:
        return [unit[:kept]] if (way, number) == ("down", 0) else [unit]

    async with in_the_middle(bob, tamper) as middle:
        assert await refusal_of_dial(alice, middle.endpoint) is Refusal.PROTOCOL
        assert len(middle.said("up")) == 1
    await alice.refused(Refusal.PROTOCOL)
    assert alice.node.trust.list_pins() == []


@pytest.mark.parametrize(
    ("said", "reason"),
    [(b"", Refusal.PROTOCOL), (bytes(100), Refusal.PROTOCOL), (bytes(144), Refusal.AUTH_FAILED)],
)
async def test_a3_a_client_that_leaves_its_proof_out_is_refused(
    nodes: Nodes, said: bytes, reason: Refusal
) -> None:
    bob = await nodes.start("bob", **PLAIN)
    machine = InitiatorHandshake(party(), NEGOTIATED)
    async with dialling(bob) as peer:
        await peer.say(*machine.start(CLOCK.now()))
        machine.receive(await peer.hear(), CLOCK.now())
        await peer.say(said)
        assert await peer.hear_end() == ([], 4000)
    await bob.refused(reason)
    assert bob.flaps() == []
    assert bob.node.trust.list_pins() == []


@pytest.mark.parametrize("proof", [None, "", "00" * 32])
async def test_a3_on_the_08_wire_a_server_without_a_proof_is_refused(
    nodes: Nodes, proof: str | None
) -> None:
    alice = await nodes.start("alice", **PLAIN, **LEGACY)

    async def pose_as_bob(near: Peer) -> None:
        challenge = {"type": "PASSPHRASE_CHALLENGE", "from": "0" * 32, "nonce": "ab" + "cd" * 31}
        await near.say(json.dumps(challenge))
        await near.hear()
        verified = {"type": "PASSPHRASE_VERIFIED", "status": "verified", "server_proof": proof}
        await near.say(
            json.dumps({name: said for name, said in verified.items() if said is not None})
        )
        await near.hear_end()

    async with dialled(pose_as_bob, protocol="") as endpoint:
        assert await refusal_of_dial(alice, endpoint) is Refusal.AUTH_FAILED
    assert "AUTH_FAILED" in alice.audited()


# --- A4: reflected -------------------------------------------------------------------------------


async def test_a4_a_first_message_sent_back_is_refused(nodes: Nodes) -> None:
    alice = await nodes.start("alice", **PLAIN)

    async def echo(near: Peer) -> None:
        said = await near.hear()
        await near.say(said)
        await near.hear_end()

    async with dialled(echo) as endpoint:
        assert await refusal_of_dial(alice, endpoint) is Refusal.PROTOCOL


@pytest.mark.parametrize(("start", "size"), [(3, 96), (3, 32), (35, 32), (67, 32)])
async def test_a4_nonce_key_or_share_of_ours_in_an_answer_are_refused(
    nodes: Nodes, start: int, size: int
) -> None:
    alice, bob = await nodes.start("alice", **PLAIN), await nodes.start("bob", **PLAIN)
    m1 = b""

    def tamper(way: str, number: int, unit: Unit) -> list[Unit]:
        nonlocal m1
        assert isinstance(unit, bytes)
        if (way, number) == ("up", 0):
            m1 = unit
        if (way, number) == ("down", 0):
            at = start - 3
            return [unit[:at] + m1[start : start + size] + unit[at + size :]]
        return [unit]

    async with in_the_middle(bob, tamper) as middle:
        assert await refusal_of_dial(alice, middle.endpoint) is Refusal.REFLECTED
    assert "PEER_REFUSED" in alice.audited()


async def test_a4_a_node_that_is_led_back_to_itself_does_not_talk_to_itself(nodes: Nodes) -> None:
    alice = await nodes.start("alice", **PLAIN)
    async with in_the_middle(alice) as middle:
        assert await refusal_of_dial(alice, middle.endpoint) is Refusal.SELF
    assert alice.flaps() == []
    assert alice.node.trust.list_pins() == []


async def test_a4_a_ticket_shown_back_to_its_owner_is_unknown_to_it(nodes: Nodes) -> None:
    alice, bob = await nodes.start("alice", **PLAIN), await nodes.start("bob", **PLAIN)
    async with in_the_middle(bob) as middle:
        await alice.node.connect(*middle.endpoint)
        await alice.online(bob)
        await middle.cut()

        def shown() -> list[Unit]:
            return [unit for unit in middle.said("up") if unit[:2] == b"\x05\x03"]

        await eventually(lambda: bool(shown()), "resuming")
        (ticket, *_) = shown()
        async with dialling(alice, "127.0.0.7") as peer:
            await peer.say(ticket)
            assert await peer.hear() == b"\x00"
            await peer.say(ticket)
            assert await peer.hear_end() == ([], 4000)
    await alice.refused(Refusal.PROTOCOL)


async def test_a4_a_record_sent_back_to_its_writer_ends_the_session(nodes: Nodes) -> None:
    alice, bob = await nodes.start("alice", **PLAIN), await nodes.start("bob", **PLAIN)
    reflects: list[bool] = []

    def tamper(way: str, number: int, unit: Unit) -> list[Unit]:
        return [middle.said("up")[-1]] if way == "down" and reflects and reflects.pop() else [unit]

    async with in_the_middle(bob, tamper) as middle:
        await alice.node.connect(*middle.endpoint)
        await bob.online(alice)
        await alice.node.send("bob", b"hello")
        await bob.has_received(1)
        reflects.append(True)
        await bob.node.send("alice", b"and to you")
        (gone,) = await alice.seen.wait(PeerOffline)
        assert gone.reason.partition(":")[0] in {"replay", "order", "undecryptable"}
        # What the attacker put a reflection in place of is sent again.
        assert await alice.has_received(1) == ["and to you"]
    assert bob.texts == ["hello"]


async def test_a4_on_the_08_wire_a_frame_of_ours_that_comes_back_is_dropped(nodes: Nodes) -> None:
    alice = await nodes.start("alice", **PLAIN, **LEGACY)
    async with mallory(alice) as peer:
        session = await peer.open_session()
        await alice.node.send("mallory", b"for you")
        await peer.say(await peer.hear_unit())
        await session.send(b"afterwards")
        await eventually(lambda: "afterwards" in alice.texts)
    assert alice.texts == ["afterwards"]
    assert alice.node.counters["refused.bad_signature"] >= 1


async def test_a4_on_the_08_wire_a_challenge_that_is_its_own_reverse_is_not_answered(
    nodes: Nodes,
) -> None:
    alice = await nodes.start("alice", **PLAIN, **LEGACY)

    async def pose_as_bob(near: Peer) -> None:
        nonce = os.urandom(16)
        palindrome = (nonce + nonce[::-1]).hex()
        await near.say(json.dumps({"type": "PASSPHRASE_CHALLENGE", "nonce": palindrome}))
        assert await near.hear_end() == ([], 1000)

    async with dialled(pose_as_bob, protocol="") as endpoint:
        assert await refusal_of_dial(alice, endpoint) is Refusal.PROTOCOL


# --- A5: somebody else's identity ----------------------------------------------------------------


@dataclass(frozen=True)
class Forger:
    """Says that it has one key, and signs with another, or in another way."""

    public: bytes
    node_id: NodeId
    own: Identity
    is_prehashed: bool = True

    def sign_prehashed(self, data: bytes) -> bytes:
        """Sign, somehow."""
        return self.own.sign_prehashed(data) if self.is_prehashed else self.own.sign(data)


async def signed_by(bob: Live, own: NativeSettings) -> None:
    """Join as an insider whose signature should not count."""
    machine = InitiatorHandshake(own, NEGOTIATED)
    async with dialling(bob) as peer:
        await peer.say(*machine.start(CLOCK.now()))
        machine.receive(await peer.hear(), CLOCK.now())
        await peer.say(*machine.accept(CLOCK.now()).units)
        assert await peer.hear_end() == ([], 4000)


async def test_a5_an_insider_cannot_claim_a_key_that_is_not_his(nodes: Nodes) -> None:
    alice, bob = await nodes.pair(**PLAIN)
    own = Identity.generate(os.urandom)
    victim = alice.node._running().keys.keys.identity
    await signed_by(bob, party("alice", identity=Forger(victim.public, victim.node_id, own)))
    await bob.refused(Refusal.BAD_SIGNATURE)
    assert bob.node.counters["refused.bad_signature"] == 1
    await alice.node.send("bob", b"it is me")
    assert await bob.has_received(1) == ["it is me"]


async def test_a5_a_signature_in_the_way_of_the_08_wire_does_not_pass(nodes: Nodes) -> None:
    bob = await nodes.start("bob", **PLAIN)
    own = Identity.generate(os.urandom)
    await signed_by(bob, party(identity=Forger(own.public, own.node_id, own, is_prehashed=False)))
    await bob.refused(Refusal.BAD_SIGNATURE)


async def test_a5_an_answer_signed_by_another_key_is_refused(nodes: Nodes) -> None:
    alice = await nodes.start("alice", **PLAIN)
    own, victim = Identity.generate(os.urandom), Identity.generate(os.urandom)
    forged = party("bob", identity=Forger(victim.public, victim.node_id, own))

    async def pose_as_bob(near: Peer) -> None:
        machine = answering(forged)
        await near.say(*machine.receive(await near.hear(), CLOCK.now()))
        assert await near.hear_end() == ([], 4000)

    async with dialled(pose_as_bob) as endpoint:
        assert await refusal_of_dial(alice, endpoint) is Refusal.BAD_SIGNATURE
    assert alice.node.trust.list_pins() == []


async def test_a5_an_insider_cannot_take_the_name_of_a_pinned_node(nodes: Nodes) -> None:
    alice, bob = await nodes.pair(**PLAIN)
    machine = InitiatorHandshake(party("alice"), NEGOTIATED)
    async with dialling(bob) as peer:
        await peer.say(*machine.start(CLOCK.now()))
        machine.receive(await peer.hear(), CLOCK.now())
        established = machine.accept(CLOCK.now())
        await peer.say(*established.units)
        (event,) = established.channel.open(await peer.hear(), CLOCK.now()).events
        assert event.reason == "identity_changed"  # type: ignore[union-attr]
    await bob.refused(Refusal.IDENTITY_CHANGED)
    assert "TOFU_MISMATCH" in bob.audited()
    assert bob.link(alice) is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"identity_public": None, "signature": None},
        {"signature": None},
        {"identity_public": None},
    ],
    ids=["no identity", "no signature", "no key"],
)
async def test_a5_on_the_08_wire_a_hello_without_identity_is_refused(
    nodes: Nodes, changes: dict[str, None]
) -> None:
    alice = await nodes.start("alice", **PLAIN, **LEGACY)
    await say_hello(alice, {"from": "ab" * 16, **changes})
    await alice.refused(Refusal.UNSIGNED)
    assert alice.node.trust.list_pins() == []


async def test_a5_on_the_08_wire_a_key_that_did_not_sign_is_refused(nodes: Nodes) -> None:
    alice = await nodes.start("alice", **PLAIN, **LEGACY)
    other = Identity.generate(os.urandom)
    await say_hello(alice, {"identity_public": base64.b64encode(other.public).decode()})
    await alice.refused(Refusal.BAD_SIGNATURE)


async def say_hello(alice: Live, changes: dict[str, object]) -> None:
    """Prove the passphrase, then say a HELLO in which something is changed."""
    own = legacy.settings(
        "mallory", passphrase=PASSPHRASE, protocol_version="ironmesh/0.6", random=os.urandom
    )
    machine = ClientHandshake(own)
    async with mallory(alice) as peer:
        machine.start(CLOCK.now())
        await peer.say(*machine.receive(await peer.hear_unit(), CLOCK.now()))
        (hello,) = machine.receive(await peer.hear_unit(), CLOCK.now())
        await peer.say(legacy.rewrite(hello, **changes))
        await peer.hear_end()

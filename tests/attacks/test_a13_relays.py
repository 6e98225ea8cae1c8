"""A13: a relay between two nodes reads, alters, re-attributes, redirects, replays, suppresses.

The relay is an insider: it knows the passphrase, and has good sessions with both nodes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from tests.support.attacker import PLAIN, message
from tests.support.liar import Liar, Parcel, know_each_other, knows, liar_between
from tests.support.nodes import Live, Nodes, eventually

from ironmesh.crypto import hybrid
from ironmesh.node.clock import SystemClock
from ironmesh.types import Instant, MessagePriority, NodeId
from ironmesh.wire.native.messages import encode_prefix
from ironmesh.wire.native.parcels import context, encode_head, in_order_head, signed_text

BODY = b"the body of a message, in words that are found again"
WEEK_S = 7 * 24 * 3600.0


async def pair(nodes: Nodes) -> tuple[Live, Live]:
    """Start two nodes that have no session with each other."""
    return await nodes.start("alice", **PLAIN), await nodes.start("bob", **PLAIN)


def counted(live: Live, *reasons: str) -> int:
    """Return how many parcels a node refused for these reasons."""
    return sum(live.node.counters[f"refused.{reason}"] for reason in reasons)


def public_of(asked: Live, other: Live) -> bytes:
    """Return the identity key of a node, as another one knows it."""
    assert asked.node.mesh is not None
    known = asked.node.mesh.keys(other.id)
    assert known is not None
    return known.identity_public


# --- Reading -------------------------------------------------------------------------------------


async def test_a13_a_relay_sees_neither_body_nor_source_nor_type(nodes: Nodes) -> None:
    alice, bob = await pair(nodes)
    async with liar_between(alice, bob) as relay:
        await know_each_other(alice, bob)
        await alice.node.send("bob", BODY, "a-type-of-its-own")
        await bob.node.send("alice", b"an answer to " + BODY)
        assert await bob.has_received(1) == [BODY.decode()]
        await alice.has_received(1)
        assert bob.received[0].message.source == alice.id
        assert bob.received[0].via == relay.id
        seen = b"".join(parcel.parcel for parcel in relay.parcels)
        public = [public_of(bob, alice), public_of(alice, bob)]
    for hidden in (
        BODY,
        b"a-type-of-its-own",
        *(bytes.fromhex(live.id) for live in (alice, bob)),
        *(live.id.encode() for live in (alice, bob)),
        *public,
        b"alice",
        b"bob",
    ):
        assert hidden not in seen
    assert {parcel.destination for parcel in relay.parcels} == {alice.id, bob.id}


# --- Altering ------------------------------------------------------------------------------------


def _flip(at: int, bit: int = 0) -> Callable[[bytes], bytes]:
    def flip(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[at] ^= 1 << bit
        return bytes(changed)

    return flip


ALTERED: dict[str, tuple[Callable[[bytes], bytes], set[str]]] = {
    "its kind": (_flip(0, 1), {"protocol", "undecryptable", "truncated"}),
    "the other kind": (lambda data: b"\x01" + data[1:], {"undecryptable"}),
    "its prekey": (_flip(4), {"prekey_unknown"}),
    "its key": (_flip(5), {"undecryptable"}),
    "the top bit of its key": (_flip(36, 7), {"undecryptable"}),
    "its ciphertext": (_flip(40), {"undecryptable"}),
    "its source": (_flip(37 + 1088 + 3), {"undecryptable"}),
    "its content": (_flip(37 + 1088 + 40), {"undecryptable"}),
    "its signature": (_flip(-40), {"undecryptable"}),
    "its tag": (_flip(-1), {"undecryptable"}),
    "cut short": (lambda data: data[:-1], {"undecryptable"}),
    "made longer": (lambda data: data + b"\0", {"undecryptable"}),
    "nothing left of it": (lambda _: b"\x01", {"truncated"}),
    "far too large": (lambda data: data + bytes(70_000), {"too_large"}),
}


async def test_a13_an_altered_twin_is_refused_and_does_not_suppress_the_parcel(
    nodes: Nodes,
) -> None:
    alice, bob = await pair(nodes)
    how = list(ALTERED)

    def tamper(parcel: Parcel) -> Sequence[Parcel]:
        if parcel.destination != bob.id or not how:
            return [parcel]
        alter, _ = ALTERED[how[0]]
        return [replace(parcel, parcel=alter(parcel.parcel)), parcel]

    async with liar_between(alice, bob, tamper=tamper):
        await know_each_other(alice, bob)
        while how:
            before = counted(bob, *ALTERED[how[0]][1])
            _, message_id = await alice.node.send("bob", how[0].encode())
            assert (await alice.node.outgoing.wait_end(message_id)).state.value == "delivered"
            await eventually(
                lambda before=before: counted(bob, *ALTERED[how[0]][1]) > before, how[0]
            )
            how.pop(0)
    assert bob.texts == list(ALTERED)


async def test_a13_what_is_lost_by_an_alteration_goes_again(nodes: Nodes) -> None:
    alice, bob = await pair(nodes)
    altered: list[Parcel] = []

    def tamper(parcel: Parcel) -> Sequence[Parcel]:
        if parcel.destination != bob.id or len(altered) == 2:
            return [parcel]
        altered.append(parcel)
        return [replace(parcel, parcel=_flip(-20)(parcel.parcel))]

    async with liar_between(alice, bob, tamper=tamper):
        await know_each_other(alice, bob)
        for text in (b"one", b"two", b"three"):
            await alice.node.send("bob", text)
        assert await bob.has_received(3) == ["one", "two", "three"]
    assert len(altered) == 2


# --- Re-attributing ------------------------------------------------------------------------------


def _forged(bob: Live, alice: Live, relay: Liar, source: bytes) -> bytes:
    """Return a parcel for Bob that the relay made and that names another source."""
    assert alice.node.mesh is not None
    known = alice.node.mesh.keys(bob.id)
    assert known is not None
    content = in_order_head(MessagePriority.NORMAL, 2**32 - 2, 0)
    body = b"in the name of another"
    content += encode_prefix(message(relay.own, bob.id, body)) + body
    ephemeral = hybrid.X25519Pair.generate(os.urandom)
    head = encode_head(known.number, ephemeral.public)
    bound = context(known.identity_public, known.x25519, b"", head)
    text = signed_text(known.identity_public, head, source, content)
    signature = relay.own.identity.sign_prehashed(text)
    key = hybrid.expand(hybrid.extract(bound, ephemeral.agree(known.x25519)), b"parcel")
    return head + hybrid.seal(key, hybrid.ZERO_NONCE, source + content + signature, bound)


async def test_a13_nobody_seals_in_the_name_of_another(nodes: Nodes) -> None:
    alice, bob = await pair(nodes)
    async with liar_between(alice, bob) as relay:
        await know_each_other(alice, bob)
        hers, his = public_of(bob, alice), public_of(alice, bob)
        await relay.hand(Parcel(relay.id, bob.id, _forged(bob, alice, relay, hers)))
        await eventually(lambda: counted(bob, "bad_signature") == 1)
        await relay.hand(Parcel(relay.id, bob.id, _forged(bob, alice, relay, his)))
        await eventually(lambda: counted(bob, "bad_signature") == 2)
        await alice.node.send("bob", BODY)
        assert await bob.has_received(1) == [BODY.decode()]
        assert bob.received[0].message.source == alice.id
    assert "MESSAGE_REFUSED" in bob.audited()


# --- Redirecting ---------------------------------------------------------------------------------


async def test_a13_a_parcel_opens_at_its_destination_only(nodes: Nodes) -> None:
    alice, bob = await pair(nodes)
    carol = await nodes.start("carol", **PLAIN)

    def tamper(parcel: Parcel) -> Sequence[Parcel]:
        if parcel.destination != bob.id:
            return [parcel]
        astray = [replace(parcel, destination=other.id) for other in (carol, alice)]
        return [*astray, parcel]

    async with liar_between(alice, bob, carol, tamper=tamper):
        await know_each_other(alice, bob)
        await alice.node.send("bob", BODY)
        assert await bob.has_received(1) == [BODY.decode()]
        await eventually(lambda: counted(carol, "prekey_unknown") > 0)
        await eventually(lambda: alice.node.counters["mesh.parcel_in_a_circle"] > 0)
    assert alice.received == carol.received == []


# --- Replaying -----------------------------------------------------------------------------------


async def test_a13_a_parcel_that_comes_again_is_read_once(nodes: Nodes) -> None:
    """Also messages that are not kept, whose ids nobody remembers."""
    alice, bob = await pair(nodes)

    async with liar_between(alice, bob, tamper=lambda parcel: [parcel] * 3) as relay:
        await know_each_other(alice, bob)
        await alice.node.send("bob", b"kept")
        await bob.has_received(1)
        await alice.node.send("bob", b"live", is_durable=False)
        await bob.has_received(2)
        for parcel in list(relay.parcels):
            await relay.hand(parcel)
        await alice.node.send("bob", b"last")
        assert await bob.has_received(3) == ["kept", "live", "last"]
        assert bob.node.counters["mesh.parcel_repeated"] >= 3 * 2


async def test_a13_parcels_of_before_a_restart_bring_nothing_again(nodes: Nodes) -> None:
    alice, bob = await pair(nodes)
    async with liar_between(alice, bob) as relay:
        await know_each_other(alice, bob)
        await alice.node.send("bob", b"kept")
        await bob.has_received(1)
        await alice.node.send("bob", b"live", is_durable=False)
        await bob.has_received(2)
        recorded = [parcel for parcel in relay.parcels if parcel.destination == bob.id]
    again = await nodes.again(bob)
    async with liar_between(alice, again, identity=relay.own.identity) as relay:
        await knows(again, alice)
        for parcel in recorded:
            await relay.hand(parcel)
        await alice.node.send(again.id, b"after")
        assert await again.has_received(1) == ["after"]


class _LaterClock:
    """A week has passed."""

    def __init__(self) -> None:
        self._system = SystemClock()

    def now(self) -> Instant:
        now = self._system.now()
        return Instant(now.mono, now.wall + WEEK_S)


async def test_a13_a_parcel_of_a_week_ago_meets_no_key(nodes: Nodes) -> None:
    alice, bob = await pair(nodes)
    async with liar_between(alice, bob) as relay:
        await know_each_other(alice, bob)
        await alice.node.send("bob", BODY)
        await bob.has_received(1)
        recorded = [parcel for parcel in relay.parcels if parcel.destination == bob.id]
    await bob.node.stop()
    later = await nodes.start("bob", clock=_LaterClock(), **PLAIN)
    async with liar_between(later, identity=relay.own.identity) as relay:
        for parcel in recorded:
            await relay.hand(parcel)
        await eventually(lambda: counted(later, "prekey_unknown") == len(recorded))
    assert later.received == []


# --- Suppressing and disturbing ------------------------------------------------------------------


async def test_a13_what_a_relay_suppresses_is_never_taken_for_delivered(nodes: Nodes) -> None:
    alice, bob = await pair(nodes)
    is_silent = [True]

    def tamper(parcel: Parcel) -> Sequence[Parcel]:
        return [] if is_silent else [parcel]

    async with liar_between(alice, bob, tamper=tamper) as relay:
        await know_each_other(alice, bob)
        _, message_id = await alice.node.send("bob", BODY)
        await eventually(lambda: bool(relay.parcels))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await alice.node.outgoing.wait_end(message_id)
        is_silent.clear()
        assert (await alice.node.outgoing.wait_end(message_id)).state.value == "delivered"
        assert bob.texts == [BODY.decode()]


async def test_a13_another_relay_carries_what_one_suppresses(nodes: Nodes) -> None:
    alice, bob = await pair(nodes)
    async with (
        liar_between(alice, bob, tamper=lambda _: []) as liar,
        liar_between(alice, bob, name="honest") as relay,
    ):
        await know_each_other(alice, bob)
        await alice.node.send("bob", BODY)
        assert await bob.has_received(1) == [BODY.decode()]
        assert bob.received[0].via == relay.id
        assert liar.id != relay.id


async def test_a13_parcels_that_change_places_are_read_in_order(nodes: Nodes) -> None:
    alice, bob = await pair(nodes)
    held: list[Parcel] = []

    def tamper(parcel: Parcel) -> Sequence[Parcel]:
        if parcel.destination != bob.id:
            return [parcel]
        held.append(parcel)
        if len(held) < 4:
            return []
        backwards = held[::-1]
        held.clear()
        return backwards

    async with liar_between(alice, bob, tamper=tamper) as relay:
        await know_each_other(alice, bob)
        for number in range(4):
            await alice.node.send("bob", b"%d" % number)
            await eventually(lambda n=number: len(_of(relay, bob.id)) > n)
        assert await bob.has_received(4) == ["0", "1", "2", "3"]


def _of(relay: Liar, destination: NodeId) -> list[Parcel]:
    return [parcel for parcel in relay.parcels if parcel.destination == destination]


async def test_a13_a_large_message_is_put_together_as_it_was_or_not_at_all(nodes: Nodes) -> None:
    """It goes in many parcels, of which some are lost, repeated, altered or change places."""
    alice, bob = await pair(nodes)
    number = 0

    def tamper(parcel: Parcel) -> Sequence[Parcel]:
        nonlocal number
        if parcel.destination != bob.id or number > 40:
            return [parcel]
        number += 1
        match number % 7:
            case 0:
                return []
            case 3:
                return [replace(parcel, parcel=_flip(-70)(parcel.parcel)), parcel, parcel]
            case 5:
                return [parcel, *relay.parcels[-4:]]
        return [parcel]

    large = os.urandom(1024 * 1024)
    async with liar_between(alice, bob, tamper=tamper) as relay:
        await know_each_other(alice, bob)
        await alice.node.send("bob", large)
        await alice.node.send("bob", b"behind it")
        await bob.has_received(2)
        assert [one.message.payload for one in bob.received] == [large, b"behind it"]
    assert number > 40


async def test_a13_a_relay_that_poses_as_a_node_far_away_is_refused_as_its_source(
    nodes: Nodes,
) -> None:
    """A relay may seal parcels of its own: then they are its own, whatever it says in them."""
    alice, bob = await pair(nodes)
    async with liar_between(alice, bob) as relay:
        await know_each_other(alice, bob)
        parcel = _forged(bob, alice, relay, relay.own.identity.public)
        await relay.hand(Parcel(relay.id, bob.id, parcel))
        await eventually(lambda: bob.node.counters["mesh.parcels_held"] == 1)
    assert bob.received == []

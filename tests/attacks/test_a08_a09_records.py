"""A8: records that are repeated, reordered, dropped, altered or cut off, between two nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from tests.support.attacker import CLOCK, PLAIN, dialling, in_the_middle, message, party
from tests.support.mallory import mallory
from tests.support.nodes import LEGACY, Nodes, eventually

from ironmesh.node.events import PeerOffline, PeerOnline
from ironmesh.types import Refusal, Unit
from ironmesh.wire.native.messages import encode_prefix

pytestmark = pytest.mark.usefixtures("outer")

FIRST_RECORD = 2
"""What alice says: M1, M3, and from here on records."""


def flipped(unit: Unit, at: int, bit: int = 0) -> bytes:
    assert isinstance(unit, bytes)
    changed = bytearray(unit)
    changed[at] ^= 1 << bit
    return bytes(changed)


ALTERED: dict[str, tuple[Callable[[bytes], Sequence[Unit]], set[str]]] = {
    "repeated": (lambda unit: [unit, unit], {"replay"}),
    "dropped": (lambda _: [], {"order"}),
    "cut short": (lambda unit: [unit[:-1]], {"undecryptable"}),
    "made longer": (
        lambda unit: [unit + b"\0" if isinstance(unit, bytes) else unit],
        {"undecryptable"},
    ),
    "nothing left of it": (lambda _: [b""], {"truncated", "protocol"}),
    "a bit of its version": (lambda unit: [flipped(unit, 0, 5)], {"protocol"}),
    "its flag SIGNED": (lambda unit: [flipped(unit, 0)], {"undecryptable"}),
    "its phase": (lambda unit: [flipped(unit, 1)], {"order"}),
    "its counter": (lambda unit: [flipped(unit, 5, 6)], {"order"}),
    "its first sealed byte": (lambda unit: [flipped(unit, 6)], {"undecryptable"}),
    "its signature": (lambda unit: [flipped(unit, -40)], {"undecryptable"}),
    "its tag": (lambda unit: [flipped(unit, -1)], {"undecryptable"}),
    "as text": (lambda _: ["text"], {"protocol"}),
}


@pytest.mark.parametrize("how", ALTERED)
async def test_a8_a_record_that_is_altered_ends_the_session_and_loses_nothing(
    nodes: Nodes, how: str
) -> None:
    alice, bob = await nodes.start("alice", **PLAIN), await nodes.start("bob", **PLAIN)
    alter, reasons = ALTERED[how]
    is_armed: list[bool] = []

    def tamper(way: str, number: int, unit: Unit) -> Sequence[Unit]:
        if way == "up" and number >= FIRST_RECORD and is_armed and is_armed.pop():
            assert isinstance(unit, bytes)
            return alter(unit)
        return [unit]

    async with in_the_middle(bob, tamper) as middle:
        await alice.node.connect(*middle.endpoint)
        await bob.online(alice)
        await alice.node.send("bob", b"before")
        await bob.has_received(1)
        is_armed.append(True)
        for text in (b"one", b"two", b"three"):
            await alice.node.send("bob", text)
        (gone,) = await bob.seen.wait(PeerOffline)
        reason = gone.reason.partition(":")[0]
        assert reason in reasons
        assert bob.node.counters[f"refused.{reason}"] == 1
        await bob.seen.wait(PeerOnline, count=2)
        assert await bob.has_received(4) == ["before", "one", "two", "three"]
    if reason in {"replay", "order", "undecryptable"}:
        assert "MESSAGE_REFUSED" in bob.audited()


async def test_a8_two_records_that_change_places_end_the_session(nodes: Nodes) -> None:
    alice, bob = await nodes.start("alice", **PLAIN), await nodes.start("bob", **PLAIN)
    held: list[Unit] = []
    is_armed: list[bool] = []

    def tamper(way: str, number: int, unit: Unit) -> Sequence[Unit]:
        if way == "down" or not is_armed:
            return [unit]
        if not held:
            held.append(unit)
            return []
        is_armed.clear()
        return [unit, *held]

    async with in_the_middle(bob, tamper) as middle:
        link = await alice.node.connect(*middle.endpoint)
        await bob.online(alice)
        await alice.node.send("bob", b"before")
        await bob.has_received(1)
        is_armed.append(True)
        await alice.node.send("bob", b"one")
        await eventually(lambda: bool(held))
        link.ping()
        (gone,) = await bob.seen.wait(PeerOffline)
        assert gone.reason.startswith("order")
        assert await bob.has_received(2) == ["before", "one"]


async def test_a8_an_end_that_nobody_said_is_reported(nodes: Nodes) -> None:
    alice, bob = await nodes.start("alice", **PLAIN), await nodes.start("bob", **PLAIN)
    async with in_the_middle(bob) as middle:
        await alice.node.connect(*middle.endpoint)
        await bob.online(alice)
        await middle.cut()
        for live, other in ((alice, bob), (bob, alice)):
            (gone, *_) = await live.seen.wait(PeerOffline)
            assert gone.reason.startswith("truncated")
            await live.seen.wait(PeerOnline, count=2)
            assert live.link(other) is not None


@pytest.mark.parametrize("lost", ["KEY_UPDATE", "KEY_ANSWER", "KEY_UPDATED"])
async def test_a8_nothing_can_be_cut_off_at_a_phase_change(nodes: Nodes, lost: str) -> None:
    alice, bob = await nodes.start("alice", **PLAIN), await nodes.start("bob", **PLAIN)
    place = {"KEY_UPDATE": ("up", 0), "KEY_ANSWER": ("down", 0), "KEY_UPDATED": ("up", 1)}[lost]
    counts = {"up": 0, "down": 0}
    is_armed = False

    def tamper(way: str, number: int, unit: Unit) -> Sequence[Unit]:
        if not is_armed:
            return [unit]
        counts[way] += 1
        return [] if (way, counts[way] - 1) == place else [unit]

    async with in_the_middle(bob, tamper) as middle:
        link = await alice.node.connect(*middle.endpoint)
        await bob.online(alice)
        await alice.node.send("bob", b"before")
        await bob.has_received(1)
        await eventually(lambda: alice.waiting(bob) == 0)
        is_armed = True
        link.rekey()
        await eventually(lambda: counts[place[0]] > place[1], "the record that is dropped")
        for text in (b"one", b"two"):
            await alice.node.send("bob", text)
            await bob.node.send("alice", text)
        await alice.seen.wait(PeerOffline)
        await bob.seen.wait(PeerOffline)
        reasons = {live.seen.of(PeerOffline)[0].reason.partition(":")[0] for live in (alice, bob)}
        assert reasons & {"order", "replay"}
        assert await bob.has_received(3) == ["before", "one", "two"]
        assert await alice.has_received(2) == ["one", "two"]


# --- The 0.8 wire --------------------------------------------------------------------------------


async def test_a8_on_the_08_wire_a_frame_said_twice_is_taken_once(nodes: Nodes) -> None:
    alice = await nodes.start("alice", **PLAIN, **LEGACY)
    async with mallory(alice) as peer:
        session = await peer.open_session()
        *pings, unit = session.seal(b"once")
        await peer.say(*pings, unit, unit)
        await session.send(b"afterwards")
        await eventually(lambda: "afterwards" in alice.texts)
    assert alice.texts == ["once", "afterwards"]
    assert alice.node.counters["refused.replay"] == 1


@pytest.mark.parametrize("at", [4, 12, 20, 40, -1], ids=["sequence", "time", "id", "seal", "sign"])
async def test_a8_on_the_08_wire_an_altered_frame_is_dropped(nodes: Nodes, at: int) -> None:
    alice = await nodes.start("alice", **PLAIN, **LEGACY)
    async with mallory(alice) as peer:
        session = await peer.open_session()
        *_, unit = session.seal(b"altered")
        await peer.say(flipped(unit, at))
        await session.send(b"afterwards")
        await eventually(lambda: "afterwards" in alice.texts)
    assert alice.texts == ["afterwards"]
    counters = alice.node.counters.snapshot()
    assert {"refused.header_mismatch", "refused.bad_signature"} & set(counters)


# --- A9: not signed ------------------------------------------------------------------------------


async def test_a9_a_message_without_a_signature_is_refused(nodes: Nodes) -> None:
    bob = await nodes.start("bob", **PLAIN)
    own = party()
    async with dialling(bob) as peer:
        channel = await peer.join(own)
        said = message(own, bob.id, b"not signed")
        writer = channel._writer
        assert writer is not None
        encoded = encode_prefix(said) + said.payload
        await peer.say(writer.seal(encoded, is_signed=False))
        await peer.hear_end()
    (gone,) = await bob.seen.wait(PeerOffline)
    assert gone.reason.startswith("unsigned")
    assert bob.received == []
    assert bob.node.counters["refused.unsigned"] == 1
    assert "MESSAGE_REFUSED" in bob.audited()


async def test_a9_a_message_that_another_key_signed_is_refused(nodes: Nodes) -> None:
    """Session keys alone, stolen from a peer, do not write in its name."""
    bob = await nodes.start("bob", **PLAIN)
    own = party()
    async with dialling(bob) as peer:
        channel = await peer.join(own)
        writer = channel._writer
        assert writer is not None
        writer._identity = party("thief").identity
        await peer.say(*channel.seal([message(own, bob.id, b"in its name")], CLOCK.now()))
        await peer.hear_end()
    (gone,) = await bob.seen.wait(PeerOffline)
    assert gone.reason.startswith("bad_signature")
    assert bob.received == []
    assert bob.node.counters["refused.bad_signature"] == 1


async def test_a9_on_the_08_wire_a_frame_without_a_signature_is_refused(nodes: Nodes) -> None:
    alice = await nodes.start("alice", **PLAIN, **LEGACY)
    async with mallory(alice) as peer:
        session = await peer.open_session()
        *_, unit = session.seal(b"not signed")
        assert isinstance(unit, bytes)
        await peer.say(unit[:-64] + bytes(64))
        await session.send(b"afterwards")
        await eventually(lambda: "afterwards" in alice.texts)
    assert alice.texts == ["afterwards"]
    assert alice.node.counters[f"refused.{Refusal.BAD_SIGNATURE}"] == 1

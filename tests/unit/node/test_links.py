"""A link, state by state: its goodbye, its silence, and what it leaves when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from tests.support.announcements import native_peer
from tests.support.nodes import Live, MemoryTransport, MovableClock, Nodes, eventually

from ironmesh.node.entrance import Dialled
from ironmesh.node.events import PeerOffline, PeerOnline
from ironmesh.node.link import SPARE_S, LinkState
from ironmesh.node.ports import SUBPROTOCOLS
from ironmesh.session.interface import Piece
from ironmesh.types import Instant, MeshMode, Message, Unit

Place = Callable[[], MemoryTransport]
Pair = tuple[Live, Live]


ALONE = {"mesh_routing": MeshMode.OFF}
"""What a link is asked to write is then what the test wants."""


@pytest.fixture
async def pair(nodes: Nodes, place: Place) -> Pair:
    """Alice, who dialled, and bob."""
    alice = await nodes.start("alice", transport=place(), clock=MovableClock(), **ALONE)
    bob = await nodes.start("bob", transport=place(), clock=MovableClock(), **ALONE)
    await alice.dial(bob)
    await eventually(lambda: alice.link(bob).has_heard and bob.link(alice).has_heard)
    return alice, bob


def wire(live: Live) -> MemoryTransport:
    return live.node._running().transport


def burst(live: Live, other: Live, count: int) -> None:
    """Queue messages on the link at once, without a disk between."""
    make = live.node._traffic().post.outbound._live.make
    live.link(other).enqueue([make(other.id, "MSG", b"%d" % number) for number in range(count)])


async def test_what_arrives_after_our_goodbye_is_still_delivered(pair: Pair) -> None:
    alice, bob = pair
    wire(alice).may_dial.clear()
    burst(bob, alice, 50)
    await asyncio.sleep(0)
    alice.link(bob).close_soon("enough")
    await alice.offline(bob.id)
    assert await alice.has_received(50) == [str(number) for number in range(50)]


async def test_what_arrives_after_a_final_goodbye_is_not_delivered(pair: Pair) -> None:
    alice, bob = pair
    wire(alice).may_dial.clear()
    burst(bob, alice, 50)
    alice.link(bob).close_soon("no more", is_listening=False)
    await alice.offline(bob.id)
    assert alice.texts == []


async def test_the_goodbye_tells_the_peer_why(pair: Pair) -> None:
    alice, bob = pair
    alice.link(bob).close_soon("closing time")
    offline = await bob.seen.wait(PeerOffline)
    assert offline[0].reason == "closing time"


async def test_a_peer_that_does_not_answer_a_goodbye_is_not_waited_for(pair: Pair) -> None:
    alice, bob = pair
    link = alice.link(bob)
    wire(alice).connections[0].is_silent = True
    link.close_soon("enough")
    await eventually(lambda: link.state is LinkState.CLOSING)
    alice.node._clock.advance(1.0)
    link.ping()
    await alice.offline(bob.id)


async def test_a_message_that_was_written_when_the_link_broke_arrives_once(pair: Pair) -> None:
    alice, bob = pair
    connection = wire(alice).connections[0]
    connection.may_return.clear()
    await alice.node.send("bob", b"once")
    await bob.has_received(1)
    alice.link(bob).abort()
    connection.may_return.set()
    await alice.seen.wait(PeerOnline, count=2)
    await alice.node.send("bob", b"twice")
    assert await bob.has_received(2) == ["once", "twice"]


async def test_a_peer_that_fell_silent_is_noticed_by_a_probe(pair: Pair) -> None:
    alice, bob = pair
    link = alice.link(bob)
    wire(alice).connections[0].is_silent = True
    wire(alice).may_dial.clear()
    link.probe()
    alice.node._clock.advance(3.0)
    link.ping()
    await alice.offline(bob.id)


async def test_the_silence_of_a_peer_is_ours_while_we_do_not_read(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = pair
    go_on = asyncio.Event()
    inbound = bob.node._traffic().post.inbound
    deliver = inbound.deliver

    async def lag_behind(*given: object) -> None:
        await go_on.wait()
        assert deliver(*given) is None

    monkeypatch.setattr(inbound, "deliver", lag_behind)
    link = bob.link(alice)
    await alice.node.send("bob", b"one")
    await eventually(lambda: link._reader._waiting is not None)
    bob.node._clock.advance(200.0)
    link.ping()
    await asyncio.sleep(0)
    await alice.node.send("bob", b"two")
    go_on.set()
    assert await bob.has_received(2) == ["one", "two"]
    assert bob.link(alice) is link
    assert bob.flaps() == bob.seen.of(PeerOnline)


async def test_a_spare_link_ends_by_itself(pair: Pair) -> None:
    alice, bob = pair
    link = alice.link(bob)
    wire(alice).may_dial.clear()
    link.set_aside()
    assert link.state is LinkState.SPARE
    alice.node._clock.advance(SPARE_S)
    link.ping()
    await link.wait_ended()


async def test_a_link_that_is_set_aside_is_still_read(pair: Pair) -> None:
    alice, bob = pair
    alice.link(bob).set_aside()
    await bob.node.send("alice", b"over the old one")
    assert await alice.has_received(1) == ["over the old one"]


async def test_a_spare_link_takes_over_when_the_one_that_replaced_it_ends(pair: Pair) -> None:
    alice, bob = pair
    first = alice.link(bob)
    parts = alice.node._running()
    # Bob never hears over the second connection that alice has it up, and so keeps the first.
    connection = await parts.transport.dial(bob.endpoint, use_tls=False, subprotocols=SUBPROTOCOLS)
    second = await alice.node._traffic().sessions.open(connection, Dialled())
    assert await second.wait_confirmed()
    connection.is_silent = True
    assert alice.link(bob) is second
    assert first.state is LinkState.SPARE
    connection._inner.abort()
    await second.wait_ended()
    await alice.node.send("bob", b"over the first one")
    assert await bob.has_received(1) == ["over the first one"]
    assert alice.link(bob) is first
    assert alice.flaps() == alice.seen.of(PeerOnline)


async def test_a_found_peer_that_is_also_configured_has_one_session(
    nodes: Nodes, place: Place
) -> None:
    bob = await nodes.start("bob", transport=place())
    alice = await nodes.start("alice", transport=place(), open_discovery=True)
    dialer = alice.node._traffic().dialer
    dialer.add_address(bob.endpoint)
    dialer.follow(native_peer("bob", bob.endpoint), waits_for_call=False)
    await alice.online(bob)
    await bob.online(alice)
    for live, other in ((alice, bob), (bob, alice)):
        await eventually(lambda live=live: len(list(live.node.links.all())) == 1, "one link")
        assert live.flaps() == live.seen.of(PeerOnline)
        await live.node.send(other.name, b"hello")
        await other.has_received(1)
    dialer.follow(native_peer("bob", bob.endpoint), waits_for_call=False)
    await asyncio.sleep(0.05)
    assert len(wire(alice).dials) <= 2, "who is online is not dialled again"


async def test_a_peer_is_told_again_what_this_node_can_do_after_a_reconnect(
    nodes: Nodes, place: Place
) -> None:
    alice = await nodes.start("alice", transport=place(), capabilities=("llm:llama3",))
    bob = await nodes.start("bob", transport=place())
    await alice.dial(bob)
    await eventually(lambda: bob.node.capabilities.find("llm:*") == [(alice.id, "llm:llama3")])
    again = await nodes.again(bob)
    await eventually(lambda: again.node.capabilities.find("llm:*") == [(alice.id, "llm:llama3")])


def records_of(live: Live, other: Live, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return how many messages each record of a link gets from now on."""
    channel, sizes = live.link(other)._channel, []
    seal = channel.seal

    def seal_and_count(
        messages: Sequence[Message], now: Instant, piece: Piece | None
    ) -> list[Unit]:
        if messages:
            sizes.append(len(messages))
        return seal(messages, now, piece)

    monkeypatch.setattr(channel, "seal", seal_and_count)
    return sizes


async def test_what_can_wait_goes_in_the_record_of_what_follows(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = pair
    sizes = records_of(alice, bob, monkeypatch)
    make = alice.node._traffic().post.outbound._live.make
    alice.link(bob).enqueue([make(bob.id, "MSG", b"first")], can_wait=True)
    await asyncio.sleep(0)
    burst(alice, bob, 1)
    assert await bob.has_received(2) == ["first", "0"]
    assert sizes == [2]


async def test_what_can_wait_goes_alone_when_nothing_follows(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = pair
    sizes = records_of(alice, bob, monkeypatch)
    make = alice.node._traffic().post.outbound._live.make
    alice.link(bob).enqueue([make(bob.id, "MSG", b"alone")], can_wait=True)
    assert await bob.has_received(1) == ["alone"]
    assert sizes == [1]

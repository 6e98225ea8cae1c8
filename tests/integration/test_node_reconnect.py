"""Peers that go, vanish and come back."""

from __future__ import annotations

import asyncio

from tests.support.nodes import Live, MovableClock, Nodes, eventually
from tests.support.proxy import fault_proxy

from ironmesh.config import PeerAddress
from ironmesh.node.events import PeerOffline, PeerOnline
from ironmesh.types import MessagePriority


async def _send_numbers(live: Live, to: str, first: int, count: int) -> None:
    for number in range(first, first + count):
        await live.node.send(to, b"%d" % number)


def _numbers(first: int, count: int) -> list[str]:
    return [str(number) for number in range(first, first + count)]


async def test_a_peer_that_starts_again_is_online_again(nodes: Nodes) -> None:
    alice, bob = await nodes.pair()
    again = await nodes.again(bob)
    await alice.seen.wait(PeerOnline, count=2)
    assert [type(event) for event in alice.flaps()] == [PeerOnline, PeerOffline, PeerOnline]
    await alice.node.send("bob", b"still there")
    assert await again.has_received(1) == ["still there"]


async def test_what_waits_for_a_peer_is_delivered_in_order_when_it_returns(nodes: Nodes) -> None:
    alice, bob = await nodes.pair()
    await bob.node.stop()
    await alice.offline(bob.known_id)
    await _send_numbers(alice, "bob", 0, 100)
    assert alice.waiting(bob) == 100
    again = await nodes.again(bob)
    assert await again.has_received(100) == _numbers(0, 100)
    await eventually(lambda: alice.waiting(bob) == 0, "the receipts")


async def test_of_what_waits_the_most_urgent_goes_first(nodes: Nodes) -> None:
    alice, bob = await nodes.pair()
    await bob.node.stop()
    await alice.offline(bob.known_id)
    for text in ("LOW", "NORMAL", "HIGH", "CRITICAL"):
        await alice.node.send("bob", text.encode(), priority=MessagePriority(text))
    again = await nodes.again(bob)
    assert await again.has_received(4) == ["CRITICAL", "HIGH", "NORMAL", "LOW"]


async def test_nothing_is_lost_while_a_peer_stops_and_starts_again(nodes: Nodes) -> None:
    alice, bob = await nodes.pair()
    lives = [bob]

    async def restart() -> None:
        for _ in range(3):
            await asyncio.sleep(0.05)
            lives.append(await nodes.again(lives[-1]))
            await lives[-1].seen.wait(PeerOnline)

    task = asyncio.create_task(restart())
    sent = 0
    while not task.done():
        await _send_numbers(alice, bob.known_id, sent, 10)
        sent += 10
        await asyncio.sleep(0.01)
    await task
    await eventually(lambda: sum(len(live.received) for live in lives) >= sent, "all messages")
    assert [text for live in lives for text in live.texts] == _numbers(0, sent)


async def test_a_configured_address_is_dialled_until_somebody_is_there(nodes: Nodes) -> None:
    bob = await nodes.start("bob")
    address = PeerAddress(*bob.endpoint)
    await bob.node.stop()
    alice = await nodes.start("alice", peers=(address,))
    again = await nodes.start("bob", port=address.port)
    await alice.online(again)


async def test_both_ends_with_the_address_of_the_other_keep_one_session(nodes: Nodes) -> None:
    bob = await nodes.start("bob")
    address = PeerAddress(*bob.endpoint)
    alice = await nodes.start("alice", peers=(address,))
    bob.node._traffic().dialer.add_address(alice.endpoint)
    await alice.online(bob)
    await bob.online(alice)
    for live, other in ((alice, bob), (bob, alice)):
        await eventually(lambda live=live: len(list(live.node.links.all())) == 1, "one link")
        assert [type(event) for event in live.flaps()] == [PeerOnline]
        assert not live.node.counters["refused.duplicate"]
        await live.node.send(other.name, b"hello")
        await other.has_received(1)


async def test_a_connection_that_is_cut_is_dialled_again(nodes: Nodes) -> None:
    alice, bob = await nodes.start("alice"), await nodes.start("bob")
    async with fault_proxy(*bob.endpoint) as proxy:
        await alice.node.connect("127.0.0.1", proxy.port)
        await alice.node.send("bob", b"before")
        await bob.has_received(1)
        proxy.drop()
        await alice.offline(bob.id)
        await bob.offline(alice.id)
        await alice.node.send("bob", b"after")
        assert await bob.has_received(2) == ["before", "after"]


async def test_a_peer_that_fell_silent_is_noticed_when_asked(nodes: Nodes) -> None:
    clock = MovableClock()
    alice, bob = await nodes.start("alice", clock=clock), await nodes.start("bob")
    async with fault_proxy(*bob.endpoint) as proxy:
        link = await alice.node.connect("127.0.0.1", proxy.port)
        proxy.to_server.stall()
        proxy.to_client.stall()
        proxy.refusing = True
        link.probe()
        clock.advance(3.0)
        link.ping()
        await alice.offline(bob.id)
        assert "does not answer" in alice.seen.of(PeerOffline)[0].reason


async def test_a_peer_that_answers_a_probe_stays(nodes: Nodes) -> None:
    clock = MovableClock()
    alice, bob = await nodes.start("alice", clock=clock), await nodes.start("bob")
    link = await alice.dial(bob)
    await eventually(lambda: link.rtt_s is not None, "the first pong")
    heard = link.last_heard_mono
    link.probe()
    await eventually(lambda: link.last_heard_mono > heard, "the pong")
    clock.advance(10.0)
    link.ping()
    await alice.node.send("bob", b"still up")
    await bob.has_received(1)
    assert alice.link(bob) is link


async def test_a_peer_that_was_silent_for_long_is_given_up(nodes: Nodes) -> None:
    clock = MovableClock()
    alice, bob = await nodes.start("alice", clock=clock), await nodes.start("bob")
    async with fault_proxy(*bob.endpoint) as proxy:
        link = await alice.node.connect("127.0.0.1", proxy.port)
        proxy.to_client.stall()
        proxy.refusing = True
        clock.advance(91.0)
        link.ping()
        await alice.offline(bob.id)


async def test_messages_of_a_link_that_died_unnoticed_go_over_the_next_one(nodes: Nodes) -> None:
    """What was queued and not yet taken by the connection; what was taken may be lost."""
    alice, bob = await nodes.start("alice"), await nodes.start("bob")
    async with fault_proxy(*bob.endpoint) as proxy:
        link = await alice.node.connect("127.0.0.1", proxy.port)
        proxy.drop()
        await link.wait_ended()
        await _send_numbers(alice, "bob", 0, 20)
        assert await bob.has_received(20) == _numbers(0, 20)

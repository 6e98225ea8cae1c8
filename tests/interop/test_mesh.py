"""Nodes of ours in a published mesh of several hops: as its relay, and at its ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.support.agent_process import AgentFailed, AgentProcess
from tests.support.netns import Host
from tests.support.published import EARLY_HANDLERS

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

LONG_S = 40.0
PLAIN = {"allow_plaintext": True}
OFTEN = {**PLAIN, "route_announce_interval": 1.0}
"""A published node that announces routes every second instead of every 30 s."""

ANNOUNCED_S = 3.0
"""In which such a node has announced what it knows now; nothing shows when."""

Start = Callable[..., Any]


async def send_until_it_arrives(
    source: AgentProcess, target: AgentProcess, text: str, *, tries: int = 30
) -> int:
    """Send a text until it is there: a published mesh takes its time and says nothing of losses."""
    for number in range(tries):
        try:
            await source.send(target.node_id, text)
        except AgentFailed:
            await asyncio.sleep(1.0)
            continue
        try:
            await target.wait_message(text, timeout_s=1.0)
        except AgentFailed:
            continue
        return number
    raise AssertionError(f"{text!r} never arrived at {target.name}")


async def met(node: AgentProcess, far: AgentProcess) -> None:
    """Let two nodes meet once, so that each knows the other's key, and part again."""
    await far.connect_to(node)
    await far.kill()
    await node.wait_peer_gone(far)
    await far.start()


async def refusal_of_sending(source: AgentProcess, target: AgentProcess) -> str:
    """Send until it is refused; return why. As long as no route is known it is accepted."""
    while True:
        try:
            await source.send(target.node_id, "nobody else may read this")
        except AgentFailed as error:
            return str(error)
        await asyncio.sleep(0.5)


async def test_two_published_nodes_reach_each_other_over_a_relay_of_ours(
    ours: Start, published: Start
) -> None:
    relay = await ours(**PLAIN)
    one = await published(**OFTEN)
    other = await published(**OFTEN)
    await one.connect_to(relay)
    await other.connect_to(relay)
    await send_until_it_arrives(one, other, "there")
    await send_until_it_arrives(other, one, "and back")
    (arrived,) = {message.peer_id for message in other.received("MSG")}
    assert arrived == relay.node_id, "published nodes show the neighbour, whoever wrote it"


async def test_a_message_of_ours_crosses_a_published_relay_sealed_and_the_opened_text_wins(
    ours: Start, published: Start
) -> None:
    node = await ours(**PLAIN)
    relay = await published(**OFTEN)
    far = await published(**OFTEN)
    await met(node, far)
    await node.connect_to(relay)
    await far.connect_to(relay)
    await send_until_it_arrives(node, far, "for you alone")
    (arrived,) = {message.peer_id for message in far.received("MSG")}
    assert arrived == relay.node_id


async def test_a_message_over_a_published_relay_shows_its_true_source_here(
    ours: Start, published: Start
) -> None:
    node = await ours(**PLAIN)
    relay = await published(**OFTEN)
    far = await published(**OFTEN)
    await met(node, far)
    await node.connect_to(relay)
    await far.connect_to(relay)
    await send_until_it_arrives(far, node, "it is me")
    (arrived,) = {message.peer_id for message in node.received("MSG")}
    assert arrived == far.node_id
    await send_until_it_arrives(node, far, "and this is the answer")


async def test_without_a_key_nothing_goes_over_a_published_relay(
    ours: Start, published: Start
) -> None:
    node = await ours(**PLAIN)
    relay = await published(**OFTEN)
    far = await published(**OFTEN)
    await far.connect_to(relay)
    await node.connect_to(relay)
    async with asyncio.timeout(LONG_S):
        assert "--allow-plain-relay" in await refusal_of_sending(node, far)
    assert far.received() == []


async def test_two_nodes_of_ours_speak_their_own_wire_through_a_published_relay(
    ours: Start, published: Start
) -> None:
    relay = await published(start={"types": ["IM5"]}, **OFTEN)
    one, other = await ours(**PLAIN), await ours(**PLAIN)
    await one.connect_to(relay)
    await other.connect_to(relay)
    await one.wait_peer(other, timeout_s=LONG_S)
    await other.wait_peer(one, timeout_s=LONG_S)
    await one.send(other.node_id, "through the relay")
    await other.wait_message("through the relay", timeout_s=LONG_S)
    await other.send(one.name, "and back, by name")
    await one.wait_message("and back, by name", timeout_s=LONG_S)
    assert relay.received() == []


async def test_a_node_without_the_08_wire_and_a_published_one_talk_over_a_bridge(
    ours: Start, published: Start
) -> None:
    bridge = await ours(**PLAIN)
    node = await ours(allow_legacy=False, legacy_same_passphrase=False, **PLAIN)
    far = await published(**OFTEN)
    await node.connect_to(bridge)
    await far.connect_to(bridge)
    await send_until_it_arrives(far, node, "from the old world")
    (arrived,) = {message.peer_id for message in node.received("MSG")}
    assert arrived == far.node_id
    await node.send(far.node_id, "an answer")
    assert (await far.wait_message("an answer")).peer_id == bridge.node_id
    assert bridge.received() == []


async def test_two_published_nodes_behind_two_bridges_reach_each_other(
    ours: Start, published: Start
) -> None:
    left, right = await ours(**PLAIN), await ours(**PLAIN)
    one, other = await published(**OFTEN), await published(**OFTEN)
    await left.connect_to(right)
    await one.connect_to(left)
    await other.connect_to(right)
    await send_until_it_arrives(one, other, "across")
    await send_until_it_arrives(other, one, "and back")
    assert left.received() == right.received() == []


async def line_in(
    hosts: Sequence[Host], kinds: Sequence[tuple[Start, dict[str, Any]]]
) -> list[AgentProcess]:
    """Start one node in each host, and let each dial the one in the host before it."""
    nodes: list[AgentProcess] = []
    for host, (start, settings) in zip(hosts, kinds, strict=True):
        node = await start(netns=host.name, bind="0.0.0.0", **settings)
        if nodes:
            await node.connect_to(nodes[-1], host=hosts[len(nodes) - 1].address)
        nodes.append(node)
    return nodes


@pytest.mark.netns
async def test_a_line_of_five_hosts_with_a_published_relay_in_its_middle(
    ours: Start, published: Start, five_hosts: list[Host]
) -> None:
    one, other = (ours, PLAIN), (published, OFTEN)
    nodes = await line_in(five_hosts, [one, one, other, one, one])
    first, relay, last = nodes[0], nodes[2], nodes[4]
    await nodes[1].wait_peer(nodes[3], timeout_s=LONG_S)
    await send_until_it_arrives(first, last, "over four links")
    await last.send(first.name, "and back, by name")
    arrived = await first.wait_message("and back, by name", timeout_s=LONG_S)
    assert arrived.peer_id == last.node_id
    assert relay.received() == []


@pytest.mark.netns
async def test_a_line_of_five_hosts_with_a_published_node_at_its_end(
    ours: Start, published: Start, five_hosts: list[Host]
) -> None:
    one, other = (ours, PLAIN), (published, OFTEN)
    nodes = await line_in(five_hosts, [one, one, one, one, other])
    first, end = nodes[0], nodes[-1]
    await send_until_it_arrives(end, first, "from the far end")
    (source,) = {message.peer_id for message in first.received("MSG")}
    assert source == end.node_id
    async with asyncio.timeout(LONG_S):
        while not await knows_name(first, end):
            await asyncio.sleep(0.5)
    await end.wait_message("and back, by name", timeout_s=LONG_S)


async def knows_name(source: AgentProcess, target: AgentProcess) -> bool:
    """Send by name; False if the name is not known yet."""
    try:
        await source.send(target.name, "and back, by name")
    except AgentFailed as error:
        if "UnknownPeerError" in str(error):
            return False
        raise
    return True


async def test_a_tunnel_ends_with_its_relay_and_comes_back_with_it_and_loses_nothing(
    ours: Start, published: Start
) -> None:
    relay = await published(start=EARLY_HANDLERS, **OFTEN)
    peers = [f"127.0.0.1:{relay.port}"]
    one, other = await ours(peers=peers, **PLAIN), await ours(peers=peers, **PLAIN)
    await one.wait_peer(other, timeout_s=LONG_S)
    await other.wait_peer(one, timeout_s=LONG_S)
    await relay.kill()
    await one.wait_peer_gone(other, timeout_s=3.0)
    await other.wait_peer_gone(one, timeout_s=3.0)
    await one.send_many(other.node_id, "n", 20)
    await relay.start()
    arrived = await other.wait_messages(20, timeout_s=LONG_S)
    assert [message.text for message in arrived] == [f"n{number}" for number in range(20)]


async def test_of_two_published_relays_one_takes_over_when_the_other_dies(
    ours: Start, published: Start
) -> None:
    """One of the two kills hits the relay over which the tunnel goes."""
    relays = [await published(start=EARLY_HANDLERS, **OFTEN) for _ in range(2)]
    peers = [f"127.0.0.1:{relay.port}" for relay in relays]
    one, other = await ours(peers=peers, **PLAIN), await ours(peers=peers, **PLAIN)
    for number, relay in enumerate(relays):
        for node in (one, other):
            await node.wait_peer(relays[0], timeout_s=LONG_S)
            await node.wait_peer(relays[1], timeout_s=LONG_S)
        await one.wait_peer(other, timeout_s=LONG_S)
        await send_until_it_arrives(one, other, f"before {number}")
        await asyncio.sleep(ANNOUNCED_S)
        await relay.kill()
        await one.send(other.node_id, f"after {number}")
        await other.wait_message(f"after {number}", timeout_s=8.0)
        await relay.start()
    texts = [message.text for message in other.received() if message.text.startswith("after")]
    assert texts == ["after 0", "after 1"]


async def test_a_tunnel_over_two_published_relays_keeps_their_limits_and_loses_nothing(
    ours: Start, published: Start
) -> None:
    near, far = await published(**OFTEN), await published(**OFTEN)
    await near.connect_to(far)
    one, other = await ours(**PLAIN), await ours(**PLAIN)
    await one.connect_to(near)
    await other.connect_to(far)
    await one.wait_peer(other, timeout_s=LONG_S)
    await other.wait_peer(one, timeout_s=LONG_S)
    large = bytes(range(256)) * 6 * 1024
    await one.send(other.node_id, large, "CONV")
    await one.send_many(other.node_id, "n", 500)
    await other.send_many(one.node_id, "m", 500)
    there = await other.wait_messages(500, timeout_s=LONG_S)
    back = await one.wait_messages(500, timeout_s=LONG_S)
    assert [message.text for message in there] == [f"n{number}" for number in range(500)]
    assert [message.text for message in back] == [f"m{number}" for number in range(500)]
    await other.wait_message(large, "CONV", timeout_s=LONG_S)
    for node, relay in ((one, near), (other, far)):
        assert {event["type"] for event in node.events if event["event"] == "control"} <= {"PONG"}
        assert not [event for event in relay.events if event.get("type") == "RATE_LIMITED"]


async def test_a_published_node_finds_what_native_nodes_behind_a_relay_of_ours_can_do(
    ours: Start, published: Start
) -> None:
    relay = await ours(**PLAIN)
    node = await ours(
        allow_legacy=False, legacy_same_passphrase=False, capabilities=["llm:x"], **PLAIN
    )
    far = await published(**OFTEN)
    await node.connect_to(relay)
    await far.connect_to(relay)
    async with asyncio.timeout(LONG_S):
        while [node.node_id, "llm:x"] not in (await far.call("find", pattern="llm:*"))["found"]:
            await asyncio.sleep(0.5)

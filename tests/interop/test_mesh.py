"""Nodes of ours in a published mesh of several hops: as its relay, and at its ends."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.agent_process import AgentFailed, AgentProcess

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

LONG_S = 40.0
PLAIN = {"allow_plaintext": True}
OFTEN = {**PLAIN, "route_announce_interval": 1.0}
"""A published node that announces routes every second instead of every 30 s."""

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


async def line_of(*nodes: AgentProcess) -> None:
    """Let each node dial the one before it."""
    for before, node in itertools.pairwise(nodes):
        await node.connect_to(before)


async def test_a_line_of_five_with_a_published_relay_in_its_middle(
    ours: Start, published: Start
) -> None:
    left = [await ours(**PLAIN) for _ in range(2)]
    relay = await published(start={"types": ["HEALTH"]}, **OFTEN)
    right = [await ours(**PLAIN) for _ in range(2)]
    await line_of(*left, relay, *right)
    first, last = left[0], right[-1]
    await left[1].wait_peer(right[0], timeout_s=LONG_S)
    await send_until_it_arrives(first, last, "over four links")
    await last.send(first.name, "and back, by name")
    arrived = await first.wait_message("and back, by name", timeout_s=LONG_S)
    assert arrived.peer_id == last.node_id
    assert relay.received() == []


async def test_a_line_of_five_with_a_published_node_at_its_end(
    ours: Start, published: Start
) -> None:
    line = [await ours(**PLAIN) for _ in range(4)]
    end = await published(**OFTEN)
    await line_of(*line)
    await end.connect_to(line[-1])
    first = line[0]
    await send_until_it_arrives(end, first, "from the far end")
    (source,) = {message.peer_id for message in first.received("MSG")}
    assert source == end.node_id
    await first.send(end.name, "and back, by name")
    await end.wait_message("and back, by name", timeout_s=LONG_S)

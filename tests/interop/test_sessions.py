"""A session with the published node, in all four ways: who dials, with and without TLS."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.interop.pairs import WAYS, Pairs
from tests.support.published import FREQUENT_PINGS

pytestmark = [pytest.mark.interop, pytest.mark.timeout(90)]

each_way = pytest.mark.parametrize(("dialler", "scheme"), WAYS)
CONVERSATION = {
    "v": 1,
    "conv_id": "c-1",
    "turn": 0,
    "max_turns": 4,
    "kind": "prompt",
    "body": "Grüße, 世界",
    "x_extra": [1, 2],
}


@each_way
async def test_messages_pass_both_ways_and_name_their_writer(
    pairs: Pairs, dialler: str, scheme: str
) -> None:
    pair = await pairs.connected(dialler, scheme)
    await pair.ours.send(pair.theirs.node_id, "from us: ünï")
    await pair.theirs.send(pair.ours.node_id, "from them: ünï")
    assert (await pair.theirs.wait_message("from us: ünï")).peer_id == pair.ours.node_id
    assert (await pair.ours.wait_message("from them: ünï")).peer_id == pair.theirs.node_id


@each_way
async def test_agents_answer_each_other_from_their_handlers(
    pairs: Pairs, dialler: str, scheme: str
) -> None:
    echo = {"start": {"echo": True}}
    pair = await pairs.connected(dialler, scheme, theirs=echo)
    await pair.ours.send(pair.theirs.name, "ping")
    assert (await pair.ours.wait_message("echo:ping")).peer_id == pair.theirs.node_id


async def test_the_published_agent_gets_answers_from_our_handler(pairs: Pairs) -> None:
    pair = await pairs.connected("theirs", "ws", ours={"start": {"echo": True}})
    await pair.theirs.send(pair.ours.name, "ping")
    assert (await pair.theirs.wait_message("echo:ping")).peer_id == pair.ours.node_id


async def test_conversations_pass_unchanged_both_ways(pairs: Pairs) -> None:
    pair = await pairs.connected()
    text = json.dumps(CONVERSATION)
    await pair.ours.send(pair.theirs.node_id, text, "CONV")
    await pair.theirs.send(pair.ours.node_id, text, "CONV")
    for node in (pair.ours, pair.theirs):
        message = await node.wait_message(text, "CONV")
        assert json.loads(message.payload) == CONVERSATION


@pytest.mark.parametrize("msg_type", ["REQ", "RESP", "x-sensor"])
async def test_other_types_keep_their_name(pairs: Pairs, msg_type: str) -> None:
    listen = {"start": {"types": ["x-sensor"]}}
    pair = await pairs.connected(ours=listen, theirs=listen)
    await pair.ours.send(pair.theirs.node_id, "a", msg_type)
    await pair.theirs.send(pair.ours.node_id, "b", msg_type)
    await pair.theirs.wait_message("a", msg_type)
    await pair.ours.wait_message("b", msg_type)


async def test_large_payloads_pass_both_ways(pairs: Pairs) -> None:
    pair = await pairs.connected()
    payload = bytes(range(256)) * 1400
    await pair.ours.send(pair.theirs.node_id, payload)
    await pair.theirs.send(pair.ours.node_id, payload)
    await pair.theirs.wait_message(payload, timeout_s=20)
    await pair.ours.wait_message(payload, timeout_s=20)


async def test_names_beyond_ascii_are_shown_and_addressable(pairs: Pairs) -> None:
    pair = await pairs.connected(ours={"name": "kätzchen-ñ"}, theirs={"name": "Ωmega-世界"})
    assert pair.ours.online[pair.theirs.node_id] == "Ωmega-世界"
    assert pair.theirs.online[pair.ours.node_id] == "kätzchen-ñ"
    await pair.ours.send("Ωmega-世界", "to a name")
    await pair.theirs.send("kätzchen-ñ", "to a name")
    await pair.theirs.wait_message("to a name")
    await pair.ours.wait_message("to a name")


async def test_each_side_measures_the_round_trip(pairs: Pairs) -> None:
    pair = await pairs.connected(theirs={"start": FREQUENT_PINGS})
    async with asyncio.timeout(45):
        for node, other in ((pair.theirs, pair.ours), (pair.ours, pair.theirs)):
            while not (rtt_ms := (await node.peer(other))["rtt_ms"]):
                await asyncio.sleep(0.2)
            assert 0 < rtt_ms < 5_000


async def test_our_goodbye_reaches_them(pairs: Pairs) -> None:
    pair = await pairs.connected()
    await pair.ours.stop()
    await pair.theirs.wait_control("GOODBYE")
    await pair.theirs.wait_peer_gone(pair.ours)


async def test_their_goodbye_ends_the_session_here(pairs: Pairs) -> None:
    pair = await pairs.connected()
    await pair.theirs.stop()
    await pair.ours.wait_peer_gone(pair.theirs)


async def test_two_hundred_messages_each_way_arrive_whole_and_in_order(pairs: Pairs) -> None:
    pair = await pairs.connected()
    await asyncio.gather(
        pair.ours.send_many(pair.theirs.node_id, "o", 200),
        pair.theirs.send_many(pair.ours.node_id, "t", 200, rate=20),
    )
    there, here = await asyncio.gather(pair.theirs.wait_messages(200), pair.ours.wait_messages(200))
    assert [message.text for message in there] == [f"o{n}" for n in range(200)]
    assert [message.text for message in here] == [f"t{n}" for n in range(200)]


@pytest.mark.parametrize("attempt", range(3))
async def test_dialling_each_other_at_once_ends_in_one_working_session(
    pairs: Pairs, attempt: int
) -> None:
    their_node = await pairs.start_theirs()
    our_node = await pairs.start_ours(allow_plaintext=True, peers=[f"127.0.0.1:{their_node.port}"])
    await asyncio.gather(
        our_node.dial("127.0.0.1", their_node.port),
        their_node.dial("127.0.0.1", our_node.port),
    )
    await our_node.wait_peer(their_node, timeout_s=30)
    await their_node.wait_peer(our_node, timeout_s=30)
    await our_node.send(their_node.node_id, "one")
    await their_node.send(our_node.node_id, "two")
    await their_node.wait_message("one", timeout_s=30)
    await our_node.wait_message("two", timeout_s=30)

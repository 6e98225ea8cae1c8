"""Key changes with the published node, under traffic, from either side."""

from __future__ import annotations

import asyncio

import pytest
from tests.interop.pairs import Pair, Pairs

pytestmark = [pytest.mark.interop, pytest.mark.timeout(90)]

COUNT = 75
RATE = 15.0


async def talk(pair: Pair) -> None:
    """Send both ways for five seconds and insist that everything arrives, in order."""
    await asyncio.gather(
        pair.ours.send_many(pair.theirs.node_id, "o", COUNT, rate=RATE),
        pair.theirs.send_many(pair.ours.node_id, "t", COUNT, rate=RATE),
    )
    there = await pair.theirs.wait_messages(COUNT)
    here = await pair.ours.wait_messages(COUNT)
    assert [message.text for message in there] == [f"o{n}" for n in range(COUNT)]
    assert [message.text for message in here] == [f"t{n}" for n in range(COUNT)]


async def test_nothing_is_lost_when_they_change_the_key(pairs: Pairs) -> None:
    our_node = await pairs.start_ours(allow_plaintext=True, rekey_interval=0)
    their_node = await pairs.start_theirs(rekey_interval=1.0, start={"id_below": our_node.node_id})
    pair = Pair(our_node, their_node, our_node, their_node)
    await pair.connect()
    await talk(pair)
    await their_node.wait_control("REKEY_RESPONSE", count=2)


async def test_nothing_is_lost_when_we_change_the_key(pairs: Pairs) -> None:
    our_node = await pairs.start_ours(allow_plaintext=True, rekey_interval=1.0)
    their_node = await pairs.start_theirs(rekey_interval=0, start={"id_above": our_node.node_id})
    pair = Pair(our_node, their_node, our_node, their_node)
    await pair.connect()
    await talk(pair)
    await their_node.wait_control("REKEY_REQUEST", count=2)

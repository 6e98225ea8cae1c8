"""Either side is killed, or away for a while."""

from __future__ import annotations

import pytest
from tests.interop.pairs import Pair, Pairs
from tests.support.published import EARLY_HANDLERS

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

LONG_S = 40.0


async def talk(pair: Pair, tag: str) -> None:
    """Exchange one message each way."""
    await pair.ours.send(pair.theirs.node_id, f"o-{tag}")
    await pair.theirs.send(pair.ours.node_id, f"t-{tag}")
    await pair.theirs.wait_message(f"o-{tag}")
    await pair.ours.wait_message(f"t-{tag}")


async def static_pair(pairs: Pairs) -> Pair:
    """A published node, and one of ours that was given its address."""
    theirs = await pairs.start_theirs(start=EARLY_HANDLERS)
    ours = await pairs.start_ours(allow_plaintext=True, peers=[f"127.0.0.1:{theirs.port}"])
    await ours.wait_peer(theirs)
    await theirs.wait_peer(ours)
    return Pair(ours, theirs, ours, theirs)


async def test_we_redial_a_published_node_that_was_killed(pairs: Pairs) -> None:
    pair = await static_pair(pairs)
    await pair.theirs.kill()
    await pair.ours.wait_peer_gone(pair.theirs)
    await pair.theirs.start()
    await pair.ours.wait_peer(pair.theirs, timeout_s=LONG_S)
    await pair.theirs.wait_peer(pair.ours)
    await talk(pair, "again")


async def test_killed_we_come_back_as_the_same_node_and_redial(pairs: Pairs) -> None:
    pair = await static_pair(pairs)
    before = pair.ours.node_id
    await pair.ours.kill()
    await pair.theirs.wait_peer_gone(pair.ours)
    await pair.ours.start()
    assert pair.ours.node_id == before
    await pair.ours.wait_peer(pair.theirs, timeout_s=LONG_S)
    await pair.theirs.wait_peer(pair.ours)
    await talk(pair, "again")


async def test_they_dial_again_after_we_were_killed(pairs: Pairs) -> None:
    pair = await pairs.connected("theirs", "wss")
    await pair.ours.kill()
    await pair.theirs.wait_peer_gone(pair.ours)
    await pair.ours.start()
    await pair.connect()
    await talk(pair, "again")


async def test_they_dial_again_after_they_were_killed(pairs: Pairs) -> None:
    pair = await pairs.connected("theirs", "wss")
    await pair.theirs.kill()
    await pair.ours.wait_peer_gone(pair.theirs)
    await pair.theirs.start()
    await pair.connect()
    await talk(pair, "again")


async def test_what_they_queued_while_we_were_away_reaches_us_in_order(pairs: Pairs) -> None:
    pair = await pairs.connected("ours", "ws")
    await pair.ours.kill()
    await pair.theirs.wait_peer_gone(pair.ours)
    await pair.theirs.send_many(pair.ours.node_id, "queued ", 20)
    await pair.ours.start()
    await pair.connect()
    arrived = await pair.ours.wait_messages(20)
    assert [message.text for message in arrived] == [f"queued {n}" for n in range(20)]


async def test_what_we_hold_while_they_are_away_reaches_them(pairs: Pairs) -> None:
    pair = await static_pair(pairs)
    await pair.theirs.kill()
    await pair.ours.wait_peer_gone(pair.theirs)
    await pair.ours.send_many(pair.theirs.node_id, "held ", 20)
    await pair.theirs.start()
    arrived = await pair.theirs.wait_messages(20, timeout_s=LONG_S)
    assert [message.text for message in arrived] == [f"held {n}" for n in range(20)]

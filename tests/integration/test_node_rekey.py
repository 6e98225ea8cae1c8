"""The session key changes under traffic: nothing is lost, and the order is kept."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.nodes import Live, Nodes, eventually


async def _send_numbers(live: Live, to: str, going: asyncio.Event) -> int:
    sent = 0
    while not going.is_set():
        await live.node.send(to, b"%d" % sent)
        sent += 1
        if sent % 20 == 0:
            await asyncio.sleep(0.002)
    return sent


async def _check_talk(alice: Live, bob: Live, over: asyncio.Event) -> None:
    sent = await asyncio.gather(
        _send_numbers(alice, "bob", over), _send_numbers(bob, "alice", over)
    )
    for live, count in ((bob, sent[0]), (alice, sent[1])):
        await live.has_received(count)
        assert live.texts == [str(number) for number in range(count)]
        assert len(live.flaps()) == 1, "one session all along"
        assert live.node.counters["messages.duplicate"] == 0


async def test_keys_change_by_themselves_under_traffic(nodes: Nodes) -> None:
    alice, bob = await nodes.pair(rekey_interval_s=0.05)
    over = asyncio.Event()
    talk = asyncio.create_task(_check_talk(alice, bob, over))
    await eventually(lambda: alice.link(bob).rekey_count >= 10, "ten key changes")
    over.set()
    await talk
    for live in (alice, bob):
        # Of a flood of one kind of event, the audit log keeps the first and the number.
        assert "SESSION_REKEYED" in live.audited()


@pytest.mark.parametrize("who", ["alice", "bob", "both"])
async def test_either_side_may_change_the_keys_under_traffic(nodes: Nodes, who: str) -> None:
    alice, bob = await nodes.pair(rekey_interval_s=0.0)
    over = asyncio.Event()
    talk = asyncio.create_task(_check_talk(alice, bob, over))
    both = [(alice, bob), (bob, alice)]
    starters = [pair for pair in both if who in (pair[0].name, "both")]
    for _ in range(10):
        before = alice.link(bob).rekey_count
        await eventually(
            lambda: sum(live.link(other).rekey() for live, other in starters) > 0, "a change begins"
        )
        await eventually(lambda before=before: alice.link(bob).rekey_count > before, "another key")
        await eventually(
            lambda: alice.link(bob).rekey_count == bob.link(alice).rekey_count, "the same count"
        )
    over.set()
    await talk

"""An operator pings peers, and asks what the node was told."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.support.nodes import Nodes, eventually

from ironmesh.control.operator import NodeOperator
from ironmesh.errors import UnknownPeerError

LIMIT_S = 5.0


async def test_an_online_peer_answers_by_name_and_by_id(nodes: Nodes) -> None:
    alice, bob = await nodes.pair()
    operator = NodeOperator(alice.node, lambda: None)
    for target in ("bob", bob.id):
        answer = await operator.ping(target, LIMIT_S)
        assert (answer.node_id, answer.name) == (bob.id, "bob")
        assert answer.rtt_ms is not None
        assert 0 < answer.rtt_ms < LIMIT_S * 1000
    assert operator.peers()[0].rtt_ms == answer.rtt_ms


async def test_several_at_once_are_all_answered(nodes: Nodes) -> None:
    alice, _ = await nodes.pair()
    operator = NodeOperator(alice.node, lambda: None)
    answers = await asyncio.gather(*(operator.ping("bob", LIMIT_S) for _ in range(50)))
    assert all(answer.rtt_ms is not None for answer in answers)


async def test_who_is_not_online_is_an_error_that_names_those_who_are(nodes: Nodes) -> None:
    alice, _ = await nodes.pair()
    operator = NodeOperator(alice.node, lambda: None)
    with pytest.raises(UnknownPeerError, match="online now: bob"):
        await operator.ping("zoe", LIMIT_S)


async def test_no_answer_in_time_is_told_as_none(nodes: Nodes) -> None:
    alice, bob = await nodes.pair()
    link = alice.link(bob)
    assert link is not None
    assert await link.measure(0.0) is None
    answer = await NodeOperator(alice.node, lambda: None).ping("bob", LIMIT_S)
    assert answer.rtt_ms is not None


async def test_a_session_that_ends_meanwhile_does_not_keep_anybody_waiting(nodes: Nodes) -> None:
    alice, bob = await nodes.pair()
    link = alice.link(bob)
    assert link is not None
    await eventually(lambda: link.rtt_s is not None, "an answer to the first ping")
    link.ping = lambda: None  # type: ignore[method-assign]  # so that nothing is answered
    measuring = asyncio.ensure_future(link.measure(60.0))
    await asyncio.sleep(0)
    await bob.node.stop()
    async with asyncio.timeout(LIMIT_S):
        assert await measuring is None


async def test_the_configuration_is_told_without_secrets(nodes: Nodes) -> None:
    alice = await nodes.start("alice")
    shown = NodeOperator(alice.node, lambda: None).config()
    assert shown["name"] == "alice"
    assert "passphrase" not in shown
    assert "correct horse" not in json.dumps(shown)

"""Agents several hops apart: what a program sees of the mesh."""

from __future__ import annotations

import pytest
from tests.support.agents import Make, agents, connect, eventually, start

from ironmesh import Agent

make = pytest.fixture(agents, name="make")

Three = tuple[Agent, Agent, Agent]


@pytest.fixture
def three(make: Make) -> Three:
    """Alice and carol, who are connected to bob only."""
    alice, bob, carol = (make(name) for name in ("alice", "bob", "carol"))
    start(alice, bob, carol)
    connect(alice, bob)
    connect(carol, bob)
    return alice, bob, carol


def test_a_program_sends_by_name_sees_the_true_source_and_replies(three: Three) -> None:
    alice, _bob, carol = three
    seen: list[tuple[str, bytes]] = []
    answers: list[tuple[str, bytes]] = []

    @carol.on_message()
    def handle(peer_id: str, payload: bytes) -> None:
        seen.append((peer_id, payload))
        carol.reply(peer_id, b"ack")

    @alice.on_message()
    def take(peer_id: str, payload: bytes) -> None:
        answers.append((peer_id, payload))

    eventually(lambda: alice.peer_by_name("carol"))
    alice.send_sync("carol", "over bob")
    eventually(lambda: answers)
    assert seen == [(alice.node_id, b"over bob")]
    assert answers == [(carol.node_id, b"ack")]


def test_a_program_sees_who_is_reached_over_others_and_what_they_can_do(three: Three) -> None:
    alice, bob, carol = three
    carol.advertise("llm:llama3")
    eventually(lambda: alice.discover("llm:*") == [(carol.node_id, "llm:llama3")])
    assert alice.daemon.find_capability("llm:*") == [(carol.node_id, "llm:llama3")]
    transports = {peer["name"]: peer["transport"] for peer in alice.peers}
    assert transports == {"bob": "websocket", "carol": "mesh"}
    assert {peer.name for peer in bob.daemon.peers.values()} == {"alice", "carol"}

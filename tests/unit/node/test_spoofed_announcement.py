"""Announcements prove nothing: somebody who announces a known name gets no session under it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.announcements import Announcements
from tests.support.nodes import Live, MemoryTransport, Nodes

from ironmesh.node import dialer
from ironmesh.node.backoff import MAX_PAUSE_S
from ironmesh.node.events import PeerOnline
from ironmesh.node.target import MAX_ADDRESSES, Target
from ironmesh.types import Endpoint, Refusal

Place = Callable[[], MemoryTransport]
MANY = 40


@pytest.fixture
def announcements() -> Announcements:
    return Announcements()


async def knowing_bob(
    nodes: Nodes, place: Place, announcements: Announcements, tmp_path: Path
) -> tuple[Live, Live, Live]:
    """Return alice, who has pinned bob and lost him; bob; and somebody else who is called bob."""
    alice = await nodes.start(
        "alice",
        transport=place(),
        discovery=announcements,
        allowed_peers=frozenset({"bob"}),
    )
    bob = await nodes.start("bob", transport=place())
    announcements.announce("bob", bob.endpoint)
    await alice.online(bob)
    impostor = await nodes.start("bob", transport=place(), home=tmp_path / "elsewhere")
    await bob.node.stop()
    await alice.offline(bob.known_id)
    return alice, bob, impostor


async def test_an_announcement_of_a_known_name_leads_to_no_session_with_another_key(
    nodes: Nodes, place: Place, announcements: Announcements, tmp_path: Path
) -> None:
    alice, bob, impostor = await knowing_bob(nodes, place, announcements, tmp_path)
    announcements.announce("bob", impostor.endpoint)
    refused = await alice.refused(Refusal.IDENTITY_CHANGED)
    assert (refused.name, refused.node_id) == ("bob", impostor.id)
    assert "TOFU_MISMATCH" in alice.audited()
    assert impostor.received == []
    assert alice.node.trust.get("bob").node_id == bob.known_id
    assert [event.node_id for event in alice.seen.of(PeerOnline)] == [bob.known_id]


async def test_a_message_for_the_name_waits_for_the_key_that_is_pinned(
    nodes: Nodes, place: Place, announcements: Announcements, tmp_path: Path
) -> None:
    alice, bob, impostor = await knowing_bob(nodes, place, announcements, tmp_path)
    await alice.node.send("bob", b"for bob alone")
    announcements.announce("bob", impostor.endpoint)
    await alice.refused(Refusal.IDENTITY_CHANGED)
    again = await nodes.again(bob)
    announcements.announce("bob", again.endpoint)
    assert await again.has_received(1) == ["for bob alone"]
    assert impostor.received == []


async def test_an_impostor_does_not_keep_the_real_peer_away(
    nodes: Nodes, place: Place, announcements: Announcements, tmp_path: Path
) -> None:
    """The real one announces itself at a new address once, and the impostor after it."""
    alice, bob, impostor = await knowing_bob(nodes, place, announcements, tmp_path)
    alice.node._running().transport.may_dial.clear()
    again = await nodes.again(bob, port=0)
    announcements.announce("bob", again.endpoint)
    announcements.announce("bob", impostor.endpoint)
    alice.node._running().transport.may_dial.set()
    await alice.refused(Refusal.IDENTITY_CHANGED)
    await alice.online(again)


async def test_a_flood_of_announcements_does_not_push_out_where_the_peer_answered(
    nodes: Nodes, place: Place, announcements: Announcements, tmp_path: Path
) -> None:
    alice, bob, _ = await knowing_bob(nodes, place, announcements, tmp_path)
    for port in range(1, MANY):
        announcements.announce("bob", Endpoint("192.0.2.1", port))
    again = await nodes.again(bob)
    announcements.announce("bob", Endpoint("192.0.2.1", MANY))
    await alice.online(again)


def test_addresses_are_bounded_and_the_latest_are_tried_first() -> None:
    home = Endpoint("192.0.2.7", 8765)
    target = Target("bob", (home,), answered_at=home)
    for number in range(MANY):
        announced = tuple(Endpoint(f"198.51.100.{number}", port) for port in range(1, 17))
        assert target.learn(announced)
        assert target.in_turn()[0] == announced[0]
        assert home in target.endpoints
        assert len(target.endpoints) <= MAX_ADDRESSES
    assert not target.learn((home,))


async def test_a_peer_that_left_and_announces_itself_again_is_dialled_at_once(
    nodes: Nodes,
    place: Place,
    announcements: Announcements,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dialer, "CONNECT_BASE_S", MAX_PAUSE_S)
    alice, bob, _ = await knowing_bob(nodes, place, announcements, tmp_path)
    announcements.withdraw("bob")
    again = await nodes.again(bob)
    announcements.announce("bob", again.endpoint)
    await alice.online(again)

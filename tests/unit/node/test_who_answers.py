"""Whom a connection was dialled for: another node of ours that answers there gets no session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.announcements import Announcements
from tests.support.nodes import Live, MemoryTransport, Nodes, eventually

from ironmesh.errors import HandshakeError
from ironmesh.node import dialer
from ironmesh.node.events import PeerOnline, PeerRefused
from ironmesh.types import Refusal

Place = Callable[[], MemoryTransport]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dial again soon: these tests are about whom."""
    monkeypatch.setattr(dialer, "REFUSED_BASE_S", 0.02)
    monkeypatch.setattr(dialer, "CONNECT_BASE_S", 0.02)


async def taken_over(nodes: Nodes, place: Place, **settings: object) -> tuple[Live, Live, Live]:
    """Return alice, who kept a session with bob; bob, who left; and carol, who has his address."""
    alice = await nodes.start("alice", transport=place(), **settings)
    bob = await nodes.start("bob", transport=place())
    await alice.dial(bob)
    await bob.node.stop()
    await alice.offline(bob.known_id)
    carol = await nodes.start("carol", transport=place(), port=bob.port)
    return alice, bob, carol


def refusals(live: Live) -> list[PeerRefused]:
    """Return who was refused for being somebody else."""
    wrong = Refusal.UNEXPECTED_IDENTITY
    return [event for event in live.seen.of(PeerRefused) if event.reason is wrong]


async def test_who_answers_where_another_was_dialled_is_refused_audited_and_counted(
    nodes: Nodes, place: Place
) -> None:
    alice, bob, carol = await taken_over(nodes, place)
    refused = await alice.refused(Refusal.UNEXPECTED_IDENTITY)
    assert (refused.name, refused.node_id, refused.is_outgoing) == ("carol", carol.id, True)
    assert bob.known_id in refused.detail
    assert "trust forget" in refused.detail
    assert "TOFU_MISMATCH" in alice.audited()
    assert alice.node.counters["refused.unexpected_identity"] >= 1
    assert [pin.name for pin in alice.node.trust.list_pins()] == ["bob"]
    assert carol.flaps() == [], "carol does not learn who dialled"


async def test_the_one_who_was_dialled_for_is_back_as_soon_as_it_answers_again(
    nodes: Nodes, place: Place
) -> None:
    alice, bob, carol = await taken_over(nodes, place)
    await alice.node.send("bob", b"for bob alone")
    await alice.refused(Refusal.UNEXPECTED_IDENTITY)
    await carol.node.stop()
    again = await nodes.again(bob)
    assert await again.has_received(1) == ["for bob alone"]
    assert carol.received == []


async def test_an_address_that_nobody_answered_at_before_is_anybodys(
    nodes: Nodes, place: Place
) -> None:
    alice = await nodes.start("alice", transport=place())
    carol = await nodes.start("carol", transport=place())
    await alice.dial(carol)
    assert refusals(alice) == []


async def test_who_never_let_us_in_has_no_claim_to_its_address(nodes: Nodes, place: Place) -> None:
    """Carol answers first, and does not want us; bob, who answers there later, is not refused."""
    transport = place()
    carol = await nodes.start("carol", transport=place(), allowed_peers=frozenset({"dave"}))
    alice = await nodes.start("alice", transport=transport)
    alice.node._traffic().dialer.add_address(carol.endpoint)
    await carol.refused(Refusal.NOT_ALLOWED)
    await carol.node.stop()
    bob = await nodes.start("bob", transport=place(), port=carol.port)
    await alice.online(bob)
    assert refusals(alice) == []


async def test_the_same_name_with_a_new_identity_is_for_the_pin_rule(
    nodes: Nodes, place: Place, tmp_path: Path
) -> None:
    alice, bob = await nodes.pair(transport=place())
    await bob.node.stop()
    await alice.offline(bob.known_id)
    anew = await nodes.start("bob", transport=place(), port=bob.port, home=tmp_path / "anew")
    refused = await alice.refused(Refusal.IDENTITY_CHANGED)
    assert (refused.name, refused.node_id) == ("bob", anew.id)
    assert "trust forget" in refused.detail
    assert refusals(alice) == []
    alice.node.decisions.forget("bob")
    await alice.online(anew)


async def test_once_the_operator_forgets_a_peer_its_address_is_anybodys(
    nodes: Nodes, place: Place
) -> None:
    alice, _, carol = await taken_over(nodes, place)
    await alice.refused(Refusal.UNEXPECTED_IDENTITY)
    alice.node.decisions.forget("bob")
    await alice.online(carol)


async def test_once_the_operator_revokes_a_peer_its_address_is_anybodys(
    nodes: Nodes, place: Place
) -> None:
    alice, _, carol = await taken_over(nodes, place)
    await alice.refused(Refusal.UNEXPECTED_IDENTITY)
    alice.node.decisions.revoke("bob", "its machine was sold")
    await alice.online(carol)


async def test_who_connects_to_the_address_anew_means_whoever_is_there(
    nodes: Nodes, place: Place
) -> None:
    alice, _, carol = await taken_over(nodes, place)
    await alice.refused(Refusal.UNEXPECTED_IDENTITY)
    await alice.dial(carol)
    counts = []
    for count in (2, 3):
        alice.link(carol).close_soon("to be dialled again")
        await alice.seen.wait(PeerOnline, lambda event: event.node_id == carol.id, count=count)
        counts.append(len(refusals(alice)))
    assert counts[0] == counts[1], "the one dial that was under way was for bob"


async def test_two_nodes_that_changed_their_addresses_are_both_found(
    nodes: Nodes, place: Place
) -> None:
    """As when a router gives addresses anew, and nothing announces them."""
    alice = await nodes.start("alice", transport=place())
    bob = await nodes.start("bob", transport=place())
    carol = await nodes.start("carol", transport=place())
    await alice.dial(bob)
    await alice.dial(carol)
    for live in (bob, carol):
        await live.node.stop()
    swapped = await nodes.again(bob, port=carol.port), await nodes.again(carol, port=bob.port)
    for live in swapped:
        await alice.online(live)
        await alice.node.send(live.name, f"to {live.name}".encode())
        assert await live.has_received(1) == [f"to {live.name}"]


async def test_a_peer_whose_address_was_taken_over_is_found_where_it_announces_itself(
    nodes: Nodes, place: Place
) -> None:
    announcements = Announcements()
    alice = await nodes.start(
        "alice", transport=place(), discovery=announcements, open_discovery=True
    )
    bob = await nodes.start("bob", transport=place())
    announcements.announce("bob", bob.endpoint)
    await alice.online(bob)
    await bob.node.stop()
    await alice.offline(bob.known_id)
    carol = await nodes.start("carol", transport=place(), port=bob.port)
    announcements.announce("carol", carol.endpoint)
    await alice.online(carol)
    again = await nodes.again(bob, port=0)
    announcements.announce("bob", again.endpoint)
    await alice.online(again)


async def test_who_announces_the_label_of_another_gets_no_session_for_it(
    nodes: Nodes, place: Place
) -> None:
    announcements = Announcements()
    alice = await nodes.start(
        "alice",
        transport=place(),
        discovery=announcements,
        allowed_peers=frozenset({"bob"}),
    )
    bob = await nodes.start("bob", transport=place())
    announcements.announce("bob", bob.endpoint)
    await alice.online(bob)
    carol = await nodes.start("carol", transport=place())
    await bob.node.stop()
    await alice.offline(bob.known_id)
    announcements.announce("bob", carol.endpoint)
    await alice.refused(Refusal.UNEXPECTED_IDENTITY)
    await nodes.again(bob)
    await alice.seen.wait(PeerOnline, count=2)
    assert {event.node_id for event in alice.seen.of(PeerOnline)} == {bob.known_id}


async def test_a_label_that_led_to_somebody_else_first_leads_to_its_own_node_as_well(
    nodes: Nodes, place: Place
) -> None:
    """As with the address of a container bridge, which many machines have."""
    announcements = Announcements()
    alice = await nodes.start(
        "alice", transport=place(), discovery=announcements, open_discovery=True
    )
    carol = await nodes.start("carol", transport=place())
    bob = await nodes.start("bob", transport=place())
    announcements.announce("bob", carol.endpoint, bob.endpoint)
    await alice.online(carol)
    await carol.node.stop()
    await alice.online(bob)
    again = await nodes.again(carol)
    await alice.online(again)
    assert alice.link(bob) is not None
    announcements.withdraw("bob")
    await bob.node.stop()
    await again.node.stop()
    await eventually(lambda: not alice.node._traffic().dialer._found, "nobody is looked for")


async def test_an_address_that_is_our_own_now_keeps_nobody_away(nodes: Nodes, place: Place) -> None:
    announcements = Announcements()
    alice = await nodes.start(
        "alice", transport=place(), discovery=announcements, open_discovery=True
    )
    bob = await nodes.start("bob", transport=place())
    announcements.announce("bob", bob.endpoint)
    await alice.online(bob)
    await bob.node.stop()
    await alice.offline(bob.known_id)
    again = await nodes.again(bob, port=0)
    announcements.announce("bob", alice.endpoint, again.endpoint)
    await alice.online(again)
    await alice.refused(Refusal.SELF)


async def test_of_listed_names_the_pinned_key_alone_is_let_in(nodes: Nodes, place: Place) -> None:
    alice = await nodes.start("alice", transport=place(), allowed_peers=frozenset({"bob"}))
    bob = await nodes.start("bob", transport=place())
    await alice.dial(bob)
    carol = await nodes.start("carol", transport=place())
    with pytest.raises(HandshakeError, match="--allowed-peers"):
        await alice.node.connect(*carol.endpoint)
    assert carol.flaps() == []

"""Whom a running node lets in, and what it tells of those whom it does not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support import nodes as support
from tests.support.nodes import MemoryTransport, Nodes, eventually

from ironmesh.config import LegacyMode
from ironmesh.errors import HandshakeError
from ironmesh.node.events import PeerOnline, PeerRefused
from ironmesh.trust.pins import TrustState
from ironmesh.types import Refusal

Place = Callable[[], MemoryTransport]


async def test_the_first_contact_pins_both_keys(nodes: Nodes, place: Place) -> None:
    alice = await nodes.start("alice", transport=place())
    bob = await nodes.start("bob", transport=place())
    await alice.dial(bob)
    assert alice.node.trust.get("bob").node_id == bob.id
    assert bob.node.trust.get("alice").node_id == alice.id
    assert alice.seen.of(PeerOnline)[0].is_new
    assert alice.audited().count("PEER_PINNED") == 1


async def test_a_known_peer_is_not_new_again(nodes: Nodes, place: Place) -> None:
    alice = await nodes.start("alice", transport=place())
    bob = await nodes.start("bob", transport=place())
    await alice.dial(bob)
    await nodes.again(bob)
    online = await alice.seen.wait(PeerOnline, count=2)
    assert [event.is_new for event in online] == [True, False]


async def test_a_known_name_with_another_key_is_refused_audited_and_shown(
    nodes: Nodes, place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alice = await nodes.start("alice", transport=place())
    bob = await nodes.start("bob", transport=place())
    await alice.dial(bob)
    impostor = await nodes.start("bob", transport=place(), home=tmp_path / "elsewhere")
    with pytest.raises(HandshakeError):
        await impostor.node.connect(*alice.endpoint)
    refused = await alice.refused(Refusal.IDENTITY_CHANGED)
    assert (refused.name, refused.node_id, refused.is_outgoing) == ("bob", impostor.id, False)
    assert "trust forget" in refused.detail
    assert alice.audited().count("TOFU_MISMATCH") == 1
    assert alice.node.counters["refused.identity_changed"] == 1
    assert alice.node.trust.get("bob").node_id == bob.id
    assert alice.link(bob).is_usable, "the real one notices nothing"


async def test_dialling_a_known_name_that_has_another_key_is_refused(
    nodes: Nodes, place: Place, tmp_path: Path
) -> None:
    alice = await nodes.start("alice", transport=place())
    bob = await nodes.start("bob", transport=place())
    await alice.dial(bob)
    impostor = await nodes.start("bob", transport=place(), home=tmp_path / "elsewhere")
    with pytest.raises(HandshakeError, match="trust forget"):
        await alice.node.connect(*impostor.endpoint)
    refused = await alice.refused(Refusal.IDENTITY_CHANGED)
    assert refused.is_outgoing
    assert "TOFU_MISMATCH" in alice.audited()


async def test_of_two_newcomers_with_one_name_one_is_let_in(
    nodes: Nodes, place: Place, tmp_path: Path
) -> None:
    alice = await nodes.start("alice", transport=place())
    rivals = [
        await nodes.start("bob", transport=place(), home=tmp_path / f"home {number}")
        for number in range(4)
    ]
    ends = await asyncio.gather(
        *(rival.node.connect(*alice.endpoint) for rival in rivals), return_exceptions=True
    )
    let_in = [rival for rival, end in zip(rivals, ends, strict=True) if not _failed(end)]
    assert len(let_in) == 1
    await alice.refused(Refusal.IDENTITY_CHANGED, count=3)
    assert alice.node.trust.get("bob").node_id == let_in[0].id
    assert [link.peer for link in alice.node.links.online()] == [let_in[0].id]


def _failed(end: object) -> bool:
    if isinstance(end, HandshakeError):
        return True
    if isinstance(end, BaseException):
        raise end
    return False


async def test_whoever_is_not_listed_is_not_accepted(nodes: Nodes, place: Place) -> None:
    alice = await nodes.start("alice", transport=place(), allowed_peers=frozenset({"bob"}))
    bob = await nodes.start("bob", transport=place())
    carol = await nodes.start("carol", transport=place())
    await bob.dial(alice)
    with pytest.raises(HandshakeError):
        await carol.node.connect(*alice.endpoint)
    refused = await alice.refused(Refusal.NOT_ALLOWED)
    assert refused.name == "carol"
    assert "PEER_REFUSED" in alice.audited()


async def test_whoever_is_not_listed_is_not_dialled(nodes: Nodes, place: Place) -> None:
    alice = await nodes.start("alice", transport=place(), allowed_peers=frozenset({"bob"}))
    carol = await nodes.start("carol", transport=place())
    with pytest.raises(HandshakeError, match="--allowed-peers"):
        await alice.node.connect(*carol.endpoint)
    await alice.refused(Refusal.NOT_ALLOWED)
    await eventually(lambda: not list(carol.node.links.all()), "no link at carol's end")
    await carol.refused(Refusal.DUPLICATE)
    assert [event.reason for event in carol.seen.of(PeerRefused)] == [Refusal.DUPLICATE], (
        "carol proved what she had to: nobody tells her operator of a wrong passphrase"
    )


async def test_a_blocked_peer_is_refused(nodes: Nodes, place: Place) -> None:
    alice = await nodes.start("alice", transport=place())
    bob = await nodes.start("bob", transport=place())
    await bob.dial(alice)
    alice.node.trust.set_state("bob", TrustState.BLOCKED)
    again = await nodes.again(bob)
    with pytest.raises(HandshakeError):
        await again.node.connect(*alice.endpoint)
    await alice.refused(Refusal.BLOCKED)


async def test_a_revoked_peer_is_cut_off_at_once_and_stays_out(nodes: Nodes, place: Place) -> None:
    alice = await nodes.start("alice", transport=place())
    bob = await nodes.start("bob", transport=place())
    await bob.dial(alice)
    alice.node.decisions.revoke("bob", "lost laptop")
    await bob.node.send("alice", b"after the revocation")
    await alice.offline(bob.id)
    await bob.offline(alice.id)
    with pytest.raises(HandshakeError):
        await bob.node.connect(*alice.endpoint)
    await alice.refused(Refusal.REVOKED)
    assert alice.texts == [], "nothing of it is delivered any more"
    assert "PEER_REVOKED" in alice.audited()


async def test_a_node_refuses_itself(nodes: Nodes, place: Place) -> None:
    alice = await nodes.start("alice", transport=place())
    with pytest.raises(HandshakeError, match="leads to this node"):
        await alice.node.connect(*alice.endpoint)
    await alice.refused(Refusal.SELF)
    assert not list(alice.node.links.all())


async def test_another_node_of_our_name_is_a_peer_like_any_other(
    nodes: Nodes, place: Place, tmp_path: Path
) -> None:
    alice = await nodes.start("alice", transport=place())
    namesake = await nodes.start("alice", transport=place(), home=tmp_path / "elsewhere")
    await alice.dial(namesake)
    await alice.node.send(namesake.id, b"hello, alice")
    assert await namesake.has_received(1) == ["hello, alice"]


async def test_a_peer_that_took_another_name_is_known_by_it(nodes: Nodes, place: Place) -> None:
    alice = await nodes.start("alice", transport=place())
    bob = await nodes.start("bob", transport=place())
    await bob.dial(alice)
    await bob.node.stop()
    robert = await nodes.start("robert", transport=place(), keys_path=bob.node.config.keys_file)
    await robert.dial(alice)
    assert robert.id == bob.known_id
    assert alice.node.trust.get("robert").node_id == bob.known_id
    assert "PEER_RENAMED" in alice.audited()
    await alice.node.send("robert", b"hello")
    await robert.has_received(1)


async def test_ours_are_no_legacy_nodes(nodes: Nodes, place: Place) -> None:
    alice = await nodes.start("alice", transport=place(), legacy=LegacyMode.OFF)
    bob = await nodes.start("bob", transport=place())
    await bob.dial(alice)


async def test_while_the_pin_file_is_damaged_nobody_gets_in_and_nothing_is_overwritten(
    nodes: Nodes, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    alice = await nodes.start("alice", transport=place())
    bob = await nodes.start("bob", transport=place())
    carol = await nodes.start("carol", transport=place())
    await bob.dial(alice)
    pins = alice.node.config.trust_file
    whole = pins.read_bytes()
    damaged = whole.replace(b'"bob"', b'"bOb"')
    pins.write_bytes(damaged)
    with pytest.raises(HandshakeError):
        await carol.node.connect(*alice.endpoint)
    await alice.refused(Refusal.TRUST_FILE)
    with pytest.raises(HandshakeError):
        await alice.node.connect(*carol.endpoint)
    assert pins.read_bytes() == damaged
    assert "TRUST_FILE_TAMPERED" in alice.audited()
    await bob.node.send("alice", b"still here")
    assert await alice.has_received(1) == ["still here"]
    assert not [record for record in caplog.records if record.exc_info], "no traceback"
    pins.write_bytes(whole)
    await carol.dial(alice)


async def test_a_refusal_is_one_line_one_event_and_one_count(
    nodes: Nodes, place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alice = await nodes.start("alice", transport=place(), allowed_peers=frozenset({"bob"}))
    carol = await nodes.start("carol", transport=place())
    caplog.set_level(logging.INFO, "ironmesh")
    for number in range(3):
        with pytest.raises(HandshakeError):
            await carol.node.connect(*alice.endpoint)
        await alice.refused(Refusal.NOT_ALLOWED, count=number + 1)
    assert alice.node.counters["refused.not_allowed"] == 3
    assert len(alice.seen.of(PeerRefused)) == 3
    said = [line for line in support.lines(caplog) if "not_allowed" in line]
    assert len(said) == 1

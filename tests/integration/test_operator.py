"""What an operator sees and changes of a live node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.nodes import Live, Nodes

from ironmesh.control.api import (
    MessageEvent,
    Operator,
    OperatorEvent,
    PeerEvent,
    PeerView,
    RefusalEvent,
    SettledEvent,
)
from ironmesh.control.host import Host
from ironmesh.control.operator import NodeOperator
from ironmesh.errors import (
    ConnectError,
    HandshakeError,
    MessageEndedError,
    NoPathError,
    NotRunningError,
    TrustError,
    UnknownMessageError,
    UnknownPeerError,
)
from ironmesh.node.events import Notice, PeerOffline, PeerOnline
from ironmesh.types import MessagePriority, NodeId, Refusal, Secret
from ironmesh.version import __version__

LIMIT_S = 5.0
STRANGER_KEY = "0Zg2bKDJ3mO7XkoWQVQWqqEO/GBnDnUmvzGwXRaYUNE="


class Operated:
    """A live node and its operator."""

    def __init__(self, live: Live) -> None:
        self.stops: list[None] = []
        self.live = live
        self.node_operator = NodeOperator(live.node, lambda: self.stops.append(None))
        self.operator: Operator = self.node_operator

    def peer(self, node_id: NodeId) -> PeerView:
        return next(view for view in self.operator.peers() if view.node_id == node_id)


@pytest.fixture
async def alice(nodes: Nodes) -> Operated:
    operated = Operated(nodes.make("alice"))
    await operated.live.node.start()
    return operated


@pytest.fixture
async def bob(nodes: Nodes) -> Live:
    return await nodes.start("bob")


async def next_of(events: AsyncIterator[OperatorEvent], kind: type[OperatorEvent]) -> OperatorEvent:
    async with asyncio.timeout(LIMIT_S):
        async for event in events:
            if isinstance(event, kind):
                return event
    raise AssertionError("the events ended")


# --- State and peers -----------------------------------------------------------------------------


async def test_the_state_says_how_the_node_is(alice: Operated, bob: Live) -> None:
    state = alice.operator.state()
    assert (state.name, state.node_id, state.version) == ("alice", alice.live.id, __version__)
    assert state.listening == (str(alice.live.endpoint),)
    assert state.is_tls
    assert not state.is_mdns_on
    assert (state.legacy, state.peers_online) == ("off", 0)
    assert 0 <= state.uptime_s < LIMIT_S
    await alice.live.dial(bob)
    state = alice.operator.state()
    assert state.peers_online == 1
    assert state.counters == alice.live.node.counters.snapshot()


async def test_warnings_of_the_start_are_kept(nodes: Nodes) -> None:
    operated = Operated(nodes.make("alice", allow_plaintext=True))
    await operated.live.node.start()
    assert any("--allow-plaintext-ws" in text for text in operated.operator.state().warnings)
    for number in range(100):
        operated.live.node.events.publish(Notice(str(number), is_warning=True))
    assert len(operated.operator.state().warnings) == 64


async def test_a_node_that_does_not_run_has_no_state(nodes: Nodes) -> None:
    with pytest.raises(NotRunningError):
        Operated(nodes.make("alice")).operator.state()


async def test_an_online_peer_is_shown_with_its_figures(alice: Operated, bob: Live) -> None:
    assert alice.operator.peers() == []
    await alice.live.dial(bob)
    await alice.operator.send("bob", b"x", "MSG", MessagePriority.NORMAL)
    await bob.has_received(1)
    view = alice.peer(bob.id)
    assert (view.name, view.is_online, view.direction) == ("bob", True, "out")
    assert (view.transport, view.is_encrypted, view.wire) == ("websocket", True, "native")
    assert view.is_ours
    assert view.address == str(bob.endpoint)
    assert view.protocol_version == "ironmesh/5"
    assert (view.messages_sent, view.messages_received) == (1, 0)
    assert (view.trust, view.is_verified) == ("trusted", False)
    assert view.connected_at is not None


async def test_a_peer_that_left_is_still_shown(alice: Operated, bob: Live) -> None:
    await bob.dial(alice.live)
    bob_id = bob.id
    assert alice.peer(bob_id).direction == "in"
    await bob.node.stop()
    await alice.live.offline(bob_id)
    view = alice.peer(bob_id)
    assert (view.is_online, view.direction, view.connected_at) == (False, "", None)
    assert (view.name, view.trust) == ("bob", "trusted")


async def test_what_became_of_a_past_peers_pin_is_shown(alice: Operated, bob: Live) -> None:
    await alice.live.dial(bob)
    bob_id = bob.id
    await bob.node.stop()
    await alice.live.offline(bob_id)
    await alice.operator.trust_forget("bob")
    assert alice.peer(bob_id).trust == "unknown"
    await alice.operator.trust_revoke(bob_id, "gone")
    assert alice.peer(bob_id).trust == "revoked"


async def test_a_peer_that_came_back_is_shown_once(
    alice: Operated, bob: Live, nodes: Nodes
) -> None:
    await bob.dial(alice.live)
    bob_id = bob.id
    again = await nodes.again(bob)
    await again.dial(alice.live)
    assert [view.node_id for view in alice.operator.peers()] == [bob_id]
    assert alice.peer(bob_id).is_online


# --- Sending and connecting ----------------------------------------------------------------------


async def test_sending_tells_how_the_message_stands(alice: Operated, bob: Live) -> None:
    await alice.live.dial(bob)
    sent = await alice.operator.send("bob", b"now", "MSG", MessagePriority.HIGH, wait_s=LIMIT_S)
    assert (sent.node_id, sent.state) == (bob.id, "delivered")
    assert await bob.has_received(1) == ["now"]
    bob_id = bob.id
    await bob.node.stop()
    await alice.live.offline(bob_id)
    later = await alice.operator.send("bob", b"later", "MSG", MessagePriority.NORMAL)
    assert (later.node_id, later.state) == (bob_id, "queued")
    assert sent.id != later.id
    with pytest.raises(UnknownPeerError):
        await alice.operator.send("carol", b"x", "MSG", MessagePriority.NORMAL)


async def absent_peer(alice: Operated, bob: Live) -> NodeId:
    """Let alice know bob, who then leaves."""
    await alice.live.dial(bob)
    bob_id = bob.id
    await bob.node.stop()
    await alice.live.offline(bob_id)
    return bob_id


async def queue(alice: Operated, text: str, **options: Any) -> str:
    """Send a message to bob and return its id."""
    send = alice.operator.send
    return (await send("bob", text.encode(), "MSG", MessagePriority.NORMAL, **options)).id


async def test_what_waits_is_listed_and_shown(alice: Operated, bob: Live) -> None:
    bob_id = await absent_peer(alice, bob)
    first, second = [await queue(alice, text, ttl_s=60.0) for text in ("one", "two")]
    views = await alice.operator.outbox_list("bob")
    assert [(view.id, view.name, view.state) for view in views] == [
        (first, "bob", "queued"),
        (second, "bob", "queued"),
    ]
    assert views == await alice.operator.outbox_list(bob_id)
    assert 0 < views[0].expires_at - views[0].accepted_at <= 60.0
    assert len(await alice.operator.outbox_list(limit=1)) == 1
    detail = await alice.operator.outbox_show(second[:-1] + "2")
    assert (detail.text, detail.size_bytes, detail.ended_at) == ("two", 3, None)
    with pytest.raises(UnknownPeerError):
        await alice.operator.outbox_list("carol")


async def test_an_id_may_be_cut_short_as_long_as_it_is_the_only_one(
    alice: Operated, bob: Live
) -> None:
    await absent_peer(alice, bob)
    first = await queue(alice, "one")
    assert (await alice.operator.outbox_show(first[:4])).id == first
    assert (await alice.operator.outbox_show(first.replace("-", "").upper())).id == first
    await queue(alice, "two")
    with pytest.raises(UnknownMessageError, match="several messages"):
        await alice.operator.outbox_show(first[:4])
    unknown = f"{int(first[0], 16) ^ 1:x}"
    for wrong in (unknown, "", "not an id", first + "0"):
        with pytest.raises(UnknownMessageError):
            await alice.operator.outbox_show(wrong)


async def test_a_cancelled_message_is_told_and_stays_in_the_history(
    alice: Operated, bob: Live
) -> None:
    await absent_peer(alice, bob)
    message_id = await queue(alice, "one")
    with alice.operator.subscribe() as events:
        view = await alice.operator.outbox_cancel(message_id)
        settled = await next_of(events, SettledEvent)
    assert view.state == "cancelled"
    assert isinstance(settled, SettledEvent)
    assert (settled.ids, settled.peer, settled.state) == ((message_id,), view.node_id, "cancelled")
    assert await alice.operator.outbox_list() == []
    assert (await alice.operator.outbox_show(message_id)).state == "cancelled"
    for call in (alice.operator.outbox_cancel, alice.operator.outbox_retry):
        with pytest.raises(MessageEndedError, match="cancelled"):
            await call(message_id)
    [entry] = await alice.operator.history("bob")
    assert (entry.direction, entry.id, entry.state) == ("sent", message_id, "cancelled")


async def test_a_message_may_go_again_now(alice: Operated, bob: Live) -> None:
    await absent_peer(alice, bob)
    message_id = await queue(alice, "one")
    assert (await alice.operator.outbox_retry(message_id)).state == "queued"


async def test_waiting_ends_with_the_lifetime_or_with_patience(alice: Operated, bob: Live) -> None:
    await absent_peer(alice, bob)
    send = alice.operator.send
    normal = MessagePriority.NORMAL
    expired = await send("bob", b"one", "MSG", normal, ttl_s=0.05, wait_s=LIMIT_S)
    assert expired.state == "expired"
    assert (await send("bob", b"two", "MSG", normal, wait_s=0.01)).state == "queued"


async def test_a_message_that_is_not_kept_needs_a_session(alice: Operated, bob: Live) -> None:
    await alice.live.dial(bob)
    live = await alice.operator.send(
        "bob", b"live", "MSG", MessagePriority.NORMAL, is_durable=False, wait_s=LIMIT_S
    )
    assert live.state == "sent"
    assert await bob.has_received(1) == ["live"]
    bob_id = bob.id
    await bob.node.stop()
    await alice.live.offline(bob_id)
    with pytest.raises(NoPathError):
        await queue(alice, "live", is_durable=False)


async def test_history_has_both_directions_the_newest_first(alice: Operated, bob: Live) -> None:
    await alice.live.dial(bob)
    sent = await queue(alice, "out", wait_s=LIMIT_S)
    await bob.node.send("alice", b"back")
    await alice.live.has_received(1)
    async with asyncio.timeout(LIMIT_S):
        # That a message has ended is written a moment later.
        while (history := await alice.operator.history("bob"))[-1].state != "delivered":
            await asyncio.sleep(0.01)
    assert [(one.direction, one.name) for one in history] == [("received", "bob"), ("sent", "bob")]
    assert (history[1].id, history[1].state) == (sent, "delivered")
    assert history[0].state in {"waiting", "handled"}
    assert await alice.operator.history(direction="sent") == history[1:]
    assert await alice.operator.history(since=history[0].at) == history[:1]
    assert await alice.operator.history(limit=1) == history[:1]
    with pytest.raises(UnknownPeerError):
        await alice.operator.history("carol")


async def test_connecting_gives_the_node_id(alice: Operated, bob: Live) -> None:
    assert await alice.operator.connect(*bob.endpoint) == bob.id
    await bob.node.stop()
    with pytest.raises(ConnectError):
        await alice.operator.connect("127.0.0.1", bob.port)


async def test_a_stop_is_passed_on(alice: Operated) -> None:
    alice.operator.stop()
    assert alice.stops == [None]


# --- Trust ---------------------------------------------------------------------------------------


async def test_pins_are_listed_shown_and_forgotten(alice: Operated, bob: Live) -> None:
    await alice.live.dial(bob)
    (pin,) = alice.operator.trust_list()
    assert (pin.node_id, pin.name, pin.state, pin.is_online) == (bob.id, "bob", "trusted", True)
    assert alice.operator.trust_show("bob") == alice.operator.trust_show(bob.id) == pin
    assert await alice.operator.trust_forget("bob") == pin
    assert alice.operator.trust_list() == []
    with pytest.raises(UnknownPeerError):
        alice.operator.trust_show("bob")


async def test_a_key_is_pinned_under_a_name(alice: Operated) -> None:
    pin = await alice.operator.trust_pin(STRANGER_KEY, "carol", is_verified=True)
    assert (pin.name, pin.is_verified, pin.is_online) == ("carol", True, False)
    assert pin.public_key_b64 == STRANGER_KEY
    assert "pin_added" in " ".join(alice.live.audited()).lower()
    with pytest.raises(TrustError, match="base64"):
        await alice.operator.trust_pin("not base64!", "dave", is_verified=False)
    with pytest.raises(TrustError):
        await alice.operator.trust_pin("AAAA", "dave", is_verified=False)


async def test_a_revoked_peer_is_cut_off_and_stays_out(alice: Operated, bob: Live) -> None:
    await alice.live.dial(bob)
    record = await alice.operator.trust_revoke("bob", "stolen")
    assert (record.state, record.reason, record.node_id) == ("revoked", "stolen", bob.id)
    await alice.live.offline(bob.id)
    assert alice.operator.trust_show(bob.id) == record
    assert alice.operator.trust_list() == [record]
    await alice.live.refused(Refusal.REVOKED)


# --- Events --------------------------------------------------------------------------------------


async def test_a_subscriber_sees_peers_messages_and_refusals(
    alice: Operated, bob: Live, nodes: Nodes
) -> None:
    with alice.operator.subscribe() as events:
        await bob.dial(alice.live)
        online = await next_of(events, PeerEvent)
        assert isinstance(online, PeerEvent)
        assert (online.node_id, online.name, online.is_online) == (bob.id, "bob", True)
        await bob.node.send("alice", b"\xffx", "CONV")
        message = await next_of(events, MessageEvent)
        assert isinstance(message, MessageEvent)
        assert (message.source, message.source_name, message.via) == (bob.id, "bob", bob.id)
        assert (message.type, message.payload, message.text) == ("CONV", b"\xffx", None)
        stranger = await nodes.start("carol", passphrase=Secret("another passphrase"))
        with pytest.raises(HandshakeError):
            await stranger.node.connect(*alice.live.endpoint)
        refused = await next_of(events, RefusalEvent)
        assert isinstance(refused, RefusalEvent)
        assert refused.reason == "auth_failed"
        bob_id = bob.id
        await bob.node.stop()
        offline = await next_of(events, PeerEvent)
        assert isinstance(offline, PeerEvent)
        assert (offline.node_id, offline.is_online) == (bob_id, False)


async def test_who_no_longer_subscribes_gets_nothing(alice: Operated, bob: Live) -> None:
    with alice.operator.subscribe() as events:
        pass
    await bob.dial(alice.live)
    assert [event async for event in events] == []


async def test_subscriptions_end_with_the_host(nodes: Nodes) -> None:
    host = Host(nodes.config("alice"))
    await host.start()
    with host._operator.made().subscribe() as events:
        await host.stop()
        async with asyncio.timeout(LIMIT_S):
            assert [event async for event in events] == []


async def test_past_peers_are_not_kept_without_end(alice: Operated, bob: Live) -> None:
    await alice.live.dial(bob)
    link = alice.live.link(bob)
    assert link is not None
    for number in range(300):
        gone = PeerOffline(NodeId(f"{number:032x}"), "x", "test", link)
        alice.live.node.events.publish(gone)
    assert len(alice.node_operator._past) == 256
    assert alice.live.seen.of(PeerOnline)

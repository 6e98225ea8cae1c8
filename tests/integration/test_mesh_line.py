"""Nodes in a line: routes form, and messages go over nodes that cannot read them."""

from __future__ import annotations

import asyncio
import secrets

import pytest
from tests.support.meshes import knows, knows_all, line
from tests.support.nodes import Nodes, eventually

from ironmesh.errors import AmbiguousNameError, NoPathError, UnknownPeerError
from ironmesh.mesh import cost
from ironmesh.node.events import MeshPartitioned, RouteFound, RouteLost
from ironmesh.node.link import Link
from ironmesh.types import MeshMode, MessagePriority, Refusal


async def test_a_message_by_name_to_a_node_two_hops_away_and_a_reply(nodes: Nodes) -> None:
    a, b, c = await line(nodes, 3)
    await knows(a, c)
    destination, message_id = await a.node.send("node-c", b"hello over b")
    assert destination == c.id
    assert await c.has_received(1) == ["hello over b"]
    received = c.received[0]
    assert (received.message.source, received.source_name, received.via) == (a.id, "node-a", b.id)
    ending = await a.node.outgoing.wait_end(message_id)
    assert ending.state.value == "delivered"
    _, reply_id = await c.node.send(received.message.source, b"hello back")
    assert await a.has_received(1) == ["hello back"]
    assert a.received[0].message.source == c.id
    assert (await c.node.outgoing.wait_end(reply_id)).state.value == "delivered"
    assert b.received == []


async def test_every_node_of_a_line_of_five_reaches_every_other(nodes: Nodes) -> None:
    made = await line(nodes, 5)
    await knows_all(made)
    for one in made:
        for other in made:
            if one is not other:
                await one.node.send(other.name, f"{one.name} to {other.name}".encode())
    for other in made:
        texts = await other.has_received(4)
        assert sorted(texts) == [f"{one.name} to {other.name}" for one in made if one is not other]
    assert made[0].node.mesh.native_hops(made[4].id) == 4


async def test_messages_of_one_priority_stay_in_order_over_four_hops(nodes: Nodes) -> None:
    made = await line(nodes, 5)
    await knows(made[0], made[4])
    for number in range(300):
        await made[0].node.send("node-e", str(number).encode())
    assert await made[4].has_received(300) == [str(number) for number in range(300)]


async def test_what_is_ready_together_goes_in_few_parcels(nodes: Nodes) -> None:
    a, b, c = await line(nodes, 3)
    await knows(a, c)
    texts = [str(number) for number in range(512)]
    await asyncio.gather(*(a.node.send("node-c", text.encode()) for text in texts))
    assert await c.has_received(512) == texts
    assert b.node.counters.snapshot()["mesh.parcels_relayed"] < 100


async def test_a_message_that_is_not_kept_goes_over_relays_too(nodes: Nodes) -> None:
    a, _b, c = await line(nodes, 3)
    await knows(a, c)
    await a.node.send("node-c", b"now or never", is_durable=False)
    assert await c.has_received(1) == ["now or never"]
    assert c.received[0].message.source == a.id
    with pytest.raises(NoPathError):
        await a.node.send("f" * 32, b"nobody", is_durable=False)


async def test_a_large_message_goes_in_chunks_and_a_relay_sees_nothing_of_it(nodes: Nodes) -> None:
    made = await line(nodes, 4)
    a, b, c, d = made
    await knows(a, d)
    seen: list[bytes] = []
    for relay in (b, c):
        take = relay.node.mesh._relay.take

        def record(peer, messages, take=take):
            seen.extend(message.payload for message in messages)
            take(peer, messages)

        relay.node.mesh._relay.take = record
    body = secrets.token_bytes(5 * 1024 * 1024)
    await a.node.send("node-d", body, "secret/type", MessagePriority.LOW)
    await a.node.send("node-d", b"urgent", priority=MessagePriority.CRITICAL)
    await d.has_received(2)
    assert sorted(len(event.message.payload) for event in d.received) == [6, len(body)]
    whole = next(event.message for event in d.received if event.message.type == "secret/type")
    assert whole.payload == body
    assert whole.source == a.id
    parcels = [data for data in seen if len(data) > 1000]
    assert len(parcels) > 2 * 5 * 1024 * 1024 / (64 * 1024)
    public = a.node._running().keys.keys.identity.public
    # A receipt that travels back names its destination, which is the source.
    flow = b"".join(data for data in seen if data.startswith(bytes.fromhex(d.id)))
    assert len(flow) > 2 * len(body)
    for secret in (body[:32], body[-32:], b"secret/type", bytes.fromhex(a.id), public):
        assert secret not in flow


async def test_capabilities_are_found_and_withdrawn_over_hops(nodes: Nodes) -> None:
    a, _b, c = await line(nodes, 3)
    await knows(a, c)
    c.node.capabilities.advertise("llm:llama3")
    find = a.node.capabilities.find
    await eventually(lambda: find("llm:*") == [(c.id, "llm:llama3")], "the capability")
    c.node.capabilities.withdraw("llm:llama3")
    await eventually(lambda: find("llm:*") == [], "its end")


async def test_two_nodes_of_one_name_are_told_apart_by_their_ids(nodes: Nodes) -> None:
    a, b = await line(nodes, 2)
    twins = [await nodes.start("twin", home=nodes.config("x").home / str(i)) for i in range(2)]
    other = await nodes.start("node-z")
    await b.dial(other)
    await twins[0].dial(b)
    await twins[1].dial(other)
    mesh = a.node.mesh
    await eventually(lambda: len(mesh.claimants("twin")) == 2, "both twins")
    with pytest.raises(AmbiguousNameError):
        await a.node.send("twin", b"which?")
    await a.node.send(twins[1].id, b"you")
    assert await twins[1].has_received(1) == ["you"]


async def test_a_node_that_leaves_is_reached_by_nobody_and_messages_wait(nodes: Nodes) -> None:
    a, b, c = await line(nodes, 3)
    await knows(a, c)
    await a.node.send("node-c", b"first")
    await c.has_received(1)
    await c.node.stop()
    await a.seen.wait(RouteLost, lambda event: event.node_id == c.known_id)
    _, waiting = await a.node.send("node-c", b"second")
    assert a.node.outgoing.ending(waiting).state.value == "queued"
    back = await nodes.again(c)
    await b.dial(back)
    assert await back.has_received(1) == ["second"]
    assert (await a.node.outgoing.wait_end(waiting)).state.value == "delivered"
    assert [event.node_id for event in a.seen.of(RouteFound)].count(c.known_id) >= 2


async def test_who_only_uses_routes_hands_nothing_on(nodes: Nodes) -> None:
    a = await nodes.start("node-a")
    b = await nodes.start("node-b", mesh_routing=MeshMode.PASSIVE)
    c = await nodes.start("node-c")
    d = await nodes.start("node-d")
    await a.dial(b)
    await b.dial(c)
    await c.dial(d)
    await knows(b, d)
    await b.node.send("node-d", b"over c")
    assert await d.has_received(1) == ["over c"]
    await asyncio.sleep(0.5)
    assert a.node.mesh.native_hops(c.id) is None
    with pytest.raises(UnknownPeerError):
        await a.node.send("node-c", b"no")


async def test_where_the_mesh_is_off_only_direct_peers_are_reached(nodes: Nodes) -> None:
    a = await nodes.start("node-a")
    b = await nodes.start("node-b", mesh_routing=MeshMode.OFF)
    c = await nodes.start("node-c")
    await a.dial(b)
    await b.dial(c)
    await a.node.send("node-b", b"direct")
    assert await b.has_received(1) == ["direct"]
    assert b.node.mesh is None
    with pytest.raises(UnknownPeerError):
        await a.node.send("node-c", b"no")
    await eventually(lambda: b.node.counters.snapshot().get("ignored.mesh", 0) > 0)


async def test_a_direct_link_takes_over_from_a_path_and_back(nodes: Nodes) -> None:
    a, b, c = await line(nodes, 3)
    await knows(a, c)
    await a.node.send("node-c", b"one")
    await c.has_received(1)
    link = await a.dial(c)
    await a.node.send("node-c", b"two")
    await c.has_received(2)
    assert c.received[1].via == a.id
    link.close_soon("test")
    a.node._traffic().dialer.stop()
    await a.offline(c.id)
    await a.node.send("node-c", b"three")
    assert await c.has_received(3) == ["one", "two", "three"]
    assert c.received[2].via == b.id


async def test_a_trace_shows_every_hop(nodes: Nodes) -> None:
    made = await line(nodes, 4)
    await knows(made[0], made[3])
    hops = await made[0].node.mesh.trace(made[3].id, 10.0)
    assert [hop.node_id for hop in hops] == [one.id for one in made[1:]]
    assert [hop.outcome.name for hop in hops] == ["PASSED_ON", "PASSED_ON", "ARRIVED"]
    assert all(hop.rtt_s > 0 for hop in hops)


async def test_a_ring_has_a_way_left_when_a_relay_dies(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Five nodes share one thread here: a pause of it would count as a long way to somewhere.
    monkeypatch.setattr(cost, "PER_SECOND", 0)
    made = await line(nodes, 5)
    a, b, c, _d, e = made
    await e.dial(a)
    await knows_all(made)
    await eventually(lambda: a.node.mesh.next_native_hop(c.id) == b.id, "the short way")
    await a.node.send("node-c", b"over b")
    await c.has_received(1)
    assert c.received[0].via == b.id
    await b.node.stop()
    await a.node.send("node-c", b"the long way")
    assert await c.has_received(2) == ["over b", "the long way"]
    assert a.node.mesh.native_hops(c.id) == 3


async def test_over_half_of_the_mesh_lost_is_an_alarm(nodes: Nodes) -> None:
    made = await line(nodes, 6)
    await knows_all(made)
    await made[2].node.stop()
    (alarm,) = await made[0].seen.wait(MeshPartitioned)
    assert (alarm.lost, alarm.remaining) == (4, 1)
    assert made[0].node.counters.snapshot()["mesh.partitions"] == 1
    assert "MESH_PARTITIONED" in made[0].audited()


async def test_nothing_goes_to_or_comes_from_a_revoked_node_over_others(nodes: Nodes) -> None:
    a, _b, c = await line(nodes, 3)
    await knows(a, c)
    await knows(c, a)
    await a.node.send("node-c", b"before")
    await c.has_received(1)
    a.node.decisions.revoke(c.id, "test")
    _, waiting = await a.node.send(c.id, b"after")
    with pytest.raises(UnknownPeerError):
        await a.node.send("node-c", b"by name")
    await c.node.send(a.id, b"from the revoked")
    await a.refused(Refusal.REVOKED)
    assert a.node.outgoing.ending(waiting).state.value == "queued"
    assert (a.texts, c.texts) == ([], ["before"])


WEBSOCKET_BYTES = 8
"""What the transport adds to a record of that size."""


async def test_a_routed_message_of_64_bytes_takes_300_on_each_hop(nodes: Nodes) -> None:
    a, b, c = await line(nodes, 3)
    await knows(a, c)
    records = a.node.mesh._records
    keys = records.keys

    def classic(node_id):
        """As for a destination whose record lists no ML-KEM key: a parcel of kind 1."""
        found = keys(node_id)
        return found and found._replace(kem=None)

    records.keys = classic
    await a.node.send("node-c", b"first")
    await c.has_received(1)
    for one, other in ((a, b), (b, c)):
        await quiet(one.link(other))
    before = [one.link(other).traffic.bytes_sent for one, other in ((a, b), (b, c))]
    await a.node.send("node-c", b"x" * 64)
    await c.has_received(2)
    after = [one.link(other).traffic.bytes_sent for one, other in ((a, b), (b, c))]
    for sent in (end - start for start, end in zip(before, after, strict=True)):
        assert 64 + 32 + 64 < sent <= 300 - WEBSOCKET_BYTES


async def quiet(link: Link) -> None:
    """Wait until a link has nothing to say any more."""
    said = -1
    while said != link.traffic.bytes_sent:
        said = link.traffic.bytes_sent
        await asyncio.sleep(1.5)

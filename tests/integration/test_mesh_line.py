"""A line of nodes: routes form, and messages go over nodes that cannot read them."""

from __future__ import annotations

from itertools import pairwise

from tests.support.nodes import Live, Nodes, eventually

NAMES = "abcdefgh"


async def line(nodes: Nodes, count: int, **settings) -> list[Live]:
    """Start so many nodes, each with a session with the one before."""
    made = [await nodes.start(f"node-{NAMES[place]}", **settings) for place in range(count)]
    for one, other in pairwise(made):
        await one.dial(other)
    return made


async def knows(one: Live, other: Live) -> None:
    """Wait until a node knows a route to another one, and its name."""
    mesh = one.node.mesh
    assert mesh is not None
    await eventually(
        lambda: bool(mesh.native_hops(other.id)) and mesh.claimants(other.name) == [other.id],
        f"{one.name} knows {other.name}",
    )


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

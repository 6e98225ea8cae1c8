"""A15 at a relay of the 0.8 wire: who floods it is held to a share, and others get through."""

from __future__ import annotations

import os

import msgspec
from tests.support.attacker import PLAIN
from tests.support.hostile_relay import CLOCK, HostileRelay, hostile_relay
from tests.support.nodes import LEGACY, Nodes, eventually

from ironmesh.node.door import PlaceLimits
from ironmesh.node.mesh.legacy import RELAYED_BURST, RELAYED_PER_S
from ironmesh.session.legacy.sources import originate
from ironmesh.types import Message, MessageId, NodeId
from ironmesh.wire.legacy.constants import TUNNEL_TYPE
from ironmesh.wire.legacy.inner import Inner
from ironmesh.wire.legacy.tunnel import FLAG_DIALLER, FLAG_MORE, TunnelFrame, encode

FLOOD = 400
PER_SOURCE = PlaceLimits().per_source


def written(relay: HostileRelay, destination: NodeId, text: str) -> Inner:
    """Return a frame of one neighbour for another."""
    said = Message(MessageId(os.urandom(16)), "MSG", text.encode(), relay.node_id, destination)
    made = originate(relay.identity, said, seal_to=None, max_hops=5)
    return msgspec.structs.replace(made, timestamp=CLOCK.now().wall)


async def test_a15_on_the_08_wire_a_neighbour_that_floods_a_relay_keeps_nobody_out(
    nodes: Nodes,
) -> None:
    alice = await nodes.start("alice", **PLAIN, **LEGACY)
    async with (
        hostile_relay(alice, name="loud") as loud,
        hostile_relay(alice, name="quiet") as quiet,
        hostile_relay(alice, name="far") as far,
    ):
        far.keys |= {one.node_id: one.identity.public for one in (loud, quiet)}
        began = CLOCK.now().mono
        for number in range(FLOOD):
            await loud.hand(alice.id, written(loud, far.node_id, f"flood {number}"))
        await quiet.hand(alice.id, written(quiet, far.node_id, "one word"))
        await eventually(lambda: any(one.payload == b"one word" for one in far.said))
        took = CLOCK.now().mono - began
        passed = sum(one.payload.startswith(b"flood") for one in far.said)
    assert passed <= RELAYED_BURST + RELAYED_PER_S * took + 1
    assert alice.node.counters["legacy.dropped.busy"] > 0


async def test_a15_on_the_08_wire_a_frame_said_many_times_is_passed_on_once(nodes: Nodes) -> None:
    alice = await nodes.start("alice", **PLAIN, **LEGACY)
    async with (
        hostile_relay(alice, name="loud") as loud,
        hostile_relay(alice, name="far") as far,
    ):
        far.keys[loud.node_id] = loud.identity.public
        said = written(loud, far.node_id, "again and again")
        for _ in range(20):
            await loud.hand(alice.id, said)
        await loud.hand(alice.id, written(loud, far.node_id, "afterwards"))
        await eventually(lambda: any(one.payload == b"afterwards" for one in far.said))
    assert [one.payload for one in far.said if one.type == "MSG"] == [
        b"again and again",
        b"afterwards",
    ]
    assert alice.node.counters["legacy.dropped.repeated"] == 19


async def test_a15_on_the_08_wire_tunnels_that_nobody_goes_on_with_take_few_places(
    nodes: Nodes,
) -> None:
    """All that come over one neighbour are one source at the door, whoever they say they are."""
    alice = await nodes.start("alice", **PLAIN, **LEGACY)
    strangers = [NodeId(f"{number:032x}") for number in range(40)]
    opening = TunnelFrame(b"8 bytes!", 0, FLAG_DIALLER | FLAG_MORE, b"the beginning of a word")
    async with hostile_relay(alice) as relay:
        await relay.announce(*strangers)
        for number, stranger in enumerate(strangers):
            await relay.hand(
                alice.id,
                Inner(
                    type=TUNNEL_TYPE,
                    payload=encode(opening),
                    msg_id=f"{number}",
                    source=stranger,
                    destination=alice.id,
                    timestamp=CLOCK.now().wall,
                    hops=(relay.node_id,),
                    source_signature=bytes(64),
                ),
            )
        counters = alice.node.counters
        await eventually(lambda: counters["tunnel.turned_away"] == len(strangers) - PER_SOURCE)

"""A15: an insider uses the mesh to use up memory."""

from __future__ import annotations

from contextlib import suppress

from tests.support.attacker import CLOCK, PLAIN, dialling, party
from tests.support.nodes import Nodes, eventually
from websockets.exceptions import ConnectionClosed

from ironmesh.node.sendqueue import HIGH_WATER_BYTES
from ironmesh.types import NO_ID, MeshType, Message, MessagePriority
from ironmesh.wire.native import routes
from ironmesh.wire.native.noderecords import encode_hashes

LARGE = tuple(f"{number:03}" + "x" * 250 for number in range(240))
BODY_BYTES = 60_000
"""Of a record with these capabilities, at least."""


async def test_a15_who_asks_for_records_and_does_not_read_the_answers_gets_few(
    nodes: Nodes,
) -> None:
    bob = await nodes.start("bob", capabilities=LARGE, **PLAIN)
    own = party("mallory")
    async with dialling(bob) as peer:
        channel = await peer.join(own)
        beacon = None
        while beacon is None:
            for message in channel.open(await peer.hear(), CLOCK.now()).messages:
                if message.type == MeshType.ROUTES:
                    beacon = routes.decode_routes(message.payload).beacons[0]
        wanted = encode_hashes([beacon.record_hash])
        ask = Message(
            NO_ID,
            MeshType.RECORD_REQUEST,
            wanted,
            own.identity.node_id,
            bob.id,
            MessagePriority.HIGH,
        )
        for _ in range(400):
            await peer.say(*channel.seal([ask], CLOCK.now()))
        await eventually(lambda: bob.node.counters["mesh.records_withheld"] > 0)
        link = bob.node.links.get(own.identity.node_id)
        assert link is not None
        assert link.queued <= HIGH_WATER_BYTES // BODY_BYTES + 2
        with suppress(ConnectionClosed):
            await peer.socket.close()

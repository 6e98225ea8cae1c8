"""Bad input of a member of the mesh: what it says is malformed, or it does not do its part."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from tests.support.attacker import CLOCK, Peer, dialling, message, party
from tests.support.nodes import eventually
from tests.support.siege import Siege, grown
from websockets.exceptions import ConnectionClosed

from ironmesh.delivery.lane import OutboxLimits
from ironmesh.node.events import MessageSettled, PeerOffline
from ironmesh.session.native.channel import NativeChannel
from ironmesh.types import MessageId
from ironmesh.wire.native.messages import encode_prefix, varint

pytestmark = pytest.mark.usefixtures("outer")


def whole(kind: int, flags: int = 0, body: bytes = b"body") -> bytes:
    """Return a message of the mesh's layout."""
    return bytes((kind, flags)) + varint(len(body)) + body


@pytest.mark.parametrize("kind", [128, 191])
async def test_bad_input_a_type_of_the_skippable_range_is_skipped(siege: Siege, kind: int) -> None:
    own = party()
    async with dialling(siege.bob) as peer:
        writer = (await peer.join(own))._writer
        assert writer is not None
        known = message(own, siege.bob.id, b"known")
        said = encode_prefix(known) + known.payload
        body = whole(kind, 0xFF) + said
        await peer.say(writer.seal(body, is_signed=True))
        await eventually(lambda: "known" in siege.bob.texts, "what follows it")
        assert siege.bob.node.links.is_online(own.identity.node_id)
    assert siege.bob.node.counters["refused.protocol"] == 0


UNKNOWN = {
    "a type of the channel": whole(15),
    "a type of the mesh": whole(63),
    "a type of applications": bytes((127, 0)) + bytes(range(1, 17)) + b"\4body",
    "a type never to be skipped": whole(255),
    "a flag of a message": whole(16, 0x40),
    "compression": bytes((64, 0x10)) + bytes(range(1, 17)) + b"\4body",
    "a message that is cut off": whole(16)[:-1],
    "a length that is longer than needed": bytes((16, 0)) + b"\x84\0body",
}


@pytest.mark.parametrize("what", UNKNOWN)
async def test_bad_input_what_is_not_known_ends_the_session_by_name(
    siege: Siege, what: str
) -> None:
    async with dialling(siege.bob) as peer:
        writer = (await peer.join(party()))._writer
        assert writer is not None
        await peer.say(writer.seal(UNKNOWN[what], is_signed=True))
        await peer.hear_end()
    (gone,) = await siege.bob.seen.wait(PeerOffline)
    reason = gone.reason.partition(":")[0]
    assert reason in {"protocol", "bad_body"}
    assert siege.bob.node.counters[f"refused.{reason}"] == 1


async def test_bad_input_an_unknown_flag_of_a_record_ends_the_session_by_name(
    siege: Siege,
) -> None:
    async with dialling(siege.bob) as peer:
        writer = (await peer.join(party()))._writer
        assert writer is not None
        record = bytearray(writer.seal(whole(128), is_signed=True))
        record[0] |= 0x08
        await peer.say(bytes(record))
        await peer.hear_end()
    (gone,) = await siege.bob.seen.wait(PeerOffline)
    assert gone.reason.startswith("protocol")
    assert siege.bob.node.counters["refused.protocol"] == 1


async def test_bad_input_who_never_acknowledges_fills_its_window_and_its_messages_expire(
    siege: Siege,
) -> None:
    own, window = party(), OutboxLimits().window_messages
    target = own.identity.node_id
    heard: set[MessageId] = set()

    async def read(peer: Peer, channel: NativeChannel) -> None:
        with suppress(ConnectionClosed):
            while True:
                opened = channel.open(await peer.socket.recv(), CLOCK.now())
                heard.update(said.id for said in opened.messages if said.type == "MSG")

    async with dialling(siege.bob) as peer:
        reading = asyncio.create_task(read(peer, await peer.join(own)))
        await siege.bob.node.send(target, b"soon too late", lifetime_s=0.5)
        await siege.bob.seen.wait(
            MessageSettled, lambda event: (event.peer, event.state) == (target, "expired")
        )
        heard.clear()
        await asyncio.gather(*(siege.bob.node.send(target, b"x") for _ in range(window + 500)))
        await eventually(lambda: len(heard) >= window, "a window of messages")
        talked = len(siege.talked)
        await eventually(lambda: len(siege.talked) > talked + 20, "alice is served")
        assert len(heard) == window, "what does not fit waits"
        assert siege.bob.node.outgoing.count(target) == window + 500, "none counts as delivered"
    await reading


async def test_bad_input_who_stops_reading_holds_up_no_other_and_takes_bounded_memory(
    siege: Siege, traced: None
) -> None:
    own, count, size = party(), 300, 100_000
    async with dialling(siege.bob) as peer:
        await peer.join(own)
        before = grown()
        target = own.identity.node_id
        for _ in range(count):
            await siege.bob.node.send(target, bytes(size))
        talked = len(siege.talked)
        await eventually(lambda: len(siege.talked) > talked + 20, "alice is served")
        assert siege.bob.node.outgoing.count(target) == count
        assert grown() - before < count * size / 2

"""A15: using up what a node has; others go on being served meanwhile."""

from __future__ import annotations

import asyncio
import gzip
import os
import resource
import socket
import tracemalloc
from contextlib import ExitStack, suppress

import pytest
from tests.support import legacy
from tests.support.attacker import CLOCK, NEGOTIATED, dialling, message, party
from tests.support.mallory import mallory, tcp
from tests.support.nodes import eventually
from tests.support.siege import Siege, grown
from websockets.exceptions import ConnectionClosed

from ironmesh.crypto import sodium
from ironmesh.node.events import PeerOffline
from ironmesh.session.native import limits, responder
from ironmesh.session.native.initiator import InitiatorHandshake
from ironmesh.types import Refusal
from ironmesh.wire.legacy import inner
from ironmesh.wire.native.messages import encode_control, varint
from ironmesh.wire.native.records import MAX_RECORD_BYTES
from ironmesh.wire.native.registry import ControlType

pytestmark = pytest.mark.usefixtures("outer")

MIB = 1024 * 1024
HALF_OPEN = 600
"""Both ends are in one process here; `test_a15_half_open.py` has the 10,000. Fewer, if the limit of
open files is lower."""
PLACES = 256


# --- Before a session ----------------------------------------------------------------------------


async def test_a15_hundreds_of_half_open_connections_take_256_places_and_no_more(
    siege: Siege,
) -> None:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(HALF_OPEN, (files - 400) // 2)
    loop, tasks, peak = asyncio.get_running_loop(), len(asyncio.all_tasks()), 0
    with ExitStack() as stack:
        for number in range(wanted):
            stranger = stack.enter_context(socket.socket())
            stranger.setblocking(False)
            stranger.bind((f"127.0.{1 + number // 200}.{1 + number % 200}", 0))
            await loop.sock_connect(stranger, siege.bob.endpoint)
            peak = max(peak, siege.half_open)
        await eventually(lambda: siege.bob.node.counters["refused.busy"] >= wanted - PLACES)
        assert max(peak, siege.half_open) == PLACES
        assert len(asyncio.all_tasks()) <= tasks + 3 * PLACES


async def test_a15_one_address_takes_8_places(siege: Siege) -> None:
    ends = []
    try:
        for _ in range(40):
            ends.append(await tcp(siege.bob))
        await eventually(lambda: siege.bob.node.counters["refused.limit"] == 32)
        assert siege.half_open == 8
    finally:
        for _, writer in ends:
            writer.transport.abort()


@pytest.mark.parametrize("stage", ["nothing", "first message", "resumption"])
async def test_a15_who_does_not_finish_a_handshake_is_hung_up_on(
    siege: Siege, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responder, "FIRST_MESSAGE_TIMEOUT_S", 0.3)
    monkeypatch.setattr(responder, "MESSAGE_TIMEOUT_S", 0.3)
    async with dialling(siege.bob) as peer:
        if stage == "first message":
            await peer.say(*InitiatorHandshake(party(), NEGOTIATED).start(CLOCK.now()))
            await peer.hear()
        elif stage == "resumption":
            await peer.say(b"\x05\x03" + bytes(112))
            assert await peer.hear() == b"\x00"
        assert await peer.hear_end() == ([], 4000)
    await siege.bob.refused(Refusal.TIMEOUT)


@pytest.mark.parametrize("size", [0, 1, 2, 113, 115, 1282, 1284, 70_000, 900_000])
async def test_a15_a_first_message_of_another_length_is_refused_before_any_key_work(
    siege: Siege, size: int
) -> None:
    async with dialling(siege.bob) as peer:
        await peer.say((b"\x05\x01\x00" + bytes(size))[:size])
        assert await peer.hear_end() == ([], 4000)
    await siege.bob.refused(Refusal.PROTOCOL)


@pytest.mark.parametrize("wire", ["native", "0.8"])
async def test_a15_a_message_of_many_megabytes_is_not_taken_in(
    siege: Siege, traced: None, wire: str
) -> None:
    before = grown()
    # The header of a WebSocket frame that announces 1 GiB, and as much as fits of it.
    async with dialling(siege.bob, protocols=("ironmesh.v5",) if wire == "native" else ()) as peer:
        transport = peer.socket.transport
        transport.write(b"\x82\xff" + (1 << 30).to_bytes(8, "big") + bytes(4))
        _, code = await peer.hear_end()
        assert code == 1009
    await siege.bob.refused(Refusal.PROTOCOL)
    assert grown() - before < 4 * MIB


# --- In a session --------------------------------------------------------------------------------


async def test_a15_an_announced_length_allocates_nothing(siege: Siege, traced: None) -> None:
    own = party()
    async with dialling(siege.bob) as peer:
        channel = await peer.join(own)
        writer = channel._writer
        assert writer is not None
        before = grown()
        for priority in range(4):
            head = b"\x40" + bytes([priority]) + bytes(range(1, 17))
            chunk = varint(limits.MAX_PAYLOAD_BYTES) + head + b"x"
            body = encode_control(ControlType.CHUNK, chunk, 0x20 | priority)
            await peer.say(writer.seal(body, is_signed=True))
        ping = encode_control(ControlType.PING, bytes(4))
        await peer.say(writer.seal(ping, is_signed=False))
        await peer.hear()
        assert grown() - before < 2 * MIB
        too_much = varint(limits.MAX_PAYLOAD_BYTES + 1) + b"\x40\0" + bytes(range(1, 17)) + b"x"
        body = encode_control(ControlType.CHUNK, too_much, 0x20)
        await peer.say(writer.seal(body, is_signed=True))
        await peer.hear_end()
    gone = await siege.bob.seen.wait(PeerOffline)
    assert gone[0].reason.startswith("too_large")
    assert siege.bob.node.counters["refused.too_large"] == 1


async def test_a15_a_record_over_its_limit_ends_the_session(siege: Siege) -> None:
    async with dialling(siege.bob) as peer:
        await peer.join(party())
        with suppress(ConnectionClosed):
            await peer.say(bytes(MAX_RECORD_BYTES + 1))
        await peer.hear_end()
    await siege.bob.seen.wait(PeerOffline)


async def test_a15_a_flood_of_pings_is_answered_ten_times_and_one_a_second(siege: Siege) -> None:
    async with dialling(siege.bob) as peer:
        channel = await peer.join(party())
        writer = channel._writer
        assert writer is not None
        for number in range(500):
            ping = encode_control(ControlType.PING, number.to_bytes(4, "big"))
            await peer.say(writer.seal(ping, is_signed=False))
        await eventually(lambda: siege.bob.node.counters["refused.limit"] >= 480)


async def test_a15_a_flood_of_unique_ids_stays_within_bounds(siege: Siege, traced: None) -> None:
    own = party()
    count = 6_000
    async with dialling(siege.bob) as peer:
        channel = await peer.join(own)
        before = grown()
        for _ in range(count // 50):
            flood = [message(own, siege.bob.id, b"flood") for _ in range(50)]
            await peer.say(*channel.seal(flood, CLOCK.now()))
            siege.bob.received[:] = [
                event
                for event in siege.bob.received
                if event.message.source == siege.alice.known_id
            ]
        assert grown() - before < 48 * MIB


# --- The 0.8 wire --------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["deep", "digits", "wide"])
async def test_a15_on_the_08_wire_hostile_json_is_refused(
    siege: Siege, traced: None, what: str
) -> None:
    said = {
        "deep": "[" * 30_000 + "]" * 30_000,
        "digits": "9" * 60_000,
        "wide": '{"type": "HELLO", "x": [' + "0," * 20_000 + "0]}",
    }[what]
    before = grown()
    async with mallory(siege.bob) as peer:
        await peer.hear_challenge()
        with suppress(ConnectionClosed):
            await peer.say(said)
        await peer.hear_end()
    await siege.bob.refused(Refusal.PROTOCOL)
    assert grown() - before < 2 * MIB


async def test_a15_on_the_08_wire_a_zip_bomb_is_not_unpacked(siege: Siege, traced: None) -> None:
    bomb = gzip.compress(bytes(100 * MIB), 9)
    assert len(bomb) < MIB
    async with mallory(siege.bob) as peer:
        session = await peer.open_session()
        says = legacy.says(
            session.party.identity,
            siege.bob.id,
            payload=bomb,
            routing=inner.Routing(compressed=True),
            timestamp=CLOCK.now().wall,
            sequence=1,
        )
        key = session.channel._sealer._key  # type: ignore[attr-defined]
        frame = legacy.forge(
            session.party.identity, key, says=says, nonce=os.urandom(sodium.BOX_NONCE_BYTES)
        )
        tracemalloc.reset_peak()
        before = grown()
        await peer.say(frame)
        await eventually(lambda: siege.bob.node.counters["refused.too_large"] == 1)
        assert tracemalloc.get_traced_memory()[1] - before < 16 * MIB

"""What must not become a session, with the published node on the other side."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from tests.interop.pairs import Pairs

pytestmark = [pytest.mark.interop, pytest.mark.timeout(90)]

OTHER = "another passphrase entirely"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def test_they_refuse_our_wrong_passphrase(pairs: Pairs) -> None:
    pair = await pairs.start("ours", "ws", ours={"passphrase": OTHER})
    await pair.ours.dial("127.0.0.1", pair.theirs.port)
    assert (await pair.ours.wait_dial_ended(timeout_s=30))["peer_id"] is None
    assert not pair.ours.online
    assert not pair.theirs.online


async def test_we_refuse_their_wrong_passphrase_and_still_take_the_right_one(
    pairs: Pairs,
) -> None:
    pair = await pairs.start("theirs", "wss", theirs={"passphrase": OTHER})
    await pair.theirs.dial("127.0.0.1", pair.ours.port)
    assert (await pair.theirs.wait_dial_ended(timeout_s=30))["peer_id"] is None
    assert not pair.ours.online
    friend = await pairs.start_theirs(allow_plaintext=False)
    await friend.connect_to(pair.ours)
    assert list(pair.ours.online) == [friend.node_id]


async def test_without_the_flag_we_do_not_dial_in_plaintext(pairs: Pairs) -> None:
    pair = await pairs.start("ours", "ws", ours={"allow_plaintext": False})
    await pair.ours.dial("127.0.0.1", pair.theirs.port)
    assert (await pair.ours.wait_dial_ended(timeout_s=30))["peer_id"] is None
    assert not pair.theirs.online


async def test_without_the_flag_only_tls_is_accepted(pairs: Pairs) -> None:
    pair = await pairs.start("theirs", "wss", theirs={"allow_plaintext": True})
    reader, writer = await asyncio.open_connection("127.0.0.1", pair.ours.port)
    writer.write(UPGRADE)
    with contextlib.suppress(ConnectionError):
        assert b"101" not in await asyncio.wait_for(reader.read(), 20)
    writer.close()
    await pair.connect()


async def test_without_the_0_8_wire_they_are_turned_away(pairs: Pairs) -> None:
    pair = await pairs.start("theirs", "wss", ours={"allow_legacy": False})
    await pair.theirs.dial("127.0.0.1", pair.ours.port)
    assert (await pair.theirs.wait_dial_ended(timeout_s=40))["peer_id"] is None
    assert not pair.ours.online


async def test_a_name_that_is_not_listed_is_turned_away(pairs: Pairs) -> None:
    listed = await pairs.start_theirs(allow_plaintext=False)
    our_node = await pairs.start_ours(allowed_peers=[listed.name])
    stranger = await pairs.start_theirs(allow_plaintext=False)
    await stranger.dial("127.0.0.1", our_node.port)
    await stranger.wait_dial_ended(timeout_s=30)
    await listed.connect_to(our_node)
    assert list(our_node.online) == [listed.node_id]

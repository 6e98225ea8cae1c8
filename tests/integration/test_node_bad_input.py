"""A running node hears what it should not; its honest peer notices nothing."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress

import pytest
from tests.support.leftovers import Leftovers
from tests.support.mallory import ADDRESS, Mallory, is_hung_up, mallory, tcp
from tests.support.nodes import LEGACY, Live, MovableClock, Nodes, eventually, lines
from tests.support.websocket import UPGRADE
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from ironmesh.errors import HandshakeError
from ironmesh.node import handshaking
from ironmesh.node.events import PeerOnline, PeerRefused
from ironmesh.types import Refusal


class Siege:
    """A node under attack, and the honest peer that it talks with meanwhile."""

    def __init__(self, alice: Live, bob: Live, clock: MovableClock) -> None:
        self.alice = alice
        self.bob = bob
        self.clock = clock
        self.sent = 0
        self.is_over = False
        self.refused_before = _refused(alice)

    async def talk(self) -> None:
        """Let both send to each other until it is over."""
        while not self.is_over:
            await self.alice.node.send("bob", b"%d" % self.sent)
            await self.bob.node.send("alice", b"%d" % self.sent)
            self.sent += 1
            await asyncio.sleep(0.005)

    @property
    def half_open(self) -> int:
        return self.alice.node._traffic().gate.half_open

    async def refused(self, *reasons: Refusal, count: int = 1) -> PeerRefused:
        """Wait until alice refused so many of mallory's connections, all for these reasons."""
        found = await self.alice.seen.wait(
            PeerRefused, lambda event: event.remote.partition(":")[0] != "127.0.0.1", count=count
        )
        assert {event.reason for event in found} <= set(reasons)
        return found[-1]

    def count_refused(self) -> int:
        """Return how often alice refused anything since the siege began."""
        return _refused(self.alice) - self.refused_before


def _talk(live: Live) -> list[str]:
    return [text for text in live.texts if text.isdigit()]


def _refused(live: Live) -> int:
    counters = live.node.counters.snapshot()
    return sum(count for name, count in counters.items() if name.startswith("refused."))


@pytest.fixture
async def siege(nodes: Nodes, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Siege]:
    """Alice listens on ws and talks with bob; at the end neither may have been disturbed."""
    caplog.set_level(logging.INFO, "ironmesh")
    clock = MovableClock()
    alice = await nodes.start("alice", allow_plaintext=True, clock=clock, **LEGACY)
    bob = await nodes.start("bob", allow_plaintext=True)
    await bob.dial(alice)
    under_attack = Siege(alice, bob, clock)
    talk = asyncio.create_task(under_attack.talk())
    for live in (alice, bob):
        await live.has_received(1)
    tasks = (await Leftovers.now()).tasks - 1
    try:
        yield under_attack
    finally:
        under_attack.is_over = True
        await talk
    wanted = [str(number) for number in range(under_attack.sent)]
    for live in (alice, bob):
        await eventually(lambda live=live: len(_talk(live)) >= len(wanted), "the honest talk")
        assert _talk(live) == wanted
    assert [e for e in alice.flaps() if e.node_id == bob.id] == alice.seen.of(PeerOnline)[:1]
    assert not [record for record in caplog.records if record.exc_info], "no traceback"
    await eventually(lambda: under_attack.half_open == 0, "nobody half open")
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks, "no task left")


def said_of_mallory(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for line in lines(caplog) if ADDRESS in line]


# --- Before and during the handshake -------------------------------------------------------------

Attack = Callable[[Mallory], Awaitable[None]]


async def _say(unit: str | bytes, peer: Mallory) -> None:
    await peer.hear_challenge()
    await peer.say(unit)


NONSENSE: dict[str, str | bytes] = {
    "garbage": bytes(range(256)) * 8,
    "garbage text": "\x00\ufffe garbage",
    "truncated JSON": '{"type": "PASSPHRASE_CHALLENGE", "proof": "',
    "another type": '{"type": "PASSPHRASE_VERIFIED"}',
    "no object": "[1, 2, 3]",
    "a number of many digits": "9" * 5000,
    "deep nesting": "[" * 30_000 + "]" * 30_000,
    "larger than a handshake": json.dumps({"type": "PASSPHRASE_CHALLENGE", "proof": "a" * 70_000}),
    "larger than a unit": b"x" * 2_000_000,
    "a HELLO without proof": '{"type": "HELLO", "name": "mallory"}',
    "nothing": "",
}


@pytest.mark.parametrize("what", NONSENSE)
async def test_nonsense_instead_of_a_proof_is_refused(
    siege: Siege, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with mallory(siege.alice) as peer:
        await peer.hear_challenge()
        with suppress(ConnectionClosed):
            await peer.say(NONSENSE[what])
        await peer.hear_end()
    await siege.refused(Refusal.PROTOCOL)
    assert len(said_of_mallory(caplog)) == 1


@pytest.mark.parametrize("what", NONSENSE)
async def test_nonsense_instead_of_a_hello_is_refused(
    siege: Siege, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with mallory(siege.alice) as peer:
        await peer.prove()
        assert (await peer.hear())["type"] == "PASSPHRASE_VERIFIED"
        with suppress(ConnectionClosed):
            await peer.say(NONSENSE[what])
        await peer.hear_end()
    await siege.refused(Refusal.PROTOCOL, Refusal.UNSIGNED)
    assert len(said_of_mallory(caplog)) == 1


async def test_a_proof_said_twice_is_refused(siege: Siege) -> None:
    async with mallory(siege.alice) as peer:
        await peer.prove()
        await peer.say({"type": "PASSPHRASE_CHALLENGE", "from": "0" * 32, "proof": "00" * 32})
        await peer.hear_end()
    await siege.refused(Refusal.PROTOCOL)


async def test_our_own_challenge_as_a_proof_is_refused(siege: Siege) -> None:
    async with mallory(siege.alice) as peer:
        await peer.hear_challenge()
        await peer.say(peer.challenge)
        await peer.hear_end()
    await siege.refused(Refusal.AUTH_FAILED)


async def test_a_handshake_said_again_on_another_connection_is_refused(siege: Siege) -> None:
    async with mallory(siege.alice) as first, mallory(siege.alice) as second:
        session = await first.open_session()
        await second.hear_challenge()
        await second.say(*session.spoken[:1])
        await second.hear_end()
    await siege.refused(Refusal.AUTH_FAILED)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + b"a" * 20_000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        bytes(64),
        b"SSH-2.0-OpenSSH_9.6\r\n",
        UPGRADE.replace(b"websocket", b"h2c"),
        UPGRADE.replace(b"13", b"8"),
    ],
    ids=["browser", "long line", "TLS hello", "zeros", "ssh", "h2c", "old websocket"],
)
async def test_what_is_no_websocket_is_refused_without_a_line(
    siege: Siege, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await tcp(siege.alice)
    writer.write(request_bytes)
    await is_hung_up(reader)
    writer.close()
    await siege.refused(Refusal.NOT_WEBSOCKET)
    assert said_of_mallory(caplog) == []


async def test_tls_on_a_plain_port_fails_at_once(siege: Siege) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(OSError):
        await asyncio.open_connection(*siege.alice.endpoint, ssl=context, local_addr=(ADDRESS, 0))
    await siege.refused(Refusal.NOT_WEBSOCKET)


async def test_a_web_page_cannot_connect(siege: Siege) -> None:
    reader, writer = await tcp(siege.alice)
    writer.write(UPGRADE.replace(b"Host: x", b"Host: x\r\nOrigin: https://evil.example"))
    assert b"403" in await reader.readline()
    writer.close()
    await siege.refused(Refusal.NOT_WEBSOCKET)


# --- Guessing the passphrase ----------------------------------------------------------------------


async def guess(alice: Live, address: str = ADDRESS) -> list[str | bytes]:
    """Prove a wrong passphrase; return the node's words."""
    async with mallory(alice, address) as peer:
        await peer.prove(secret=b"wrong passphrase")
        return await peer.hear_end()


async def is_let_in(alice: Live, address: str = ADDRESS) -> bool:
    """Connect with the right passphrase."""
    try:
        async with mallory(alice, address) as peer:
            await peer.open_session()
    except (InvalidHandshake, ConnectionClosed, OSError):
        return False
    return True


async def test_three_wrong_proofs_lock_an_address_out(
    siege: Siege, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        words = await guess(siege.alice)
        assert json.loads(words[0])["type"] == "PASSPHRASE_REJECTED"
    await siege.refused(Refusal.AUTH_FAILED, count=3)
    assert not await is_let_in(siege.alice), "with the right passphrase neither"
    await siege.refused(Refusal.AUTH_FAILED, Refusal.LOCKED_OUT, count=4)
    assert await is_let_in(siege.alice, "127.0.0.4"), "another address is"
    audited = siege.alice.audited()
    assert audited.count("AUTH_FAILED") == 3
    assert audited.count("AUTH_LOCKOUT") == 1


async def test_a_lockout_ends_after_300_s(nodes: Nodes) -> None:
    clock = MovableClock()
    alice = await nodes.start("alice", allow_plaintext=True, clock=clock, **LEGACY)
    for _ in range(3):
        await guess(alice)
    clock.advance(299.0)
    assert not await is_let_in(alice)
    clock.advance(2.0)
    assert await is_let_in(alice)


async def test_a_success_clears_the_failures_before_it(siege: Siege) -> None:
    for _ in range(3):
        await guess(siege.alice)
        await guess(siege.alice)
        assert await is_let_in(siege.alice)


async def test_a_wrong_proof_counts_although_its_sender_hangs_up_at_once(siege: Siege) -> None:
    for count in range(3):
        async with mallory(siege.alice) as peer:
            await peer.prove(secret=b"wrong passphrase")
            peer.reset()
        await siege.refused(Refusal.AUTH_FAILED, Refusal.PROTOCOL, count=count + 1)
    failed = siege.alice.node.counters["refused.auth_failed"]
    is_locked_out = siege.alice.node._traffic().gate.is_locked_out(ADDRESS)
    # A reset may overtake the proof itself; whatever proof was read has counted.
    assert is_locked_out == (failed == 3)


async def test_a_node_with_another_passphrase_is_told_what_to_do(nodes: Nodes) -> None:
    alice = await nodes.start("alice")
    bob = await nodes.start("bob", passphrase=type(alice.node.config.passphrase)("another secret"))
    with pytest.raises(HandshakeError, match="same passphrase"):
        await bob.node.connect(*alice.endpoint)
    await alice.refused(Refusal.AUTH_FAILED)
    assert "AUTH_FAILED" in alice.audited()


# --- Too many, too slow ---------------------------------------------------------------------------


async def test_of_one_address_eight_may_be_half_open(siege: Siege, nodes: Nodes) -> None:
    async with AsyncExitStack() as stack:
        ends = [await tcp(siege.alice) for _ in range(40)]
        for _, writer in ends:
            stack.callback(writer.close)
        await siege.refused(Refusal.LIMIT, count=32)
        assert siege.half_open == 8
        carol = await nodes.start("carol", allow_plaintext=True)
        await carol.dial(siege.alice)
    await carol.node.stop()


async def test_of_all_addresses_256_may_be_half_open(siege: Siege) -> None:
    async with AsyncExitStack() as stack:
        for host in range(10, 44):
            for _ in range(8):
                _, writer = await tcp(siege.alice, f"127.0.0.{host}")
                stack.callback(writer.close)
        await siege.refused(Refusal.BUSY, count=16)
        assert siege.half_open == 256


@pytest.mark.parametrize("stage", ["connected", "upgraded", "challenged", "proved"])
async def test_who_stays_silent_is_hung_up_on(
    siege: Siege, stage: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(handshaking, "HANDSHAKE_LIMIT_S", 0.2)
    if stage in ("connected", "upgraded"):
        reader, writer = await tcp(siege.alice)
        writer.write(UPGRADE if stage == "upgraded" else UPGRADE[:40])
        if stage == "connected":
            await eventually(lambda: siege.half_open == 1)
            writer.close()
            return
        await is_hung_up(reader)
        writer.close()
    else:
        async with mallory(siege.alice) as peer:
            await (peer.prove() if stage == "proved" else peer.hear_challenge())
            await peer.hear_end()
    await siege.refused(Refusal.TIMEOUT)
    assert len(said_of_mallory(caplog)) == 1


async def test_a_slow_drip_does_not_stretch_the_handshake(
    siege: Siege, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshaking, "HANDSHAKE_LIMIT_S", 0.3)
    reader, writer = await tcp(siege.alice)
    writer.write(UPGRADE)
    await reader.readuntil(b"\r\n\r\n")
    # A WebSocket message in fragments that never ends: FIN is never set.
    with suppress(ConnectionError):
        for number in range(200):
            writer.write(bytes([0x01 if number == 0 else 0x00, 0x81, 0, 0, 0, 0]) + b"a")
            await writer.drain()
            if reader.at_eof():
                break
            await asyncio.sleep(0.01)
    await siege.refused(Refusal.TIMEOUT)
    writer.close()


async def test_a_flood_of_refused_connections_leaves_no_memory_behind(siege: Siege) -> None:
    async def knock() -> None:
        reader, writer = await tcp(siege.alice)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await is_hung_up(reader)
        writer.close()

    for _ in range(20):
        await knock()
    siege.alice.seen.events.clear()
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(60):
            await knock()
        siege.alice.seen.events.clear()
        gc.collect()
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 300_000


# --- In an established session --------------------------------------------------------------------


async def test_a_frame_sent_twice_is_taken_once(siege: Siege) -> None:
    async with mallory(siege.alice) as peer:
        session = await peer.open_session()
        units = session.seal(b"once")
        await peer.say(*units, *units)
        await session.send(b"afterwards")
        await eventually(lambda: "afterwards" in siege.alice.texts)
    assert siege.alice.texts.count("once") == 1
    assert siege.alice.node.counters["refused.replay"] >= 1


async def test_a_frame_of_ours_sent_back_is_dropped(siege: Siege) -> None:
    async with mallory(siege.alice) as peer:
        session = await peer.open_session()
        await siege.alice.node.send("mallory", b"for you")
        ours = await peer.hear_unit()
        await peer.say(ours)
        await session.send(b"afterwards")
        await eventually(lambda: "afterwards" in siege.alice.texts)
    assert "for you" not in siege.alice.texts
    assert siege.alice.node.counters["refused.bad_signature"] >= 1


@pytest.mark.parametrize(
    ("unit", "reason"),
    [
        ("text", Refusal.PROTOCOL),
        ('{"type": "HELLO"}', Refusal.PROTOCOL),
        (b"", Refusal.PROTOCOL),
        (b"\xe7\xf6" + bytes(100), Refusal.PROTOCOL),
        (bytes(500_000), Refusal.PROTOCOL),
    ],
    ids=["text", "a handshake", "nothing", "a header alone", "zeros"],
)
async def test_nonsense_in_a_session_costs_only_itself(
    siege: Siege, unit: str | bytes, reason: Refusal, caplog: pytest.LogCaptureFixture
) -> None:
    async with mallory(siege.alice) as peer:
        session = await peer.open_session()
        for _ in range(20):
            await peer.say(unit)
        await session.send(b"afterwards")
        await eventually(lambda: "afterwards" in siege.alice.texts)
        assert siege.count_refused() == 20
        said = [line for line in lines(caplog) if "refused" in line]
        assert len(said) == 1, "one line for twenty of them"

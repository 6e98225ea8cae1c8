"""Starting and stopping: quick, repeatable, and nothing is left behind."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from tests.support.certificates import make_certificate
from tests.support.leftovers import Leftovers
from tests.support.mallory import is_hung_up, mallory, tcp
from tests.support.nodes import LEGACY, Live, Nodes, eventually
from tests.support.pace import slowdown
from tests.support.proxy import fault_proxy
from tests.support.websocket import UPGRADE

from ironmesh.errors import (
    ConfigError,
    IronMeshError,
    KeyFileError,
    NodeAlreadyRunningError,
    NotRunningError,
    PortInUseError,
    TrustFileError,
    WrongPassphraseError,
)
from ironmesh.node.node import NodeState
from ironmesh.types import Endpoint, Secret

STOP_S = 1.0


async def stop_in_time(live: Live) -> None:
    """Stop a node within the time that a person waits for."""
    began = time.monotonic()
    await live.node.stop()
    assert time.monotonic() - began < STOP_S * slowdown()


async def test_twenty_starts_and_stops_leave_nothing(nodes: Nodes) -> None:
    bob = await nodes.start("bob")
    # The first start fills caches and makes the loop's worker thread.
    alice = await nodes.start("alice")
    await alice.dial(bob)
    await alice.node.stop()
    await eventually(lambda: not list(bob.node.links.all()), "alice gone")
    before = await Leftovers.now()
    for _ in range(20):
        alice = await nodes.start("alice")
        await alice.dial(bob)
        await stop_in_time(alice)
        await eventually(lambda: not list(bob.node.links.all()), "alice gone")
    after = await Leftovers.now()
    assert after.tasks == before.tasks
    assert after.files == before.files
    assert after.threads <= before.threads + 5, "the loop's worker threads are a fixed number"


async def test_twenty_starts_and_stops_with_mdns_leave_nothing(nodes: Nodes) -> None:
    await (await nodes.start("alice", mdns=True)).node.stop()
    before = await Leftovers.now()
    for _ in range(20):
        await stop_in_time(await nodes.start("alice", mdns=True))
    after = await Leftovers.now()
    assert after.tasks == before.tasks
    assert after.files == before.files


async def test_both_ends_may_stop_at_once(nodes: Nodes) -> None:
    alice, bob = await nodes.pair()
    await asyncio.gather(stop_in_time(alice), stop_in_time(bob))


async def test_what_a_peer_sent_before_it_knew_is_still_delivered(nodes: Nodes) -> None:
    alice, bob = await nodes.pair()
    for number in range(60):
        await bob.node.send("alice", b"%d" % number)
    await alice.node.stop()
    waiting = bob.waiting(alice)
    assert len(alice.received) + waiting >= 60
    assert alice.texts == [str(number) for number in range(len(alice.received))]


async def test_stopping_while_dialling_is_quick(nodes: Nodes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        alice = await nodes.start("alice")
        alice.node._traffic().dialer.add_address(Endpoint(*deaf.getsockname()))
        connecting = asyncio.create_task(alice.node.connect(*deaf.getsockname()))
        await asyncio.sleep(0.05)
        await stop_in_time(alice)
        connecting.cancel()
        with suppress(asyncio.CancelledError, IronMeshError):
            await connecting


@pytest.mark.parametrize("request_bytes", [b"", UPGRADE], ids=["connected", "upgraded"])
async def test_stopping_in_the_middle_of_handshakes_is_quick(
    nodes: Nodes, request_bytes: bytes
) -> None:
    alice = await nodes.start("alice", allow_plaintext=True)
    ends = [await tcp(alice) for _ in range(8)]
    for _, writer in ends:
        writer.write(request_bytes)
    await eventually(lambda: alice.node._traffic().gate.half_open == 8)
    await stop_in_time(alice)
    for reader, writer in ends:
        await is_hung_up(reader)
        writer.close()


async def test_stopping_after_a_proof_is_quick_and_no_refusal(nodes: Nodes) -> None:
    alice = await nodes.start("alice", allow_plaintext=True, **LEGACY)
    async with mallory(alice) as peer:
        await peer.prove()
        await peer.hear()
        await stop_in_time(alice)
        assert await peer.hear_end() == []
    assert not [name for name in alice.node.counters.snapshot() if name.startswith("refused.")]


async def test_stopping_with_a_peer_that_does_not_read_is_quick(nodes: Nodes) -> None:
    alice, bob = await nodes.start("alice"), await nodes.start("bob")
    async with fault_proxy(*bob.endpoint) as proxy:
        await alice.node.connect("127.0.0.1", proxy.port)
        proxy.to_server.stall()
        proxy.to_client.stall()
        flood = asyncio.create_task(_flood(alice))
        link = alice.link(bob)
        await eventually(lambda: link.is_full, "a full queue")
        await stop_in_time(alice)
        flood.cancel()
        with suppress(asyncio.CancelledError, IronMeshError):
            await flood


async def _flood(live: Live) -> None:
    while True:
        await live.node.send("bob", bytes(60_000), is_durable=False)


async def test_stopping_with_a_session_through_which_nothing_passes_is_quick(
    nodes: Nodes,
) -> None:
    alice, bob = await nodes.start("alice"), await nodes.start("bob")
    async with fault_proxy(*bob.endpoint) as proxy:
        await alice.node.connect("127.0.0.1", proxy.port)
        proxy.to_server.stall()
        proxy.to_client.stall()
        await asyncio.gather(stop_in_time(alice), stop_in_time(bob))


async def test_stopping_twice_or_at_once_is_the_same(nodes: Nodes) -> None:
    alice, _ = await nodes.pair()
    await asyncio.gather(alice.node.stop(), alice.node.stop())
    await alice.node.stop()
    assert alice.audited().count("NODE_STOPPED") == 1
    with pytest.raises(NotRunningError):
        await alice.node.send("bob", b"x")


async def test_a_stop_that_nobody_waits_for_still_happens(nodes: Nodes) -> None:
    alice, bob = await nodes.pair()
    stopping = asyncio.create_task(alice.node.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    with suppress(asyncio.CancelledError):
        await stopping
    await bob.offline(alice.known_id)
    await alice.node.stop()
    assert alice.node.state is NodeState.STOPPED


async def test_a_node_that_is_stopped_while_it_starts_does_not_start(nodes: Nodes) -> None:
    alice = nodes.make("alice")
    starting = asyncio.create_task(alice.node.start())
    await asyncio.sleep(0)
    await alice.node.stop()
    with pytest.raises(NotRunningError, match="while it started"):
        await starting
    await nodes.start("alice")


async def test_the_same_node_runs_once(nodes: Nodes) -> None:
    alice = await nodes.start("alice")
    with pytest.raises(NodeAlreadyRunningError, match="alice"):
        await nodes.start("alice")
    assert alice.node.state is NodeState.STARTED
    await alice.node.stop()
    await nodes.start("alice")


async def test_a_port_in_use_leaves_nothing_behind(nodes: Nodes) -> None:
    bob = await nodes.start("bob")
    before = await Leftovers.now()
    with pytest.raises(PortInUseError, match=str(bob.endpoint.port)):
        await nodes.start("alice", port=bob.endpoint.port)
    after = await Leftovers.now()
    assert (after.tasks, after.files) == (before.tasks, before.files)
    await nodes.start("alice")


# --- Starts that fail ----------------------------------------------------------------------------


def _damage_keys(live: Live) -> None:
    live.node.config.keys_file.write_bytes(b"{ damaged")


def _edit_pins(live: Live) -> None:
    pins = live.node.config.trust_file
    pins.write_bytes(pins.read_bytes().replace(b'"bob"', b'"eve"'))


def _damage_certificate(live: Live) -> None:
    (live.node.config.node_dir / "tls-cert.pem").write_bytes(b"damaged")


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (_damage_keys, KeyFileError),
        (_edit_pins, TrustFileError),
        (_damage_certificate, ConfigError),
    ],
)
async def test_a_damaged_file_stops_the_start_and_stays_as_it_is(
    nodes: Nodes, damage: Callable[[Live], None], error: type[IronMeshError]
) -> None:
    # With the 0.8 wire, on which the certificate is kept from start to start.
    alice, _ = await nodes.pair(**LEGACY)
    await alice.node.stop()
    damage(alice)
    folder = alice.node.config.node_dir
    contents = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    before = await Leftovers.now()
    with pytest.raises(error) as told:
        await nodes.start("alice", **LEGACY)
    assert told.value.fix, "it says what to do"
    assert {path: path.read_bytes() for path in contents} == contents
    after = await Leftovers.now()
    assert (after.tasks, after.files) == (before.tasks, before.files)


async def test_a_wrong_passphrase_for_the_keys_stops_the_start(nodes: Nodes) -> None:
    await (await nodes.start("alice")).node.stop()
    with pytest.raises(WrongPassphraseError):
        await nodes.start("alice", passphrase=Secret("another passphrase"))
    await nodes.start("alice")


async def test_an_edited_audit_log_is_told_and_goes_on(nodes: Nodes) -> None:
    alice = await nodes.start("alice")
    await alice.node.stop()
    log = alice.node.config.audit_file
    edited = log.read_bytes().replace(b"NODE_STOPPED", b"NODE_STARTED")
    log.write_bytes(edited)
    again = await nodes.start("alice")
    assert log.read_bytes().startswith(edited), "what was found stays"
    assert "CHAIN_RESTARTED" in again.audited()


async def test_an_audit_log_that_cannot_be_written_does_not_stop_the_node(
    nodes: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    alice = nodes.make("alice")
    alice.node.config.audit_file.mkdir(parents=True)
    await alice.node.start()
    bob = await nodes.start("bob")
    await alice.dial(bob)
    assert alice.node.counters["audit_errors"] >= 1
    assert "an audit event is lost" in caplog.text


async def test_a_certificate_without_its_key_stops_the_start(nodes: Nodes) -> None:
    alice = nodes.make("alice")
    folder = alice.node.config.home
    folder.mkdir()
    mine, other = folder / "mine", folder / "other"
    for place in (mine, other):
        place.mkdir()
    paths = make_certificate(mine).paths() | {"tls_key": make_certificate(other).key}
    with pytest.raises(ConfigError, match="its own"):
        await nodes.start("alice", **paths)

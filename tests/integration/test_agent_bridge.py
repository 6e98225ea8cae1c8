"""`BridgeDaemon`: the same node for programs that want more of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.agents import PASSPHRASE, QUIET, Mailbox, eventually, prepare
from tests.support.ports import free_port

from ironmesh import BridgeDaemon
from ironmesh.errors import ConfigError, NotRunningError


@pytest.fixture
def daemons() -> Iterator[tuple[BridgeDaemon, BridgeDaemon]]:
    for name in ("alice", "bob", "carol"):
        prepare(name)
    alice = BridgeDaemon("alice", **{**QUIET, "capabilities": ["tool:clock"]})
    bob = BridgeDaemon(name="bob", **QUIET)
    yield alice, bob
    alice.stop()
    bob.stop()


async def join(alice: BridgeDaemon, bob: BridgeDaemon) -> None:
    alice.run(background=True)
    bob.run(background=True)
    assert await alice.connect_to_peer("127.0.0.1", bob.port) == bob.node_id
    await asyncio.to_thread(eventually, lambda: alice.node_id in bob.peers)


async def test_the_published_asyncio_sample_runs(
    daemons: tuple[BridgeDaemon, BridgeDaemon],
) -> None:
    alice, bob = daemons
    got = Mailbox()
    bob.bus.subscribe("MSG", lambda event: got.put(event["payload"]))
    loop = alice.run(background=True)
    assert loop is not None
    assert loop.is_running()
    bob.run(background=True)
    await alice.connect_to_peer("127.0.0.1", bob.port)
    message_id = await alice.send_message(bob.node_id, "MSG", b"Hello!")
    assert len(message_id) == 36
    assert got.wait() == [b"Hello!"]
    await alice.shutdown()
    await bob.shutdown()
    assert alice.loop is None
    assert loop.is_closed()


async def test_a_node_id_is_accepted_unseen_and_the_message_waits(
    daemons: tuple[BridgeDaemon, BridgeDaemon],
) -> None:
    alice, _ = daemons
    alice.run(background=True)
    assert await alice.send_message("ab" * 16, "MSG", b"x")
    assert alice.metrics["messages.accepted"] == 1


async def test_a_shutdown_may_be_awaited_on_the_nodes_own_loop(
    daemons: tuple[BridgeDaemon, BridgeDaemon],
) -> None:
    alice, bob = daemons
    await join(alice, bob)
    loop = alice.loop
    assert loop is not None
    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(alice.shutdown(), loop))
    await asyncio.to_thread(eventually, loop.is_closed)
    await asyncio.to_thread(eventually, lambda: not bob.peers)
    await alice.shutdown()
    alice.run(background=True)


async def test_a_shutdown_before_the_start_does_nothing(
    daemons: tuple[BridgeDaemon, BridgeDaemon],
) -> None:
    await daemons[0].shutdown()


async def test_a_dial_that_fails_is_none_and_logged(
    daemons: tuple[BridgeDaemon, BridgeDaemon], caplog: pytest.LogCaptureFixture
) -> None:
    alice, _ = daemons
    with pytest.raises(NotRunningError):
        await alice.connect_to_peer("127.0.0.1", 1)
    alice.run(background=True)
    assert await alice.connect_to_peer("127.0.0.1", free_port()) is None
    assert "no session with 127.0.0.1" in caplog.text


async def test_the_bus_gives_events_by_type_and_all_and_remembers_them(
    daemons: tuple[BridgeDaemon, BridgeDaemon],
) -> None:
    alice, bob = daemons
    typed, every = Mailbox(), Mailbox()
    end = bob.bus.subscribe("CONV", lambda event: typed.put(event["payload"]))

    async def on_loop(event: Any) -> None:
        assert asyncio.get_running_loop() is bob.loop
        every.put(event["type"])

    bob.bus.on_any(on_loop)
    await join(alice, bob)
    await alice.send_message("bob", "MSG", b"1")
    await alice.send_message("bob", "CONV", b"2")
    assert every.wait(2) == ["MSG", "CONV"]
    assert typed.wait() == [b"2"]
    end()
    await alice.send_message("bob", "CONV", b"3")
    assert every.wait(3)[2] == "CONV"
    assert typed.items == [b"2"]
    history = bob.bus.history()
    assert [entry["type"] for entry in history] == ["MSG", "CONV", "CONV"]
    assert history[0]["data"]["peer_id"] == alice.node_id
    assert bob.bus.history(1)[0]["data"]["payload"] == b"3"


async def test_peers_are_states_by_node_id(
    daemons: tuple[BridgeDaemon, BridgeDaemon],
) -> None:
    alice, bob = daemons
    assert (alice.node_id, alice.peers, alice.metrics) == ("uninitialized", {}, {})
    await join(alice, bob)
    peer = alice.peers[bob.node_id]
    assert (peer.name, peer.status, peer.is_online) == ("bob", "online", True)
    assert peer.to_dict()["node_id"] == bob.node_id
    assert peer.uptime >= 0


async def test_capabilities_are_found_and_advertised(
    daemons: tuple[BridgeDaemon, BridgeDaemon],
) -> None:
    alice, bob = daemons
    assert alice.find_capability("*") == []
    with pytest.raises(NotRunningError):
        alice.advertise_capability("llm:x")
    await join(alice, bob)
    await asyncio.to_thread(eventually, lambda: bob.find_capability("tool:*"))
    alice.advertise_capability("llm:x")
    assert alice.find_capability("llm:*") == [(alice.node_id, "llm:x")]
    with pytest.raises(ConfigError):
        alice.advertise_capability("\n")


def test_the_port_is_known_once_it_is_bound(daemons: tuple[BridgeDaemon, BridgeDaemon]) -> None:
    alice, _ = daemons
    assert alice.port == 0
    alice.run(background=True)
    assert alice.port > 0
    wanted = free_port()
    fixed = BridgeDaemon("carol", **{**QUIET, "port": wanted})
    assert fixed.port == wanted
    fixed.run(background=True)
    assert fixed.port == wanted
    fixed.stop()


def test_a_daemon_is_shown_without_its_secrets() -> None:
    daemon = BridgeDaemon("alice", passphrase=PASSPHRASE)
    assert repr(daemon) == "<BridgeDaemon 'alice', uninitialized, not running>"
    with pytest.raises(NotRunningError):
        _ = daemon.node

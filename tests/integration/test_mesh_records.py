"""What nodes say about themselves, between running nodes: clocks, capabilities, prekeys."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from itertools import pairwise
from typing import Any

import pytest
from tests.support.attacker import PLAIN
from tests.support.liar import knows, liar_between
from tests.support.nodes import Live, Nodes, eventually

from ironmesh.errors import StoreError
from ironmesh.node.clock import SystemClock
from ironmesh.node.events import PeerOnline
from ironmesh.node.mesh import records
from ironmesh.store.mesh_state import MeshState
from ironmesh.types import Instant, MeshType, NodeId

DAYS_S = 24 * 3600.0


class WrongClock:
    """A machine whose clock is days behind."""

    def __init__(self, behind_s: float) -> None:
        self._system = SystemClock()
        self._behind_s = behind_s

    def now(self) -> Instant:
        now = self._system.now()
        return Instant(now.mono, now.wall - self._behind_s)


async def test_a_node_whose_clock_is_days_behind_goes_by_its_neighbours(
    nodes: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    """Else nobody would seal to it: its records would be expired as soon as they are written."""
    late = await nodes.start("late", clock=WrongClock(5 * DAYS_S))
    others = [await nodes.start(f"right-{number}") for number in range(3)]
    for other in others:
        await other.dial(late)
    far = await nodes.start("far")
    await far.dial(others[0])
    assert "clock of this machine is wrong" in caplog.text
    late.node.capabilities.advertise("printer")
    await eventually(lambda: _found(far, "printer") == [(late.id, "printer")])
    await knows(far, late)
    await far.node.send("late", b"how late is it")
    assert await late.has_received(1) == ["how late is it"]


def _found(live: Live, pattern: str) -> list[tuple[str, str]]:
    return list(live.node.capabilities.find(pattern))


async def test_capabilities_are_found_over_hops_withdrawn_and_kept_over_a_restart(
    nodes: Nodes,
) -> None:
    near, middle = await nodes.start("near"), await nodes.start("middle")
    far = await nodes.start("far", capabilities=("llm:llama3",))
    await near.dial(middle)
    await middle.dial(far)
    await eventually(lambda: _found(near, "llm:*") == [(far.id, "llm:llama3")])
    far.node.capabilities.advertise("llm:mistral")
    await eventually(lambda: len(_found(near, "llm:*")) == 2)
    far.node.capabilities.withdraw("llm:mistral")
    await eventually(lambda: _found(near, "llm:*") == [(far.id, "llm:llama3")])
    again = await nodes.again(far)
    await middle.dial(again)
    await eventually(lambda: _found(near, "llm:*") == [(again.id, "llm:llama3")])


async def test_nodes_that_meet_give_each_other_their_records_unasked(nodes: Nodes) -> None:
    """A request and its answer would be two more records, each signed, checked and waited for."""
    alice = await nodes.start("alice", **PLAIN)
    for name in ("mallory", "trent"):  # to the first one alice has yet to make her record
        async with liar_between(alice, name=name) as liar:
            await eventually(lambda liar=liar: alice.id in liar.blobs)
            beacon, blobs = liar.beacons[alice.id], liar.blobs[alice.id]
            assert [sha256(blob).digest() for blob in blobs] == [beacon.record_hash]
            kinds = [message.type for message in liar.heard]
            assert kinds[:2] == [MeshType.ROUTES, MeshType.NODE_RECORDS]


async def test_nodes_that_know_each_other_do_not_give_their_records_again(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = await nodes.pair()
    await knows(alice, bob)
    await knows(bob, alice)
    given: list[NodeId] = []
    monkeypatch.setattr(records.Records, "_give", lambda _, peer, __: given.append(peer))
    link = alice.link(bob)
    assert link is not None
    link.abort()
    await alice.seen.wait(PeerOnline, count=2)
    await bob.seen.wait(PeerOnline, count=2)
    assert given == []


async def test_a_route_that_goes_takes_capabilities_along(nodes: Nodes) -> None:
    near, middle = await nodes.start("near"), await nodes.start("middle")
    far = await nodes.start("far", capabilities=("printer",))
    await near.dial(middle)
    await middle.dial(far)
    await eventually(lambda: _found(near, "printer") == [(far.id, "printer")])
    await far.node.stop()
    await eventually(lambda: _found(near, "*") == [])


async def test_a_node_that_was_never_met_is_sealed_to_with_keys_of_both_kinds(
    nodes: Nodes,
) -> None:
    """Its ML-KEM key is fetched hop by hop, when it is needed."""
    made = [await nodes.start(f"n{number}") for number in range(4)]
    for one, other in pairwise(made):
        await one.dial(other)
    first, last = made[0], made[-1]
    await knows(first, last)
    mesh = first.node.mesh
    assert mesh is not None
    keys = mesh.keys(last.id)
    assert keys is not None
    assert keys.kem is not None
    await first.node.send("n3", b"sealed for n3 alone")
    assert await last.has_received(1) == ["sealed for n3 alone"]


async def test_nothing_is_announced_that_the_disk_did_not_take(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = {"save_prekeys": 2, "save_sequence": 2}
    announced: list[int] = []
    monkeypatch.setattr(records, "STORE_PAUSE_S", 0.02)

    def failing(name: str) -> Callable[..., None]:
        save = getattr(MeshState, name)

        def call(state: MeshState, value: Any) -> None:
            if "bad-disk" in str(state._folder) and failures[name]:
                failures[name] -= 1
                announced.append(len(_destinations(other)))
                raise StoreError("the disk is full")
            save(state, value)

        return call

    for name in failures:
        monkeypatch.setattr(MeshState, name, failing(name))
    other = await nodes.start("other")
    bad = await nodes.start("bad-disk")
    await other.dial(bad)
    await eventually(lambda: _destinations(other) == [bad.id])
    assert failures == {"save_prekeys": 0, "save_sequence": 0}
    assert announced == [0, 0, 0, 0]
    await knows(other, bad)


def _destinations(live: Live) -> list[str]:
    mesh = live.node.mesh
    return [] if mesh is None else list(mesh.native_destinations())

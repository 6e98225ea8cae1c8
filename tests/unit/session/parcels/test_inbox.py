"""Parcels of many sources: each by itself, and all together bounded."""

from __future__ import annotations

import pytest
from tests.support.legacy import identity
from tests.support.parcels import ALICE, BOB, MALLORY, message, numbers

from ironmesh.errors import RemoteProtocolError
from ironmesh.session.interface import Piece
from ironmesh.session.parcels.inbox import ParcelInbox, ParcelLimits
from ironmesh.session.parcels.writer import ParcelWriter
from ironmesh.types import NodeId, Refusal


def contents(source: NodeId, count: int, stream: int = 100, **changes: object) -> list[bytes]:
    out = ParcelWriter(source, BOB.node_id, stream)
    return [
        out.write([message(number, source=source, **changes)])[0].content for number in range(count)
    ]


def half(source: NodeId, size: int = 60_000) -> bytes:
    """Return the first part of a large message."""
    out = ParcelWriter(source, BOB.node_id, 100)
    return out.write([], Piece(message(1, bytes(200_000), source=source), 0, size))[0].content


def test_sources_do_not_wait_for_each_other() -> None:
    inbox = ParcelInbox(BOB.node_id)
    late = contents(ALICE.node_id, 2)[1]
    assert not inbox.take(ALICE.node_id, late, 0.0).messages
    [theirs] = contents(MALLORY.node_id, 1)
    taken = inbox.take(MALLORY.node_id, theirs, 0.0)
    assert numbers(taken.messages) == [0]
    assert taken.messages[0].source == MALLORY.node_id


def test_gaps_are_given_up_by_source() -> None:
    inbox = ParcelInbox(BOB.node_id)
    assert inbox.next_timer is None
    inbox.take(ALICE.node_id, contents(ALICE.node_id, 2)[1], 0.0)
    inbox.take(MALLORY.node_id, contents(MALLORY.node_id, 2)[1], 0.5)
    assert inbox.next_timer == 1.0
    [(source, taken)] = inbox.timer(1.0)
    assert source == ALICE.node_id
    assert taken.refused is Refusal.ORDER
    assert taken.reset is not None
    assert inbox.next_timer == 1.5
    assert [source for source, _ in inbox.timer(2.0)] == [MALLORY.node_id]
    assert inbox.next_timer is None
    assert inbox.size_bytes == 0


def test_the_source_that_keeps_most_makes_room() -> None:
    inbox = ParcelInbox(BOB.node_id, ParcelLimits(waiting_bytes=100_000))
    inbox.take(MALLORY.node_id, half(MALLORY.node_id), 0.0)
    assert 60_000 <= inbox.size_bytes <= 61_000
    inbox.take(ALICE.node_id, half(ALICE.node_id, 50_000), 0.0)
    assert 50_000 <= inbox.size_bytes <= 51_000
    after = ParcelWriter(MALLORY.node_id, BOB.node_id, 100)
    after.write([message(0, source=MALLORY.node_id)])
    [more] = after.write([message(2, source=MALLORY.node_id)])
    assert inbox.take(MALLORY.node_id, more.content, 0.0).refused is Refusal.ORDER


def test_the_source_that_was_silent_longest_makes_room_and_cannot_be_replayed() -> None:
    inbox = ParcelInbox(BOB.node_id, ParcelLimits(sources=2))
    others = [identity(f"node {number}").node_id for number in range(2)]
    hers = contents(ALICE.node_id, 2)
    inbox.take(ALICE.node_id, hers[0], 0.0)
    for node in others:
        inbox.take(node, contents(node, 1)[0], 0.0)
    assert inbox.take(ALICE.node_id, hers[0], 1.0).refused is Refusal.ORDER
    [new] = contents(ALICE.node_id, 1, stream=101)
    assert numbers(inbox.take(ALICE.node_id, new, 2.0).messages) == [0]


def test_even_what_is_remembered_of_sources_is_bounded() -> None:
    inbox = ParcelInbox(BOB.node_id, ParcelLimits(sources=1, streams=2))
    nodes = [identity(f"node {number}").node_id for number in range(5)]
    for node in nodes:
        inbox.take(node, contents(node, 1)[0], 0.0)
    assert numbers(inbox.take(nodes[0], contents(nodes[0], 1)[0], 0.0).messages) == [0]
    assert inbox.take(nodes[4], contents(nodes[4], 1)[0], 0.0).refused is Refusal.ORDER


def test_a_source_can_be_forgotten_with_all_that_waits() -> None:
    inbox = ParcelInbox(BOB.node_id)
    inbox.take(ALICE.node_id, half(ALICE.node_id), 0.0)
    inbox.forget(ALICE.node_id)
    inbox.forget(MALLORY.node_id)
    assert inbox.size_bytes == 0
    assert inbox.take(ALICE.node_id, half(ALICE.node_id), 0.0).refused is Refusal.ORDER


def test_what_is_malformed_leaves_nothing_behind() -> None:
    inbox = ParcelInbox(BOB.node_id)
    with pytest.raises(RemoteProtocolError):
        inbox.take(ALICE.node_id, b"\x00" + bytes(4) + b"\x00\xff", 0.0)
    assert inbox.size_bytes == 0
    assert inbox.next_timer is None

"""The promise, kept through 500 worlds of dying nodes, failing links and full disks.

Each seed is a world of two nodes that send to each other. Nodes die between any two steps: before
and after every commit takes effect, between the actions of one answer, before, in and after
handlers; by SIGKILL or by loss of power. Then all is calm, and the promise is checked.
"""

from __future__ import annotations

from collections import Counter

import pytest
from tests.support.delivery import SimNode, Weather, World

from ironmesh.delivery.inbox import InboxLimits
from ironmesh.delivery.lane import OutboxLimits
from ironmesh.delivery.records import OutboxState
from ironmesh.types import PRIORITIES, MessagePriority
from ironmesh.wire.receipts import split_id

SEEDS = 500
CHUNK = 25
MESSAGES = 60
STORM_S = 10.0
CALM_S = 200.0

SMALL_WINDOW = OutboxLimits(window_messages=3, window_bytes=40, cache_bytes=30)
SMALL_INBOX = InboxLimits(messages=4, payload_bytes=100)

WORLDS = (
    (Weather(death=0.003, power_loss=0.0), None, None),
    (Weather(death=0.003, power_loss=1.0), None, None),
    (Weather(death=0.002, link_life_s=1.0), SMALL_WINDOW, None),
    (Weather(death=0.002, link_life_s=3.0, commit_failure=0.1), None, None),
    (Weather(death=0.002, commit_failure=0.3, power_loss=0.2), None, SMALL_INBOX),
    (Weather(death=0.001, handler_s=1.0, reads_always=True), None, SMALL_INBOX),
    (Weather(link_life_s=0.3, link_gap_s=0.3), SMALL_WINDOW, None),
    (Weather(death=0.001, handler_s=0.5), SMALL_WINDOW, SMALL_INBOX),
    (Weather(death=0.002, link_life_s=2.0, loss=0.1), None, None),
    (Weather(death=0.01, link_life_s=1.0, commit_failure=0.05, handler_s=0.3), None, None),
)


def storm(seed: int) -> World:
    """Return a world after a storm and the calm that follows it."""
    weather, outbox_limits, inbox_limits = WORLDS[seed % len(WORLDS)]
    world = World(seed, weather, outbox_limits, inbox_limits)
    for number in range(MESSAGES):
        node = world.nodes[number % 2]
        priority = world.chance.choice(PRIORITIES)
        at = world.chance.random() * STORM_S * 0.8

        def send(node: SimNode = node, number: int = number, to: MessagePriority = priority):
            if node.is_alive:
                node.send(f"message {number}", to)

        world.after(at, send)
    world.run(STORM_S)
    world.calm()
    world.run(STORM_S + CALM_S)
    return world


def check_sender(node: SimNode, other: SimNode) -> None:
    """Nothing accepted is lost, and every message ends, once, as its sender was told."""
    diary = node.diary
    handled = {seen.text for seen in other.diary.seen if seen.was_finished}
    assert set(diary.returned) <= handled, "lost"
    assert {row.state for row in node.store.history()} <= {OutboxState.DELIVERED}
    for text, message_id in diary.returned.items():
        assert set(diary.told.get(message_id, [])) <= {OutboxState.DELIVERED}, text
    if not diary.deaths:
        assert all(len(diary.told[one]) == 1 for one in diary.returned.values())
    assert not diary.forged
    assert node.outbox.count(other.id) == 0


def check_receiver(node: SimNode, other: SimNode) -> None:
    """Handlers see a message once, or marked; what nobody sent is not seen."""
    before: dict[str, bool] = {}
    for seen in node.diary.seen:
        if seen.text in before:
            assert seen.is_redelivered, "twice without its mark"
            if "power" not in node.diary.deaths:
                assert not before[seen.text], "again though its handler had finished"
        before[seen.text] = seen.was_finished
        assert other.diary.tried[seen.text] is not None
    assert node.store.snapshot().unhandled == ()


def check_order(node: SimNode) -> None:
    """Of one sender and priority, handlers see first what was accepted first."""
    last: Counter[tuple[str, str]] = Counter()
    known: set[bytes] = set()
    for seen in node.diary.seen:
        if seen.id not in known:
            known.add(seen.id)
            number = split_id(seen.id)[1]
            assert number > last[seen.source, seen.priority], "out of order"
            last[seen.source, seen.priority] = number


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_the_promise_is_kept_in_every_world(first):
    for seed in range(first, first + CHUNK):
        world = storm(seed)
        for node in world.nodes:
            other = world.other(node)
            check_sender(node, other)
            check_receiver(node, other)
            if not WORLDS[seed % len(WORLDS)][0].loss:
                check_order(node)
            assert node.store.remembered() == 0, "floors did not catch up"
            assert len(node.outbox._shelf._entries) == 0


def test_the_worlds_are_bad_enough():
    """The worlds of one chunk see what they are there for."""
    kinds: Counter[str] = Counter()
    for seed in range(30):
        world = storm(seed)
        for node in world.nodes:
            kinds.update(node.diary.deaths)
            kinds["redelivered"] += sum(seen.is_redelivered for seen in node.diary.seen)
            kinds["not returned"] += len(node.diary.tried) - len(node.diary.returned)
            attempts = [row.attempts for row in node.store.history()]
            kinds["repeated"] += sum(count > 1 for count in attempts)
        kinds["links"] += world.link_no
    assert all(
        kinds[kind] > 30
        for kind in ("kill", "power", "redelivered", "not returned", "repeated", "links")
    ), kinds

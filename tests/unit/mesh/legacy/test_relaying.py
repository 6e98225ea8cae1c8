"""Frames for somebody else: passed on in the published order of checks, or dropped by name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ironmesh.mesh.legacy.relaying import (
    MAX_FRAMES,
    MAX_SOURCES,
    SEEN_S,
    Drop,
    DropReason,
    Hand,
    LegacyRelay,
    NoRoute,
    PassOn,
    SeenFrames,
)
from ironmesh.types import Instant, MeshMode, NodeId
from ironmesh.wire.legacy.constants import MAX_UNIT_BYTES
from ironmesh.wire.legacy.inner import Inner
from ironmesh.wire.legacy.transit import fits

OWN, SOURCE, SENDER, NEXT, FAR = (NodeId(letter * 32) for letter in "0abcd")
NOW = Instant(1000.0, 1767225600.0)


def frame(**changes: Any) -> Inner:
    values: dict[str, Any] = {
        "type": "MSG",
        "payload": b"hello",
        "msg_id": "3b0f2f5e-6a55-4a67-9a7c-0d4f5b1d9a11",
        "source": SOURCE,
        "source_display": "a name",
        "destination": FAR,
        "timestamp": NOW.wall - 1.25,
        "priority": "HIGH",
        "ttl": 5,
        "hops": (SENDER,),
        "source_signature": b"s" * 64,
        "e2e_payload": b"e" * 60,
    }
    return Inner(**(values | changes))


def judge(
    said: Inner,
    relay: LegacyRelay | None = None,
    *,
    hop: NodeId | None = NEXT,
    is_otherwise: bool = False,
    now: Instant = NOW,
) -> Any:
    relay = relay or LegacyRelay(OWN, MeshMode.RELAY)
    return relay.judge(
        said,
        SENDER,
        now,
        is_otherwise=lambda _: is_otherwise,
        next_hop=lambda destination: hop if destination == FAR else None,
    )


def test_a_frame_goes_on_as_it_came_but_for_ttl_and_hops() -> None:
    said = frame()
    verdict = judge(said)
    assert isinstance(verdict, PassOn)
    assert verdict.next_hop == NEXT
    assert verdict.said == frame(ttl=4, hops=(SENDER, OWN))
    assert verdict.said.source_signature == said.source_signature


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"destination": "*"}, DropReason.BROADCAST),
        ({"destination": ""}, DropReason.BROADCAST),
        ({"timestamp": NOW.wall - 86_401}, DropReason.TOO_OLD),
        ({"ttl": 0}, DropReason.NO_HOPS_LEFT),
        ({"hops": ("h",) * 256}, DropReason.NO_HOPS_LEFT),
        ({"hops": (SENDER, OWN)}, DropReason.LOOP),
        ({"payload": bytes(MAX_UNIT_BYTES * 3 // 4 - 300)}, DropReason.TOO_LARGE),
    ],
)
def test_what_is_not_passed_on_is_dropped_by_name(
    changes: dict[str, Any], reason: DropReason
) -> None:
    assert judge(frame(**changes)) == Drop(reason)


@pytest.mark.parametrize("mode", [MeshMode.OFF, MeshMode.PASSIVE])
def test_only_a_relay_passes_on(mode: MeshMode) -> None:
    assert judge(frame(), LegacyRelay(OWN, mode)) == Drop(DropReason.NOT_A_RELAY)


def test_ttl_1_is_passed_on_once_more() -> None:
    verdict = judge(frame(ttl=1))
    assert isinstance(verdict, PassOn)
    assert verdict.said.ttl == 0


def test_a_frame_without_a_route_is_unreachable() -> None:
    assert judge(frame(), hop=None) == NoRoute()


def test_a_frame_never_goes_back_to_whom_it_came_from() -> None:
    assert judge(frame(), hop=SENDER) == NoRoute()


def test_a_destination_that_is_reached_otherwise_is_handed_over() -> None:
    assert judge(frame(), is_otherwise=True) == Hand(frame(ttl=4, hops=(SENDER, OWN)))


def test_a_frame_is_passed_on_once_within_the_time() -> None:
    relay = LegacyRelay(OWN, MeshMode.RELAY)
    assert isinstance(judge(frame(), relay), PassOn)
    assert judge(frame(hops=(NEXT,), ttl=3), relay) == Drop(DropReason.REPEATED)
    later = Instant(NOW.mono + SEEN_S, NOW.wall)
    assert isinstance(judge(frame(), relay, now=later), PassOn)


@pytest.mark.parametrize(
    "changes", [{"payload": b"other"}, {"e2e_payload": b"x" * 60}, {"source_signature": b"t" * 64}]
)
def test_a_forged_twin_does_not_keep_the_real_frame_away(changes: dict[str, Any]) -> None:
    relay = LegacyRelay(OWN, MeshMode.RELAY)
    judge(frame(**changes), relay)
    assert isinstance(judge(frame(), relay), PassOn)


def test_what_is_remembered_is_bounded_for_each_source_and_in_all() -> None:
    seen = SeenFrames()
    for number in range(MAX_FRAMES + 10):
        assert seen.add(frame(msg_id=f"{number}"), 0.0)
    assert len(seen) == MAX_FRAMES
    for number in range(MAX_SOURCES + 10):
        assert seen.add(frame(source=f"{number:032x}"), 0.0)
    assert len(seen) == MAX_SOURCES


def test_a_loud_source_does_not_make_us_forget_a_quiet_one() -> None:
    seen = SeenFrames()
    assert seen.add(frame(source="1" * 32), 0.0)
    for number in range(MAX_FRAMES * 2):
        seen.add(frame(msg_id=f"{number}"), 0.0)
    assert not seen.add(frame(source="1" * 32), 1.0)


@settings(max_examples=60)
@given(
    links=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12),
    routes=st.lists(st.integers(0, 5), min_size=6, max_size=6),
    ttl=st.integers(0, 12),
)
def test_whatever_the_routes_say_a_frame_passes_each_relay_once_at_most(
    links: list[tuple[int, int]], routes: list[int], ttl: int
) -> None:
    """Routes that lead in circles cost at most one pass at each node."""
    ids = [NodeId(f"{number:032x}") for number in range(6)]
    relays = [LegacyRelay(own, MeshMode.RELAY) for own in ids]
    said, at, sender, passes = frame(ttl=ttl, hops=()), 0, SOURCE, [0] * 6
    while True:
        verdict = relays[at].judge(
            said,
            sender,
            NOW,
            is_otherwise=lambda _: False,
            next_hop=lambda _, here=at: ids[routes[here]],  # type: ignore[misc]
        )
        if not isinstance(verdict, PassOn):
            break
        passes[at] += 1
        said, sender, at = verdict.said, ids[at], ids.index(verdict.next_hop)
    assert max(passes) <= 1
    assert sum(passes) <= ttl


def test_a_frame_fits_if_published_nodes_take_it() -> None:
    assert fits(frame())
    assert not fits(frame(payload=bytes(400_000), e2e_payload=bytes(400_000)))

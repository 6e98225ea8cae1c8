"""At most ten events a second, whatever arrives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ironmesh.discovery.flood import Change, FloodGate


def drain(gate: FloodGate, now: float) -> list[tuple[str, Change]]:
    taken = []
    while (event := gate.take(now)) is not None:
        taken.append(event)
    return taken


def test_fifty_events_at_once_take_four_seconds_and_none_is_lost() -> None:
    gate = FloodGate()
    for number in range(50):
        assert gate.offer(str(number), Change.SEEN)
    assert len(drain(gate, 0.0)) == 10
    assert len(drain(gate, 1.0)) == 10
    assert len(drain(gate, 2.5)) == 10, "a second's silence saves up no more than a burst"
    assert len(drain(gate, 4.5)) == 10
    assert [int(name) for name, _ in drain(gate, 9.0)] == list(range(40, 50))


def test_the_latest_event_of_an_instance_counts_and_takes_one_place() -> None:
    gate = FloodGate(max_waiting=1)
    assert gate.offer("a", Change.SEEN)
    assert gate.offer("a", Change.GONE)
    assert not gate.offer("b", Change.SEEN)
    assert drain(gate, 0.0) == [("a", Change.GONE)]
    assert gate.offer("b", Change.SEEN)


def test_it_says_how_long_to_wait() -> None:
    gate = FloodGate(rate=10, burst=1)
    assert gate.wait_s(0.0) is None
    gate.offer("a", Change.SEEN)
    assert gate.wait_s(0.0) == 0.0
    gate.take(0.0)
    gate.offer("b", Change.SEEN)
    assert gate.wait_s(0.0) == 0.1
    assert gate.take(0.05) is None
    assert gate.take(0.11) == ("b", Change.SEEN)


@given(
    st.lists(
        st.tuples(st.floats(0, 3), st.lists(st.integers(0, 60), max_size=40)),
        max_size=20,
    )
)
def test_no_window_of_time_sees_more_than_the_rate_allows(
    steps: list[tuple[float, list[int]]],
) -> None:
    gate = FloodGate(max_waiting=32)
    now = 100.0
    seen: list[float] = []
    for pause, instances in steps:
        now += pause
        for instance in instances:
            gate.offer(str(instance), Change.SEEN)
        seen += [now] * len(drain(gate, now))
    for first, start in enumerate(seen):
        for last in range(first, len(seen)):
            assert last - first + 1 <= 10 + 10 * (seen[last] - start) + 1e-6

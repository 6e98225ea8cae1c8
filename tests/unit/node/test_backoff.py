"""Pauses between dials grow, spread, and end at 300 s."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ironmesh.node.backoff import MAX_PAUSE_S, pause_s


@given(st.integers(1, 10_000), st.floats(0.1, 60.0), st.floats(0.0, 1.0))
def test_a_pause_is_within_its_bounds(attempt, base, jitter):
    full = min(base * 2.0 ** min(attempt - 1, 16), MAX_PAUSE_S)
    assert full / 2 <= pause_s(attempt, base, jitter) <= full <= 300.0


def test_pauses_double():
    assert [pause_s(attempt, 1.0, 1.0) for attempt in (1, 2, 3, 9, 10, 30)] == [
        1.0,
        2.0,
        4.0,
        256.0,
        300.0,
        300.0,
    ]

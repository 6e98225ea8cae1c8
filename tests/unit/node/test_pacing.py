"""Pacing: a peer's frame limit is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironmesh.node.pacing import UNLIMITED, Pacer


def test_no_rate_means_no_limit():
    pacer = Pacer(0.0, 0, 0.0)
    assert pacer.available(0.0) == UNLIMITED
    pacer.spend(1000, 0.0)
    assert pacer.next_at(5.0) == 5.0


def test_a_burst_goes_at_once_and_the_rest_at_the_rate():
    pacer = Pacer(10.0, 5, 0.0)
    assert pacer.available(0.0) == 5
    pacer.spend(5, 0.0)
    assert pacer.available(0.0) == 0
    assert pacer.next_at(0.0) == pytest.approx(0.1)
    assert pacer.available(0.1) == 1


@given(
    st.floats(1.0, 50.0),
    st.integers(1, 100),
    st.lists(st.floats(0.0, 1.0), min_size=1, max_size=60),
)
def test_never_more_than_burst_plus_rate_times_time(rate, burst, waits):
    pacer, now, sent = Pacer(rate, burst, 0.0), 0.0, 0
    for wait in waits:
        now += wait
        frames = pacer.available(now)
        pacer.spend(frames, now)
        sent += frames
        assert sent <= burst + rate * now + 1e-6

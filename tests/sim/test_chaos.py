"""Bad days of fifty whole nodes: deaths at any step, lost links, lies; and nothing is lost."""

from __future__ import annotations

import pytest

from ironmesh.sim.stack.chaos import Chaos, Day

SEEDS = 200
A_PART = 10


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", range(0, SEEDS, A_PART))
def test_whatever_fails_nothing_is_lost_shown_doubled_or_sent_in_circles(first: int) -> None:
    accepted = deaths = 0
    for seed in range(first, first + A_PART):
        outcome = Day(Chaos(seed=seed)).run()
        accepted += outcome.accepted
        deaths += outcome.deaths
        assert outcome.parcels, f"seed {seed}: nothing went over relays"
        assert outcome.loop_checks
    assert accepted > 45 * A_PART
    assert deaths > 8 * A_PART

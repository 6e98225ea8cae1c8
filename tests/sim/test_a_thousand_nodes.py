"""A thousand nodes: every pair has a way soon, again soon after a failure; rest costs little."""

from __future__ import annotations

import gc

import pytest

from ironmesh.sim.scenario import Run, Scenario

REPAIR_S = 30.0
REST_S = 172.8
"""In which two of a thousand nodes make their daily record."""
REST_BYTES_PER_S = 100.0


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_thousand_nodes_find_each_other_rest_cheaply_and_survive_the_loss_of_a_tenth() -> None:
    run = Run(Scenario(nodes=1000, degree=9.5, slowest_s=0.002, rest_s=REST_S, seed=1))
    gc.disable()
    try:
        for _ in run.steps():
            pass
    finally:
        gc.enable()
    report = run.report()
    assert 8.5 < report.degree < 9.5
    assert report.converged_s is not None, "not every pair has a way"
    assert report.rest_bytes_per_s is not None
    assert report.rest_bytes_per_s < REST_BYTES_PER_S
    assert report.failed == 100
    assert report.vanished == 50
    assert report.repaired_s is not None
    assert report.repaired_s < REPAIR_S
    assert report.delivered_at_rest == 1.0

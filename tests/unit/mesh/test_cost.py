"""What a hop costs, and that the cost of a link does not flutter."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from ironmesh.mesh.cost import HOP_COST, MAX_COST, CostMeter, hop_cost


def test_all_links_of_a_lan_cost_the_same() -> None:
    assert {hop_cost(each / 1000) for each in range(6)} == {HOP_COST}


def test_two_hops_on_a_lan_are_better_than_one_over_a_slow_link() -> None:
    assert 2 * hop_cost(0.001) < hop_cost(0.080)


def test_radio_costs_its_airtime() -> None:
    assert hop_cost(0.5, bytes_per_second=100) > hop_cost(0.5) + 15_000


@given(st.floats(0, 100), st.floats(0, 1), st.floats(0, 1e6))
def test_a_cost_is_at_least_that_of_a_hop_and_bounded(
    round_trip_s: float, loss: float, rate: float
) -> None:
    assert HOP_COST <= hop_cost(round_trip_s, loss=loss, bytes_per_second=rate) <= MAX_COST


def test_round_trips_that_vary_a_little_change_nothing() -> None:
    meter, random = CostMeter(), Random(1)
    meter.answered(0.020)
    assert not any(meter.answered(random.uniform(0.012, 0.028)) for _ in range(1000))


def test_one_slow_answer_changes_nothing_but_many_do() -> None:
    meter = CostMeter()
    meter.answered(0.002)
    assert not meter.answered(0.300)
    assert not any(meter.answered(0.002) for _ in range(20))
    assert any(meter.answered(0.300) for _ in range(20))
    assert meter.link.cost > 400


def test_a_meter_is_steady_until_an_answer_is_unusual() -> None:
    meter = CostMeter()
    meter.answered(0.002)
    assert meter.is_steady
    for _ in range(40):
        meter.answered(0.300)
        if not meter.is_steady:
            break
    assert not meter.is_steady
    meter.answered(0.002)
    assert meter.is_steady
    meter.unanswered()
    assert not meter.is_steady


def test_a_link_that_loses_half_costs_more_and_recovers() -> None:
    meter = CostMeter()
    for _ in range(40):
        meter.answered(0.002)
        meter.unanswered()
    assert meter.link.cost > 2 * HOP_COST
    for _ in range(40):
        meter.answered(0.002)
    assert meter.link.cost < 1.3 * HOP_COST
    assert not meter.link.is_radio

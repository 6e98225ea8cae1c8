"""Loss shows as delay, and order is kept."""

from __future__ import annotations

from random import Random

import pytest

from ironmesh.sim.engine import Engine
from ironmesh.sim.links import LinkQuality, Pipe


def arrivals(quality: LinkQuality, count: int = 200) -> list[float | None]:
    pipe = Pipe(quality, Random(1))
    return [pipe.arrival(1000, number * 0.01) for number in range(count)]


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_nothing_overtakes_what_was_sent_before_it(loss: float) -> None:
    times = arrivals(LinkQuality(delay_s=0.02, jitter_s=0.05, loss=loss))
    assert None not in times
    assert times == sorted(times)  # type: ignore[type-var]


def test_what_is_lost_arrives_later() -> None:
    clean = arrivals(LinkQuality(jitter_s=0.0))
    lossy = arrivals(LinkQuality(jitter_s=0.0, loss=0.3))
    assert all(late >= soon for late, soon in zip(lossy, clean, strict=True))  # type: ignore[operator]
    assert lossy != clean


def test_a_link_that_loses_nearly_everything_goes_down() -> None:
    assert None in arrivals(LinkQuality(loss=0.9))


def test_a_slow_link_carries_its_rate() -> None:
    times = arrivals(LinkQuality(jitter_s=0.0, rate=10_000), count=100)
    assert times[-1] == pytest.approx(100 * 0.1 + 0.002)


def test_events_of_one_time_run_in_the_order_of_their_planning() -> None:
    engine, seen = Engine(1), []
    for name in "abc":
        engine.at(1.0, seen.append, name)
    engine.at(0.5, engine.at, 0.1, seen.append, "late")
    engine.run_until(2)
    assert seen == ["late", "a", "b", "c"]
    assert engine.now == 2

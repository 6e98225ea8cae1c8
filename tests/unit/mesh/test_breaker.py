"""A way that failed again and again is given a rest."""

from __future__ import annotations

from ironmesh.mesh.breaker import MAX_WAYS, CircuitBreakers
from ironmesh.types import NodeId

HOP, OTHER, DESTINATION = (NodeId(letter * 32) for letter in "abc")


def test_the_third_failure_within_a_minute_opens_it_for_a_minute() -> None:
    breakers = CircuitBreakers()
    assert [breakers.failed(HOP, DESTINATION, at) for at in (0.0, 1.0, 2.0)] == [False, False, True]
    assert breakers.is_open(HOP, DESTINATION, 61.9)
    assert not breakers.is_open(HOP, DESTINATION, 62.0)
    assert not breakers.is_open(HOP, OTHER, 3.0)
    assert not breakers.is_open(OTHER, DESTINATION, 3.0)


def test_failures_far_apart_do_not_add_up() -> None:
    breakers = CircuitBreakers()
    assert not any(breakers.failed(HOP, DESTINATION, at * 61.0) for at in range(10))


def test_after_the_rest_one_failure_is_enough_and_one_success_forgives() -> None:
    breakers = CircuitBreakers()
    for at in (0.0, 1.0, 2.0):
        breakers.failed(HOP, DESTINATION, at)
    assert breakers.failed(HOP, DESTINATION, 70.0)
    breakers.worked(HOP, DESTINATION)
    assert not breakers.is_open(HOP, DESTINATION, 71.0)
    assert not breakers.failed(HOP, DESTINATION, 72.0)


def test_what_comes_back_late_does_not_prolong_the_rest() -> None:
    breakers = CircuitBreakers()
    for at in (0.0, 1.0, 2.0):
        breakers.failed(HOP, DESTINATION, at)
    assert not breakers.failed(HOP, DESTINATION, 50.0)
    assert not breakers.is_open(HOP, DESTINATION, 62.0)


def test_the_memory_is_bounded() -> None:
    breakers = CircuitBreakers()
    for number in range(MAX_WAYS + 10):
        breakers.failed(HOP, NodeId(f"{number:032x}"), 0.0)
    assert len(breakers._ways) == MAX_WAYS

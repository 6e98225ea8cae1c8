"""Admission: half-open limits and the lockout after failed proofs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ironmesh.node.door import AdmissionLimits, DoorLimits, source_of
from ironmesh.types import Refusal


def test_a_ninth_half_open_connection_of_one_source_is_refused():
    door = AdmissionLimits()
    assert [door.admit("192.0.2.1", 0.0) for _ in range(8)] == [None] * 8
    assert door.admit("192.0.2.1", 0.0) is Refusal.LIMIT
    assert door.admit("192.0.2.2", 0.0) is None


def test_the_sixty_fifth_half_open_connection_is_refused_whatever_its_source():
    door = AdmissionLimits()
    for number in range(64):
        assert door.admit(f"192.0.2.{number}", 0.0) is None
    assert door.admit("198.51.100.1", 0.0) is Refusal.BUSY
    door.settle("192.0.2.7")
    assert door.admit("198.51.100.1", 0.0) is None


def test_addresses_of_one_ipv6_network_count_as_one_source():
    assert source_of("2001:db8::1") == source_of("2001:db8::ffff:1")
    assert source_of("2001:db8::1") != source_of("2001:db8:0:1::1")
    assert source_of("::ffff:192.0.2.1") == source_of("192.0.2.1")
    assert source_of("fe80::1%eth0") == source_of("fe80::2")


def test_three_failed_proofs_lock_a_source_out_until_they_are_old():
    door = AdmissionLimits()
    assert not door.failed("192.0.2.1", 0.0)
    assert not door.failed("192.0.2.1", 1.0)
    assert door.failed("192.0.2.1", 2.0)
    assert door.admit("192.0.2.1", 299.9) is Refusal.LOCKED_OUT
    assert door.admit("192.0.2.2", 299.9) is None
    assert door.admit("192.0.2.1", 300.1) is None


def test_a_success_clears_the_failures_of_its_source():
    door = AdmissionLimits()
    door.failed("192.0.2.1", 0.0)
    door.failed("192.0.2.1", 0.0)
    door.succeeded("192.0.2.1")
    assert not door.failed("192.0.2.1", 1.0)


def test_failures_of_many_sources_take_bounded_memory():
    door = AdmissionLimits(DoorLimits(remembered_sources=10))
    for number in range(1000):
        door.failed(f"10.0.{number // 256}.{number % 256}", 0.0)
    assert len(door._failures) == 10


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["a", "b", "c"])), max_size=200))
def test_settling_never_frees_more_than_was_admitted(steps):
    door = AdmissionLimits(DoorLimits(half_open_total=5, half_open_per_source=3))
    open_by_source = {"a": 0, "b": 0, "c": 0}
    for is_admission, host in steps:
        if is_admission:
            if door.admit(host, 0.0) is None:
                open_by_source[host] += 1
        elif open_by_source[host]:
            door.settle(host)
            open_by_source[host] -= 1
        assert door.half_open_total == sum(open_by_source.values()) <= 5
        assert max(open_by_source.values()) <= 3

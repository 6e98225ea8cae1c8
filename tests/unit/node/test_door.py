"""The lockout after failed proofs on the 0.8 wire."""

from __future__ import annotations

from ironmesh.node.door import LockoutLimits, Lockouts, source_of


def test_addresses_of_one_ipv6_network_count_as_one_source():
    assert source_of("2001:db8::1") == source_of("2001:db8::ffff:1")
    assert source_of("2001:db8::1") != source_of("2001:db8:0:1::1")
    assert source_of("::ffff:192.0.2.1") == source_of("192.0.2.1")
    assert source_of("fe80::1%eth0") == source_of("fe80::2")


def test_three_failed_proofs_lock_a_source_out_until_they_are_old():
    door = Lockouts()
    assert not door.failed("192.0.2.1", 0.0)
    assert not door.failed("192.0.2.1", 1.0)
    assert door.failed("192.0.2.1", 2.0)
    assert door.is_locked_out("192.0.2.1", 299.9)
    assert not door.is_locked_out("192.0.2.2", 299.9)
    assert not door.is_locked_out("192.0.2.1", 300.1)


def test_a_success_clears_the_failures_of_its_source():
    door = Lockouts()
    door.failed("192.0.2.1", 0.0)
    door.failed("192.0.2.1", 0.0)
    door.succeeded("192.0.2.1")
    assert not door.failed("192.0.2.1", 1.0)


def test_failures_of_many_sources_take_bounded_memory():
    door = Lockouts(LockoutLimits(remembered_sources=10))
    for number in range(1000):
        door.failed(f"10.0.{number // 256}.{number % 256}", 0.0)
    assert len(door._failures) == 10

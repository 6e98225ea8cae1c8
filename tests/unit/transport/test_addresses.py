"""Addresses as they are counted and shown."""

from __future__ import annotations

import pytest

from ironmesh.transport.addresses import bare_host


@pytest.mark.parametrize(
    ("given", "bare"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("example.org", "example.org"),
        ("odd%name", "odd%name"),
    ],
)
def test_zone_and_mapping_are_taken_off(given: str, bare: str) -> None:
    assert bare_host(given) == bare

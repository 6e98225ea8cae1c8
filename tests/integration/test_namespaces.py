"""The two hosts that other tests run nodes in."""

from __future__ import annotations

import pytest
from tests.support.netns import Host

pytestmark = pytest.mark.netns


def reaches(host: Host, address: str) -> bool:
    return host.run(["ping", "-c1", "-W1", address], check=False).returncode == 0


def test_two_hosts_reach_each_other_and_a_cut_cable_parts_them(
    two_hosts: tuple[Host, Host],
) -> None:
    one, two = two_hosts
    assert reaches(one, two.address)
    two.cut()
    assert not reaches(one, two.address)
    two.mend()
    two.drop_incoming()
    assert not reaches(one, two.address)
    two.keep_incoming()
    assert reaches(one, two.address)


def test_one_host_has_a_loopback_of_its_own(one_host: Host) -> None:
    assert reaches(one_host, "127.0.0.1")
    assert not reaches(one_host, "10.77.0.1")

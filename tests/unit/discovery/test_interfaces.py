"""What is announced, and where, for each way to bind."""

from __future__ import annotations

import ipaddress
import subprocess
import sys

from ironmesh.discovery.interfaces import LocalAddress, choose, survey

LO = [LocalAddress(1, ipaddress.ip_interface(a)) for a in ("127.0.0.1/8", "::1/128")]
ETH = [
    LocalAddress(2, ipaddress.ip_interface(a))
    for a in ("192.168.1.2/24", "192.168.1.3/24", "fd00::2/64", "fe80::2%2/64")
]
BRIDGE = [LocalAddress(3, ipaddress.ip_interface(a)) for a in ("172.17.0.1/16", "fe80::3%3/64")]
ALL = [*LO, *BRIDGE, *ETH]


def test_all_ipv4_addresses_are_announced_the_preferred_one_first() -> None:
    here = choose(ALL, "0.0.0.0", "192.168.1.2")
    assert here.announced == ("192.168.1.2", "172.17.0.1", "192.168.1.3")


def test_each_interface_is_used_once_and_loopback_listened_on_too() -> None:
    assert choose(ALL, "0.0.0.0", None).interfaces == ("172.17.0.1", "192.168.1.2", "127.0.0.1")


def test_loopback_is_announced_where_there_is_nothing_else() -> None:
    here = choose(LO, "0.0.0.0", None)
    assert (here.announced, here.interfaces) == (("127.0.0.1",), ("127.0.0.1",))


def test_binding_to_everything_announces_ipv6_but_not_link_local() -> None:
    here = choose(ALL, "::", "192.168.1.2")
    assert here.announced == ("192.168.1.2", "172.17.0.1", "192.168.1.3", "fd00::2")
    assert here.interfaces == ("172.17.0.1", "192.168.1.2", 2, "127.0.0.1")


def test_link_local_ipv6_is_announced_where_there_is_nothing_else() -> None:
    here = choose([*LO, ETH[3]], "::", None)
    assert here.announced == ("fe80::2",)
    assert here.interfaces == (2, "127.0.0.1")


def test_binding_to_one_address_limits_everything_to_its_interface() -> None:
    assert choose(ALL, "192.168.1.3", None).interfaces == ("192.168.1.3",)
    assert choose(ALL, "192.168.1.3", None).announced == ("192.168.1.3",)
    assert choose(ALL, "127.0.0.1", None).interfaces == ("127.0.0.1",)
    assert choose(ALL, "fd00::2", None).interfaces == (2,)
    assert choose(ALL, "127.0.0.5", None).announced == ("127.0.0.5",)


def test_ipv6_loopback_is_announced_by_ipv4_multicast() -> None:
    here = choose(ALL, "::1", None)
    assert (here.announced, here.interfaces) == (("::1",), ("127.0.0.1",))


def test_an_address_that_is_not_here_is_announced_nowhere() -> None:
    here = choose(ALL, "192.0.2.77", None)
    assert (here.announced, here.interfaces) == ((), ())


def test_no_interface_at_all_is_no_failure() -> None:
    for bind in ("0.0.0.0", "::", "127.0.0.1"):
        assert choose([], bind, None).announced == ()


def test_the_mdns_library_is_not_imported_before_discovery_starts() -> None:
    code = "import sys, ironmesh.discovery.mdns; print('zeroconf' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_this_machine_has_a_loopback() -> None:
    assert survey("127.0.0.1").announced == ("127.0.0.1",)

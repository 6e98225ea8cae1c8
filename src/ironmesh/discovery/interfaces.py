"""Which addresses of this machine to announce, and on which interfaces to listen for others."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

MDNS_GROUP: Final = "224.0.0.251"
MDNS_GROUP_IPV6: Final = "ff02::fb"
MDNS_PORT: Final = 5353
_STATES: Final = Path("/sys/class/net")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface


class LocalAddress(msgspec.Struct, frozen=True):
    """One address of one interface of this machine that is up."""

    interface_index: int
    address: _Interface


class Surroundings(msgspec.Struct, frozen=True):
    """Where discovery works at the moment; a change of it starts discovery anew."""

    announced: tuple[str, ...]
    """Addresses at which this node can be dialled, the best first."""
    interfaces: tuple[str | int, ...]
    """One IPv4 address, or one index for IPv6, of each interface to use."""
    own: tuple[_Interface, ...]
    """All addresses of this machine."""


def choose(found: Sequence[LocalAddress], bind: str, preferred: str | None) -> Surroundings:
    """Decide what to announce and where.

    Args:
        found: the addresses of this machine.
        bind: the listener's address: `0.0.0.0` = every IPv4 one, `::` = every one.
        preferred: the address that traffic to elsewhere leaves from, if there is one.
    """
    own = tuple(local.address for local in found)
    bound = ipaddress.ip_address(bind.partition("%")[0])
    if not bound.is_unspecified:
        mine = [local for local in found if _same_host(local.address.ip, bound)]
        if bound.is_loopback:
            # Multicast on loopback is IPv4's alone; it carries IPv6 addresses as well.
            mine = mine and [local for local in found if local.address.is_loopback]
        return Surroundings((bind,) if mine else (), _one_each(mine[:1]), own)
    usable = [local for local in found if bound.version == 6 or local.address.version == 4]
    outside = [local for local in usable if not local.address.is_loopback]
    # Link-local IPv6 addresses come and go with every container: only where nothing else is.
    routable = [
        local for local in outside if local.address.version == 4 or not local.address.is_link_local
    ]
    announced = routable or outside or usable[:1]
    loopback = [local for local in usable if local.address.is_loopback][:1]
    return Surroundings(_ordered(announced, preferred), _one_each([*announced, *loopback]), own)


def survey(bind: str) -> Surroundings:
    """Look at this machine's interfaces; see `choose`."""
    return choose(list(_local_addresses()), bind, _preferred_address())


def with_multicast(interfaces: Sequence[str | int]) -> list[str | int]:
    """Return those of the interfaces that carry multicast; one that does not spoils no other."""
    return [interface for interface in interfaces if _carries_multicast(interface)]


def _carries_multicast(interface: str | int) -> bool:
    family = socket.AF_INET if isinstance(interface, str) else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            if isinstance(interface, str):
                address = socket.inet_aton(interface)
                group = socket.inet_aton(MDNS_GROUP) + address
                probe.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
                probe.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, address)
            else:
                index = struct.pack("@I", interface)
                group = socket.inet_pton(family, MDNS_GROUP_IPV6) + index
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    except OSError:
        return False
    return True


def _same_host(address: _Address, bound: _Address) -> bool:
    if bound.is_loopback and bound.version == 4:
        return address.is_loopback and address.version == 4
    return ipaddress.ip_address(str(address).partition("%")[0]) == bound


def _ordered(locals_: Iterable[LocalAddress], preferred: str | None) -> tuple[str, ...]:
    def rank(local: LocalAddress) -> tuple[bool, bool]:
        return str(local.address.ip) != preferred, local.address.version != 4

    return tuple(str(local.address.ip) for local in sorted(locals_, key=rank))


def _one_each(locals_: Iterable[LocalAddress]) -> tuple[str | int, ...]:
    chosen: dict[tuple[int, int], str | int] = {}
    for local in locals_:
        is_ipv4 = local.address.version == 4
        chosen.setdefault(
            (local.interface_index, local.address.version),
            str(local.address.ip) if is_ipv4 else local.interface_index,
        )
    return tuple(chosen.values())


def _local_addresses() -> Iterable[LocalAddress]:
    import ifaddr

    for adapter in ifaddr.get_adapters():
        if adapter.index is None or not _is_up(adapter.name):
            continue
        for ip in adapter.ips:
            if isinstance(ip.ip, tuple):
                address, _, scope = ip.ip
                text = f"{address}%{scope}" if scope else address
            else:
                text = ip.ip
            yield LocalAddress(adapter.index, ipaddress.ip_interface(f"{text}/{ip.network_prefix}"))


def _is_up(interface: str) -> bool:
    """Tell whether the interface can carry anything; where that cannot be seen, assume so."""
    try:
        state = (_STATES / interface / "operstate").read_text().strip()
    except OSError:
        return True
    return state in {"up", "unknown"}


def _preferred_address() -> str | None:
    """Ask the routing table; a UDP socket that is connected sends nothing."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((MDNS_GROUP, MDNS_PORT))
        return str(probe.getsockname()[0])
    return None

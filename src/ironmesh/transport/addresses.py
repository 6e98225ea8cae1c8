"""Addresses: names to what sockets take, and back to what people and limits want."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import socket
from typing import Final

from ironmesh.types import Endpoint

SocketAddress = tuple[object, ...]
"""What `bind` and `connect` take."""

_KNOWN_HOSTS: Final = 256
"""Addresses that are not parsed anew: each connection asks several times for the same one."""


async def resolve(endpoint: Endpoint) -> list[tuple[int, SocketAddress]]:
    """Return the TCP addresses of an endpoint, each with its family, in the system's order.

    Raises:
        OSError: there is no such host.
    """
    try:
        # An address needs no resolver, and so no thread; as bytes, no codec for names either.
        found = socket.getaddrinfo(
            endpoint.host.encode(),
            endpoint.port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_NUMERICHOST,
        )
    except OSError:
        found = await asyncio.get_running_loop().getaddrinfo(
            endpoint.host, endpoint.port, type=socket.SOCK_STREAM
        )
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


@functools.lru_cache(maxsize=_KNOWN_HOSTS)
def bare_host(host: str) -> str:
    """Return an address without zone; an IPv4 address mapped into IPv6 becomes plain IPv4 again.

    Anything that is not an address comes back as it is.
    """
    address, _, _ = host.partition("%")
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return host
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)

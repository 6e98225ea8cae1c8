"""Addresses as the rest of the node wants them."""

from __future__ import annotations

import ipaddress


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

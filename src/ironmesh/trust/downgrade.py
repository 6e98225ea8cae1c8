"""How two nodes that both speak the native wire notice that somebody kept them from it."""

from __future__ import annotations

import re
from typing import Final

NATIVE_SINCE: Final = 5
"""The third number of the version that a native node states in a HELLO of the 0.8 wire."""

_STATED: Final = re.compile(r"ironmesh/0\.6\.(\d{1,6})")


def is_talked_down(protocol_version: str) -> bool:
    """Tell whether a peer on the 0.8 wire could speak the native one with us.

    A published node reads `ironmesh/0.6.5` as 0.6; it lies inside the bytes that the peer signed.

    Args:
        protocol_version: as stated in the peer's HELLO.

    Source: docs/protocol.md, "Negotiation".
    """
    stated = _STATED.fullmatch(protocol_version)
    return stated is not None and int(stated[1]) >= NATIVE_SINCE

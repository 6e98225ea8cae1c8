"""Discovery without a network: the test announces what it likes."""

from __future__ import annotations

from collections.abc import Callable

from ironmesh.config import DEFAULT_MESH
from ironmesh.discovery.record import FoundPeer
from ironmesh.types import Endpoint


class Announcements:
    """One node's discovery; implements `Discovery`."""

    def __init__(self) -> None:
        self.found: Callable[[FoundPeer], None] = lambda _: None
        self._lost: Callable[[str], None] = lambda _: None

    def start(
        self,
        name: str,
        port: int,
        bind: str,
        on_found: Callable[[FoundPeer], None],
        on_lost: Callable[[str], None],
        on_notice: Callable[[str], None],
    ) -> None:
        self.found, self._lost = on_found, on_lost

    async def stop(self) -> None:
        self.found = self._lost = lambda _: None

    def announce(self, who: str, *endpoints: Endpoint) -> None:
        """Announce a node under a label that is larger than others: it is dialled at once."""
        self.found(native_peer(who, *endpoints))

    def withdraw(self, who: str) -> None:
        """Announce it no longer."""
        self._lost(native_peer(who).key)


def native_peer(who: str, *endpoints: Endpoint) -> FoundPeer:
    """Return what discovery makes of the native announcement of a node."""
    return FoundPeer("", endpoints, "", f"zzzzzzzz{who}", DEFAULT_MESH)

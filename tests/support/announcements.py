"""Discovery without a network: the test announces what it likes."""

from __future__ import annotations

from collections.abc import Callable

from ironmesh.discovery.record import FoundPeer
from ironmesh.types import Endpoint


class Announcements:
    """One node's discovery; implements `Discovery`."""

    def __init__(self) -> None:
        self.found: Callable[[FoundPeer], None] = lambda _: None
        self.lost: Callable[[str], None] = lambda _: None

    def start(
        self,
        name: str,
        port: int,
        bind: str,
        on_found: Callable[[FoundPeer], None],
        on_lost: Callable[[str], None],
        on_notice: Callable[[str], None],
    ) -> None:
        self.found, self.lost = on_found, on_lost

    async def stop(self) -> None:
        self.found = self.lost = lambda _: None

    def announce(self, name: str, *endpoints: Endpoint) -> None:
        self.found(FoundPeer(name, endpoints, "ironmesh/0.6"))

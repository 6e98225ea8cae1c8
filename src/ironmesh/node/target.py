"""A peer that the node wants a session with, and what is known of how to reach it."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from ironmesh.discovery.record import FoundPeer
from ironmesh.types import Endpoint, NodeId

MAX_ADDRESSES: Final = 16
MAX_ANNOUNCED_ADDRESSES: Final = 8
"""Of one announcement: it cannot push out what others said."""


class Target(msgspec.Struct, eq=False):
    """A peer to keep a session with."""

    label: str
    """What people read of it: its address, or what it announces itself as."""
    endpoints: tuple[Endpoint, ...]
    found: FoundPeer | None = None
    """What discovery told of it; None: the operator gave its address."""
    wait_for_call_s: float = 0.0
    """How long to wait for its call before dialling it; 0 = we dial."""
    node_id: NodeId | None = None
    """Whom it is about: who answered first; None: nobody has, so anybody may."""
    uses_tls: bool = True
    """What worked last."""
    failures: int = 0
    refusal: str = ""
    """Why it does not want us, as people were told last."""
    first: int = 0
    """Which address is tried first: after a refusal the next one, it may be another machine."""
    answered_at: Endpoint | None = None
    """Where the last session was."""
    is_announced: bool = True
    """Discovery sees it; or the operator gave its address."""
    poked: asyncio.Event = msgspec.field(default_factory=asyncio.Event)
    """Something changed: try now."""

    key: str = ""
    """What it is known by among those that were found."""

    @property
    def is_given(self) -> bool:
        """The operator gave its address."""
        return self.found is None

    def learn(self, announced: tuple[Endpoint, ...]) -> bool:
        """Add announced addresses, which are tried first; tell whether that changed anything.

        Anybody can announce this name, so earlier addresses are kept, before all where the peer
        answered last.
        """
        is_news = not self.is_announced or not set(announced) <= set(self.endpoints)
        self.is_announced = True
        if is_news:
            kept = [endpoint for endpoint in self.endpoints if endpoint not in announced]
            kept.sort(key=lambda endpoint: endpoint != self.answered_at)
            self.endpoints = (*announced[:MAX_ANNOUNCED_ADDRESSES], *kept)[:MAX_ADDRESSES]
            self.first = 0
        return is_news

    def answered(self, endpoint: Endpoint) -> None:
        """There is a session with it at this address, which is tried first from now on."""
        self.answered_at = endpoint
        if endpoint in self.endpoints:
            self.first = self.endpoints.index(endpoint)

    def seen_at(self, endpoint: Endpoint) -> None:
        """Its peer proved to be where somebody else was dialled: try there, too, and now."""
        if endpoint not in self.endpoints:
            self.endpoints = (*self.endpoints[: MAX_ADDRESSES - 1], endpoint)
            self.poked.set()

    def in_turn(self) -> tuple[Endpoint, ...]:
        """Return its addresses in the order in which they are tried."""
        start = self.first % len(self.endpoints) if self.endpoints else 0
        return (*self.endpoints[start:], *self.endpoints[:start])

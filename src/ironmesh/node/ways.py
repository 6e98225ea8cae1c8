"""By which way messages reach a destination: its own link, or what leads there over other nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ironmesh.node.linktable import LinkTable
from ironmesh.types import Message, NodeId


class Way(Protocol):
    """Carries messages to one destination, in order; may lose their tail when it ends."""

    @property
    def is_usable(self) -> bool:
        """Messages may be queued on it."""
        ...

    @property
    def can_confirm(self) -> bool:
        """The destination sends receipts (it runs this implementation)."""
        ...

    @property
    def max_payload_bytes(self) -> int:
        """The largest payload that one message may have on it."""
        ...

    @property
    def is_full(self) -> bool:
        """Whoever has more to send that is not kept waits for room."""
        ...

    async def wait_for_room(self) -> None:
        """Return once there is room, or the way is over."""
        ...

    def enqueue(self, messages: Sequence[Message], *, can_wait: bool = False) -> None:
        """Queue messages; whoever writes them reports that to `Outgoing.written`.

        Args:
            can_wait: for a moment, for others to go with.
        """
        ...


FindWay = Callable[[NodeId], Way | None]
"""Returns the way to a destination, the same one as long as it lasts; None = there is none."""


class Ways:
    """Chooses the way to a destination: its own link first, then others in their order."""

    def __init__(self, links: LinkTable) -> None:
        self._links = links
        self._others: list[FindWay] = []

    def add(self, find: FindWay) -> None:
        """Ask `find` where all that came before it know no way."""
        self._others.append(find)

    def get(self, destination: NodeId) -> Way | None:
        """Return the best way to a destination that can be used now."""
        link = self._links.get(destination)
        if link is not None and link.is_usable:
            return link
        for find in self._others:
            way = find(destination)
            if way is not None and way.is_usable:
                return way
        return None

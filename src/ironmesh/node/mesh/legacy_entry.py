"""The published meshes as other parts of a node see them.

That part is made at the start of a node with the 0.8 wire, else soon after the first link: without
that wire it only looks for bridges of ours, and takes messages which they hand over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ironmesh.node.events import MessageReceived
from ironmesh.node.link import Link
from ironmesh.node.mesh.published_route import PublishedRoute
from ironmesh.node.supervisor import TaskSupervisor
from ironmesh.node.ways import Way
from ironmesh.types import Message, NodeId

if TYPE_CHECKING:
    from ironmesh.node.mesh.legacy_side import LegacySide
    from ironmesh.node.mesh.reach import NativeRoutes


SOON_S: Final = 1.0
"""Both ends are up by then and have measured the round trip: making this part disturbs neither."""


class LegacyEntry:
    """Hands everything over to the part that deals with published meshes, once there is one.

    Args:
        make: makes it; it is started here.
    """

    def __init__(self, make: Callable[[], LegacySide], tasks: TaskSupervisor) -> None:
        self._make = make
        self._tasks = tasks
        self._is_due = False
        self._side: LegacySide | None = None
        self._routes: NativeRoutes | None = None
        self._is_started = False

    def made(self) -> LegacySide:
        """Return that part, made if it was not needed before."""
        if self._side is None:
            self._side = self._make()
            if self._routes is not None:
                self._side.use_routes(self._routes)
            if self._is_started:
                self._side.start()
        return self._side

    def use_routes(self, routes: NativeRoutes) -> None:
        """Announce whoever these routes of our own wire lead to."""
        self._routes = routes
        if self._side is not None:
            self._side.use_routes(routes)

    def start(self) -> None:
        """Begin to announce, and to look for bridges."""
        self._is_started = True
        if self._side is not None:
            self._side.start()

    # --- Links -------------------------------------------------------------------------------

    def link_up(self, link: Link) -> None:
        """A session with a peer is up, on whichever wire."""
        if self._side is not None:
            self._side.link_up(link)
        elif not self._is_due:
            self._is_due = True
            self._tasks.spawn(self._make_soon(), name="looking for bridges")

    async def _make_soon(self) -> None:
        await asyncio.sleep(SOON_S)
        self.made()

    def link_down(self, peer: NodeId) -> None:
        """The last session with a peer ended."""
        if self._side is not None:
            self._side.link_down(peer)

    # --- Messages ----------------------------------------------------------------------------

    def wants(self, message: Message) -> bool:
        """Tell whether a message of a published neighbour is for this part."""
        return self.made().wants(message)

    async def take(self, link: Link, message: Message) -> None:
        """Take such a message."""
        await self.made().take(link, message)

    def sort(self, event: MessageReceived, sequence: int) -> MessageReceived | None:
        """Return what handlers get for a message of a bridge; see `Bridge.sort`."""
        return self.made().bridge.sort(event, sequence)

    # --- Ways and names ----------------------------------------------------------------------

    def find(self, destination: NodeId) -> Way | None:
        """Return the way to a node of the 0.8 wire over other nodes."""
        return None if self._side is None else self._side.find(destination)

    def check(self, destination: NodeId) -> None:
        """Accept a destination; see `LegacyWays.check`."""
        if self._side is not None:
            self._side.check(destination)

    def named(self, name: str) -> list[NodeId]:
        """Return the nodes behind bridges that are said to have this name."""
        return [] if self._side is None else self._side.bridge.named(name)

    def routes(self) -> list[PublishedRoute]:
        """Return the nodes of the 0.8 wire that are reached over others, in no order."""
        return [] if self._side is None else self._side.routes()

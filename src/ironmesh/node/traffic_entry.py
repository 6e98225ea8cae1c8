"""The traffic of a node as its listener, discovery and programs see it: made when there is some.

What it needs takes two megabytes of memory, and a node without peers and messages needs none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ironmesh.discovery.record import FoundPeer
from ironmesh.errors import NotRunningError
from ironmesh.transport.interface import Connection
from ironmesh.types import Endpoint, Refusal

if TYPE_CHECKING:
    from ironmesh.node.traffic import Traffic


class TrafficEntry:
    """Hands everything over to the traffic, once there is some.

    Args:
        make: makes it, started.
    """

    def __init__(self, make: Callable[[], Traffic]) -> None:
        self._make = make
        self._is_finished = False
        self.traffic: Traffic | None = None
        """None before the first peer and the first message."""

    def made(self) -> Traffic:
        """Return the traffic, made if it was not needed before; on the node's loop only.

        Raises:
            NotRunningError: the node stops.
        """
        if self.traffic is None:
            if self._is_finished:
                raise NotRunningError("the node has stopped", "start it first")
            self.traffic = self._make()
        return self.traffic

    # --- What the listener asks and tells (Door) ---------------------------------------------

    def admit(self, remote_host: str) -> bool:
        """Tell whether a new connection may stay."""
        if self._is_finished and self.traffic is None:
            return False
        return self.made().gate.admit(remote_host)

    def settle(self, remote_host: str) -> None:
        """A connection is no longer half open."""
        if self.traffic is not None:
            self.traffic.gate.settle(remote_host)

    async def serve(self, connection: Connection) -> None:
        """Serve an incoming connection until it ends."""
        await self.made().sessions.serve(connection)

    def refused(self, reason: Refusal, remote: str) -> None:
        """A connection that was let in never became one."""
        if self.traffic is not None and reason is not Refusal.BUSY:  # the gate books its own
            self.traffic.refused(reason, remote)

    # --- Whom discovery found -----------------------------------------------------------------

    def follow(self, peer: FoundPeer, *, waits_for_call: bool) -> None:
        """Keep a session with a node that discovery found; see `Dialer.follow`."""
        if not self._is_finished:
            self.made().dialer.follow(peer, waits_for_call=waits_for_call)

    def is_following(self, endpoints: Iterable[Endpoint]) -> bool:
        """Tell whether a node that was found is looked for at one of these."""
        return self.traffic is not None and self.traffic.dialer.is_following(endpoints)

    def lost(self, key: str) -> None:
        """Discovery no longer sees a node."""
        if self.traffic is not None:
            self.traffic.dialer.lost(key)

    # --- Its end -----------------------------------------------------------------------------

    async def flush(self) -> None:
        """Write what is remembered of routes."""
        if self.traffic is not None and self.traffic.mesh is not None:
            await self.traffic.mesh.flush()

    def end_handlers(self) -> None:
        """Begin no handler any more."""
        if self.traffic is not None:
            self.traffic.post.mailroom.end_handlers()

    async def hang_up(self, limit_s: float) -> None:
        """Make no traffic any more, and end every session; see `Traffic.hang_up`."""
        self._is_finished = True
        if self.traffic is not None:
            await self.traffic.hang_up(limit_s)

    async def finish(self) -> None:
        """Let what is being committed be committed; links are down by now."""
        if self.traffic is not None:
            await self.traffic.finish()

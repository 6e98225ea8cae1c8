"""The mesh as other parts of a node see it: it is made at the first link with a node of ours.

What it needs takes megabytes of memory, and a node without peers needs none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ironmesh.node.link import Link
from ironmesh.node.ways import Way
from ironmesh.types import Message, NodeId

if TYPE_CHECKING:
    from ironmesh.node.mesh.service import Mesh


class MeshEntry:
    """Hands everything over to the mesh, once there is one.

    Args:
        make: makes it, started.
    """

    def __init__(self, make: Callable[[], Mesh]) -> None:
        self._make = make
        self._callbacks: list[Callable[[NodeId], None]] = []
        self._is_finished = False
        self.mesh: Mesh | None = None
        """None before the first link."""

    # --- Links (LinkWatcher) -----------------------------------------------------------------

    def link_up(self, link: Link) -> None:
        """A link with a peer carries messages from now on."""
        if link.info.is_ours and not self._is_finished:
            self._made().link_up(link)

    def _made(self) -> Mesh:
        if self.mesh is None:
            self.mesh = self._make()
            for callback in self._callbacks:
                self.mesh.on_routes_changed(callback)
        return self.mesh

    def link_down(self, link: Link) -> None:
        """No link with a peer carries messages any more."""
        if self.mesh is not None and link.info.is_ours:
            self.mesh.link_down(link)

    def link_written(self, messages: Sequence[Message]) -> None:
        """A link has written messages."""
        if self.mesh is not None:
            self.mesh.link_written(messages)

    def received(self, link: Link, messages: Sequence[Message]) -> None:
        """A neighbour of ours says something about the mesh."""
        if self.mesh is not None:
            self.mesh.received(link, messages)

    # --- Ways and names ----------------------------------------------------------------------

    def find(self, destination: NodeId) -> Way | None:
        """Return the way to a destination over other nodes."""
        return None if self.mesh is None else self.mesh.find(destination)

    def forget(self, node_id: NodeId) -> None:
        """A node may not be heard any more: nothing goes to it by paths."""
        if self.mesh is not None:
            self.mesh.forget(node_id)

    def confirmed(self, destination: NodeId) -> None:
        """A destination receipted something."""
        if self.mesh is not None:
            self.mesh.confirmed(destination)

    def claimants(self, name: str) -> list[NodeId]:
        """Return the nodes that give themselves this name: those that can be reached, else all."""
        return [] if self.mesh is None else self.mesh.claimants(name)

    def capabilities(self, pattern: str) -> list[tuple[NodeId, str]]:
        """Return node and capability of others that match, of those that can be reached."""
        return [] if self.mesh is None else self.mesh.capabilities(pattern)

    def capabilities_changed(self) -> None:
        """This node can do something more, or less."""
        if self.mesh is not None:
            self.mesh.capabilities_changed()

    # --- Routes ------------------------------------------------------------------------------

    def native_destinations(self) -> Iterable[NodeId]:
        """Return all nodes that can be reached, direct peers too."""
        return () if self.mesh is None else self.mesh.native_destinations()

    def native_hops(self, destination: NodeId) -> int | None:
        """Return how many hops away a destination is; None = no route."""
        return None if self.mesh is None else self.mesh.native_hops(destination)

    def next_native_hop(self, destination: NodeId) -> NodeId | None:
        """Return the neighbour on the best way to a destination; None = no route."""
        return None if self.mesh is None else self.mesh.next_native_hop(destination)

    def on_routes_changed(self, callback: Callable[[NodeId], None]) -> None:
        """Tell `callback` of each destination that is found or lost."""
        self._callbacks.append(callback)
        if self.mesh is not None:
            self.mesh.on_routes_changed(callback)

    def revoke(self, node_id: NodeId, public: bytes | None) -> bool:
        """Tell everybody that an identity has ended; False if nobody would believe us.

        Args:
            public: its Ed25519 key, 32 bytes, if it is known.
        """
        return not self._is_finished and self._made().revoke(node_id, public)

    # --- Its end -----------------------------------------------------------------------------

    async def flush(self) -> None:
        """Write what is remembered of routes."""
        if self.mesh is not None:
            await self.mesh.flush()

    def finish(self) -> None:
        """Remember what is known, and do nothing any more; links are down by now."""
        self._is_finished = True
        if self.mesh is not None:
            self.mesh.finish()

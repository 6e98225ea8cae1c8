"""Tells direct peers what this node can do, and learns from them what they can."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from ironmesh.errors import RemoteProtocolError
from ironmesh.mesh.capabilities import CapabilityRegistry
from ironmesh.node.linktable import LinkTable
from ironmesh.observe.counters import Counters
from ironmesh.types import Message, MessageType, NodeId

if TYPE_CHECKING:
    from ironmesh.node.link import Link

_log = logging.getLogger("ironmesh.node")

MakeMessage = Callable[[NodeId, str, bytes], Message]
"""Makes a message of ours: destination, type, payload."""


class MeshCapabilities(Protocol):
    """What nodes of ours can do that are several hops away."""

    def capabilities(self, pattern: str) -> list[tuple[NodeId, str]]:
        """Return `(node id, capability)` of others, for all that match a shell-style pattern."""
        ...

    def capabilities_changed(self) -> None:
        """This node can do something more, or less."""
        ...


class CapabilityExchange:
    """Keeps the registry of capabilities in step with the direct peers.

    A peer speaks for itself only: an announcement that names another origin is not believed.
    """

    def __init__(
        self,
        own_id: NodeId,
        capabilities: Iterable[str],
        *,
        links: LinkTable,
        counters: Counters,
        make_message: MakeMessage,
    ) -> None:
        self._own_id = own_id
        self._links = links
        self._counters = counters
        self._make_message = make_message
        self._registry = CapabilityRegistry(own_id)
        self._mesh: MeshCapabilities | None = None
        for capability in capabilities:
            self._registry.advertise_local(capability)

    def attach(self, mesh: MeshCapabilities) -> None:
        """Tell `mesh` what changes, and find there what nodes farther away can do."""
        self._mesh = mesh

    def own(self) -> list[str]:
        """Return what this node can do."""
        return self._registry.local_capabilities()

    def advertise(self, capability: str) -> None:
        """Add a capability of this node and tell the peers that are online."""
        if self._registry.advertise_local(capability):
            self._tell_everybody()

    def withdraw(self, capability: str) -> None:
        """Withdraw a capability of this node and tell the peers that are online."""
        if self._registry.remove_local(capability):
            self._tell_everybody()

    def find(self, pattern: str) -> list[tuple[NodeId, str]]:
        """Return `(node id, capability)` for all that match a shell-style pattern."""
        found = self._registry.find(pattern)
        if self._mesh is not None:
            known = set(found)
            found += [one for one in self._mesh.capabilities(pattern) if one not in known]
        return found

    def link_up(self, link: Link) -> None:
        """A peer is online: tell it what this node can do."""
        if self._registry.local_capabilities():
            self._tell(link)

    def link_down(self, peer: NodeId) -> None:
        """A peer is gone, and what it can do with it."""
        self._registry.forget_remote(peer)

    def received(self, link: Link, payload: bytes) -> None:
        """A peer announced capabilities."""
        from ironmesh.wire.legacy.mesh import decode_capability_announce

        try:
            announce = decode_capability_announce(payload)
        except RemoteProtocolError as error:
            self._counters.add(f"refused.{error.reason.value}")
            return
        if announce.origin not in (None, link.peer):
            self._counters.add("ignored.capability_of_another")
            return
        self._registry.learn_remote(link.peer, announce.capabilities)

    def _tell_everybody(self) -> None:
        if self._mesh is not None:
            self._mesh.capabilities_changed()
        for link in self._links.online():
            if link.is_usable:
                self._tell(link)

    def _tell(self, link: Link) -> None:
        from ironmesh.mesh.legacy import behind
        from ironmesh.wire.legacy.mesh import CapabilityAnnounce, encode_capability_announce

        own = self._registry.local_capabilities()
        if not link.info.is_ours:
            own = [capability for capability in own if not capability.startswith(behind.PREFIX)]
            if not own:
                return
        announce = CapabilityAnnounce(self._own_id, tuple(own))
        payload = encode_capability_announce(announce)
        link.enqueue([self._make_message(link.peer, MessageType.CAPABILITY_ANNOUNCE, payload)])

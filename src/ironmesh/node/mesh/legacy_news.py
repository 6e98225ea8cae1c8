"""Tells published neighbours what nodes farther away can do."""

from __future__ import annotations

import asyncio
from typing import Final

from ironmesh.mesh.legacy import behind
from ironmesh.mesh.legacy.news import Capabilities, CapabilityNews
from ironmesh.node.clock import Clock
from ironmesh.node.linktable import LinkTable
from ironmesh.node.mesh.bridge import Tokens
from ironmesh.node.outgoing import MakeLive
from ironmesh.types import MessagePriority, MessageType, NodeId, WireKind
from ironmesh.wire.legacy.mesh import (
    MAX_CAPABILITIES,
    CapabilityAnnounce,
    encode_capability_announce,
)

LOOK_S: Final = 5.0
AT_ONCE: Final = 5
"""Nodes that a neighbour is told of each time: it takes 20 frames a second, and there is more."""


class LegacyNews:
    """Announces the capabilities of others to published neighbours, each under its origin's id."""

    def __init__(
        self,
        own_id: NodeId,
        *,
        links: LinkTable,
        tokens: Tokens,
        make_live: MakeLive,
        clock: Clock,
    ) -> None:
        self._own_id = own_id
        self._links = links
        self._tokens = tokens
        self._make_live = make_live
        self._clock = clock
        self._news = CapabilityNews()

    async def run(self) -> None:
        """Announce what is due, until the node stops."""
        while True:
            await asyncio.sleep(LOOK_S)
            neighbours = [
                link
                for link in self._links.online()
                if link.info.wire is WireKind.LEGACY and link.is_usable
            ]
            if not neighbours:
                continue
            known, now = self._known(), self._clock.now().mono
            for link in neighbours:
                others = {origin: can for origin, can in known.items() if origin != link.peer}
                for origin, capabilities in self._news.take_due(link.peer, others, now, AT_ONCE):
                    link.enqueue([self._make_live(link.peer, *_announcement(origin, capabilities))])

    def link_down(self, neighbour: NodeId) -> None:
        """A neighbour is gone."""
        self._news.link_down(neighbour)

    def _known(self) -> dict[NodeId, Capabilities]:
        by_node: dict[NodeId, set[str]] = {}
        for node_id, capability in self._tokens.find("*"):
            if node_id != self._own_id and not capability.startswith(behind.PREFIX):
                by_node.setdefault(node_id, set()).add(capability)
        return {node_id: frozenset(found) for node_id, found in by_node.items()}


def _announcement(origin: NodeId, capabilities: Capabilities) -> tuple[str, bytes, MessagePriority]:
    announce = CapabilityAnnounce(origin, tuple(sorted(capabilities)[:MAX_CAPABILITIES]))
    return (
        MessageType.CAPABILITY_ANNOUNCE,
        encode_capability_announce(announce),
        MessagePriority.LOW,
    )

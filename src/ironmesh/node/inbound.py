"""What becomes of a message that arrived: for the mesh, for the outbox, or for the application."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Final, Protocol

from ironmesh.errors import RemoteProtocolError, TrustFileError, UnknownPeerError
from ironmesh.node.capabilities import CapabilityExchange
from ironmesh.node.link import Link
from ironmesh.node.linktable import LinkTable
from ironmesh.node.mailroom import Mailroom
from ironmesh.node.mesh.legacy_entry import LegacyEntry
from ironmesh.node.outgoing import Outgoing
from ironmesh.observe.counters import Counters
from ironmesh.trust.store import TrustStore
from ironmesh.types import BRIDGED, MeshType, Message, MessageType, NodeId
from ironmesh.wire.legacy.constants import TUNNEL_TYPE
from ironmesh.wire.receipts import Floor, Receipt, decode, is_live

_FOR_THE_NODE: Final = frozenset(
    {
        MessageType.ACK,
        MessageType.CAPABILITY_ANNOUNCE,
        MessageType.ROUTE_ANNOUNCE,
        MessageType.ROUTE_UNREACHABLE,
        MessageType.REVOCATION,
        BRIDGED,
        TUNNEL_TYPE,
    }
)
"""The node consumes these; they never reach a handler, but for an ACK of a published node."""


_MESH_TYPES: Final = frozenset({*MeshType, MessageType.REVOCATION})
"""Of neighbours of ours."""
_SPECIAL: Final = _FOR_THE_NODE | _MESH_TYPES


class MeshReader(Protocol):
    """Takes what neighbours say about the mesh."""

    def received(self, link: Link, messages: Sequence[Message]) -> None:
        """Take messages of a neighbour, in order."""
        ...

    def confirmed(self, destination: NodeId) -> None:
        """A destination that is reached over other nodes receipted something."""
        ...


class Inbound:
    """Sorts what a link's channel has checked."""

    def __init__(
        self,
        *,
        legacy: LegacyEntry,
        capabilities: CapabilityExchange,
        outgoing: Outgoing,
        mailroom: Mailroom,
        counters: Counters,
    ) -> None:
        self._legacy = legacy
        self._capabilities = capabilities
        self._outgoing = outgoing
        self._mailroom = mailroom
        self._counters = counters
        self._mesh: MeshReader | None = None

    def attach(self, mesh: MeshReader) -> None:
        """Give what neighbours say about the mesh to `mesh` from now on."""
        self._mesh = mesh

    def deliver(self, link: Link, messages: list[Message]) -> Awaitable[None] | None:
        """Take messages of a link.

        What is returned, if anything, is to be awaited before it gives more: the application or
        the disk lags behind.
        """
        if not link.info.is_ours:
            return self._take_foreign(link, messages)
        peer = link.peer
        live: list[Message] = []
        kept: list[Message] = []
        mesh: list[Message] = []
        receipts: list[Receipt] = []
        for message in messages:
            kind = message.type
            if kind not in _SPECIAL:
                (live if is_live(message.id) else kept).append(message)
            elif kind in _MESH_TYPES:
                mesh.append(message)
            elif kind == MessageType.ACK:
                receipts += self._answers(peer, message.payload)
            elif not self._is_for_the_node(link, message):
                (live if is_live(message.id) else kept).append(message)
        if mesh:
            self._mesh_says(link, mesh)
        return self._hand_over(peer, kept, live, receipts)

    def _hand_over(
        self,
        via: NodeId,
        kept: list[Message],
        live: list[Message],
        receipts: list[Receipt],
    ) -> Awaitable[None] | None:
        if kept:
            self._mailroom.take(via, kept, is_foreign=False)
        if receipts:
            # The messages go to the disk first: somebody may wait for the answer.
            asyncio.get_running_loop().call_soon(self._settle, via, receipts)
        return self._mailroom.take_live(via, live) if live else None

    async def _take_foreign(self, link: Link, messages: list[Message]) -> None:
        """Take messages of a published node; it learns of no receipt, so it is held up."""
        own: list[Message] = []
        relayed: list[Message] = []
        for message in messages:
            if not link.is_listening:
                return
            if self._legacy.wants(message):
                await self._legacy.take(link, message)
            elif message.type not in _FOR_THE_NODE or not self._is_for_the_node(link, message):
                (own if message.source == link.peer else relayed).append(message)
        # Nothing is known of the node that made the ids of what was relayed.
        for part in (own, relayed):
            if part and (lag := self._mailroom.take(link.peer, part, is_foreign=True)) is not None:
                await lag

    async def routed(self, source: NodeId, via: NodeId, messages: Sequence[Message]) -> None:
        """Take messages that came over other nodes, sealed by a source of ours that is trusted.

        Args:
            via: the peer that handed them over.
        """
        live: list[Message] = []
        kept: list[Message] = []
        receipts: list[Receipt] = []
        for message in messages:
            if message.type == MessageType.ACK:
                receipts += self._answers(source, message.payload)
            else:
                (live if is_live(message.id) else kept).append(message)
        if receipts and self._mesh is not None:
            self._mesh.confirmed(source)
        self._settle(source, receipts)
        if (lag := self._hand_over(via, kept, live, [])) is not None:
            await lag

    def _mesh_says(self, link: Link, messages: list[Message]) -> None:
        if self._mesh is not None:
            self._mesh.received(link, messages)
        else:
            self._counters.add("ignored.mesh", len(messages))

    def _is_for_the_node(self, link: Link, message: Message) -> bool:
        """Take a message that no handler gets; False if it is one for them after all."""
        if message.type == MessageType.CAPABILITY_ANNOUNCE:
            self._capabilities.received(link, message.payload)
        elif message.type == BRIDGED and link.info.is_ours:
            return False
        elif message.type != MessageType.ACK:
            self._counters.add(f"ignored.{message.type.lower()}")
        else:
            return False
        return True

    def _answers(self, peer: NodeId, payload: bytes) -> list[Receipt]:
        """Take the floors of a payload, which concern what follows, and return its receipts."""
        try:
            items = decode(payload)
        except RemoteProtocolError as error:
            self._counters.add(f"refused.{error.reason.value}")
            return []
        receipts: list[Receipt] = []
        for item in items:
            if isinstance(item, Floor):
                self._mailroom.floor(peer, item)
            else:
                receipts.append(item)
        return receipts

    def _settle(self, peer: NodeId, receipts: Sequence[Receipt]) -> None:
        for receipt in receipts:
            self._outgoing.receipt(peer, receipt)


class Names:
    """The names of sources, as people know them."""

    def __init__(self, links: LinkTable, trust: TrustStore) -> None:
        self._links = links
        self._trust = trust

    def of(self, source: NodeId, via: NodeId) -> str:
        """Return the last known name of a message's source; empty if unknown.

        Args:
            via: the peer that handed the message over.
        """
        link = self._links.get(via)
        if link is not None and source == via:
            return link.info.peer_name
        try:
            return self._trust.get(source).name
        except (UnknownPeerError, TrustFileError):
            return ""

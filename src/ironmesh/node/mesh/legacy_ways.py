"""Messages of ours for nodes of the 0.8 wire that are several published relays away.

They are sealed to the destination's key, and the payload beside the sealed copy is empty, so no
relay reads them. Where the key is not known nothing goes, unless the operator allows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ironmesh.crypto import sodium
from ironmesh.crypto.identity import Identity
from ironmesh.errors import DeliveryError
from ironmesh.node.link import Link
from ironmesh.node.linktable import LinkTable
from ironmesh.node.mesh.legacy import LegacyMesh
from ironmesh.node.mesh.legacy_keys import LegacyKeys
from ironmesh.node.mesh.reach import NativeReach
from ironmesh.session.legacy.sealing import MAX_PAYLOAD_BYTES
from ironmesh.session.legacy.sources import originate
from ironmesh.types import BRIDGED, Message, NodeId
from ironmesh.wire.legacy import bridged
from ironmesh.wire.legacy.transit import Transit

HOP_BYTES: Final = 40
"""What each relay adds to a frame."""


class LegacyWay:
    """The way to one node over one published neighbour.

    Args:
        link: leads to the neighbour.
        seal_to: the key of the destination; None = every relay reads the message.
    """

    can_confirm = False

    def __init__(
        self, identity: Identity, link: Link, seal_to: bytes | None, max_hops: int
    ) -> None:
        self._identity = identity
        self.link = link
        self.seal_to = seal_to
        self._max_hops = max_hops
        growth = sodium.SEAL_OVERHEAD_BYTES + 3 + max_hops * HOP_BYTES
        self.max_payload_bytes = MAX_PAYLOAD_BYTES - growth

    @property
    def is_usable(self) -> bool:
        """Messages may be queued on it."""
        return self.link.is_usable

    @property
    def is_full(self) -> bool:
        """Whoever has more to send waits for room."""
        return self.link.is_full

    async def wait_for_room(self) -> None:
        """Return once there is room, or the link is over."""
        await self.link.wait_for_room()

    def enqueue(self, messages: Sequence[Message], *, can_wait: bool = False) -> None:
        """Queue messages."""
        transits = [self._transit(message) for message in messages]
        self.link.enqueue(transits, can_wait=can_wait)

    def _transit(self, message: Message) -> Transit:
        if message.type == BRIDGED:
            said = bridged.decode(message.payload).said
        else:
            said = originate(self._identity, message, seal_to=self.seal_to, max_hops=self._max_hops)
        return Transit(
            id=message.id,
            type=said.type,
            payload=said.payload,
            source=message.source,
            destination=message.destination,
            priority=message.priority,
            said=said,
        )


class LegacyWays:
    """Knows the ways over published neighbours.

    Args:
        allows_plain: relays may read what cannot be sealed.
    """

    def __init__(
        self,
        identity: Identity,
        mesh: LegacyMesh,
        *,
        links: LinkTable,
        reach: NativeReach,
        keys: LegacyKeys,
        allows_plain: bool,
        max_hops: int,
    ) -> None:
        self._identity = identity
        self._mesh = mesh
        self._links = links
        self._reach = reach
        self._keys = keys
        self._allows_plain = allows_plain
        self._max_hops = max_hops
        self._ways: dict[NodeId, LegacyWay] = {}

    def find(self, destination: NodeId) -> LegacyWay | None:
        """Return the way to a node, the same one as long as nothing changes."""
        link = self._first_link(destination)
        seal_to = self._keys.public(destination)
        if link is None or not self._may_go(destination, seal_to):
            self._ways.pop(destination, None)
            return None
        way = self._ways.get(destination)
        if way is None or way.link is not link or way.seal_to != seal_to:
            way = LegacyWay(self._identity, link, seal_to, self._max_hops)
            self._ways[destination] = way
        return way

    def check(self, destination: NodeId) -> None:
        """Accept a destination, unless the only way there lets others read the message.

        Raises:
            DeliveryError: it does.
        """
        direct = self._links.get(destination)
        if (direct is not None and direct.is_usable) or self._reach.is_reached(destination):
            return
        is_near = self._first_link(destination) is not None
        if is_near and not self._may_go(destination, self._keys.public(destination)):
            if self._keys.is_native(destination) or self._keys.is_barred(destination):
                return
            raise DeliveryError(
                f"the only way to {destination} is over relays of the 0.8 wire, and its key is"
                " not known: they would read the message",
                "connect to it once, pin its key (ironmesh trust pin), or allow relays to read it:"
                " --allow-plain-relay",
            )

    def _may_go(self, destination: NodeId, seal_to: bytes | None) -> bool:
        if self._keys.is_native(destination) or self._keys.is_barred(destination):
            return False
        return seal_to is not None or self._allows_plain

    def _first_link(self, destination: NodeId) -> Link | None:
        if self._reach.is_reached(destination):
            return None
        hop = self._mesh.next_hop(destination)
        link = self._links.get(hop) if hop is not None else None
        return link if link is not None and link.is_usable else None

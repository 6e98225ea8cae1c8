"""From `send` to the outbox: who is meant, does it fit, is it kept."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from typing import Protocol

from ironmesh.delivery.actions import Draft
from ironmesh.delivery.records import DEFAULT_LIFETIME_S
from ironmesh.errors import MessageTooLargeError, NoPathError, UnknownPeerError
from ironmesh.mesh.names import meant
from ironmesh.node.clock import Clock
from ironmesh.node.linktable import LinkTable
from ironmesh.node.outgoing import Outgoing
from ironmesh.node.ways import Way, Ways
from ironmesh.observe.counters import Counters
from ironmesh.trust.store import TrustStore
from ironmesh.types import Message, MessageId, MessagePriority, NodeId, Random, is_node_id
from ironmesh.wire.receipts import LIVE_NUMBER_BYTES, live_id


class LiveMessages:
    """Makes messages that are sent once, over a link that is up, and not kept.

    Their numbers count up from a random one: nobody remembers them, so no run needs to know those
    of another, and no two of a run are equal.
    """

    def __init__(self, own_id: NodeId, clock: Clock, random: Random) -> None:
        self._own_id = own_id
        self._clock = clock
        self._numbers = itertools.count(int.from_bytes(random(LIVE_NUMBER_BYTES)) >> 1)

    def make(
        self,
        destination: NodeId,
        msg_type: str,
        payload: bytes,
        priority: MessagePriority = MessagePriority.NORMAL,
    ) -> Message:
        """Return a message of this node."""
        return Message(
            id=live_id(next(self._numbers)),
            type=msg_type,
            payload=payload,
            source=self._own_id,
            destination=destination,
            priority=priority,
            timestamp_ms=int(self._clock.now().wall * 1000),
        )


class MeshNames(Protocol):
    """What the mesh knows of nodes that this one never met."""

    def claimants(self, name: str) -> list[NodeId]:
        """Return the nodes that give themselves this name: those that can be reached, else all."""
        ...


class Outbound:
    """Accepts messages of the application.

    Args:
        max_payload_bytes: the most that any wire carries; what then does not fit the one that the
            destination speaks ends as refused.
        check_type: raises DeliveryError for a message type that applications cannot send.
        check_way: raises it for a destination to which messages would travel unprotected.
        behind_bridges: returns the nodes of the 0.8 wire that bridges know by a name.
    """

    def __init__(
        self,
        own_id: NodeId,
        *,
        links: LinkTable,
        ways: Ways,
        trust: TrustStore,
        outgoing: Outgoing,
        live: LiveMessages,
        counters: Counters,
        max_payload_bytes: int,
        check_type: Callable[[str], None],
        check_way: Callable[[NodeId], None],
        behind_bridges: Callable[[str], list[NodeId]],
    ) -> None:
        self._own_id = own_id
        self._links = links
        self._ways = ways
        self._mesh: MeshNames | None = None
        self._trust = trust
        self._outgoing = outgoing
        self._live = live
        self._counters = counters
        self._max_payload_bytes = max_payload_bytes
        self._check_type = check_type
        self._check_way = check_way
        self._behind_bridges = behind_bridges

    def attach(self, mesh: MeshNames) -> None:
        """Find in `mesh` those whom this node never met."""
        self._mesh = mesh

    async def send(
        self,
        target: str,
        payload: bytes,
        msg_type: str,
        priority: MessagePriority,
        lifetime_s: float = DEFAULT_LIFETIME_S,
    ) -> tuple[NodeId, MessageId]:
        """Accept one message: when this returns, it is on disk.

        Returns:
            For whom it is, and its id.

        Raises:
            UnknownPeerError: nobody of this name is known.
            DeliveryError: a type that applications cannot send, a lifetime out of range, or a
                destination to which the message would travel unprotected.
            MessageTooLargeError: the payload does not fit the wire.
            QueueFullError: too much waits for this peer already.
            StoreError: it could not be brought to disk. In every case nothing was accepted.
        """
        destination = self._checked(target, payload, msg_type)
        draft = Draft(destination, msg_type, payload, priority, lifetime_s)
        (message_id,) = await self._outgoing.accept((draft,))
        return destination, message_id

    def accept(
        self,
        target: str,
        payload: bytes,
        msg_type: str,
        priority: MessagePriority,
        lifetime_s: float,
    ) -> Awaitable[tuple[MessageId, ...]]:
        """Do what `send` does; the awaitable gives the id, in a tuple of one."""
        destination = self._checked(target, payload, msg_type)
        return self._outgoing.accept((Draft(destination, msg_type, payload, priority, lifetime_s),))

    async def send_live(
        self, target: str, payload: bytes, msg_type: str, priority: MessagePriority
    ) -> tuple[NodeId, MessageId]:
        """Send one message over a link that is up, without keeping it; nobody confirms it.

        Raises:
            NoPathError: neither a session with this peer is up, nor does a route lead there.
            UnknownPeerError, DeliveryError, MessageTooLargeError: as `send`.
        """
        destination = self._checked(target, payload, msg_type)
        way = self._way(destination)
        while way.is_full:
            await way.wait_for_room()
            way = self._way(destination)
        message = self._live.make(destination, msg_type, payload, priority)
        way.enqueue([message])
        self._counters.add("messages.sent_live")
        return destination, message.id

    def resolve(self, target: str) -> NodeId:
        """Return the node id that a name or id means.

        Raises:
            AmbiguousNameError: nobody is pinned by the name, and several nodes claim it.
            UnknownPeerError: with the names that are online.
        """
        if target == self._own_id:
            raise UnknownPeerError("that is this node itself", "choose another peer")
        if is_node_id(target):
            return NodeId(target)
        link = self._links.by_name(target)
        if link is not None:
            return link.peer
        try:
            return self._trust.get(target).node_id
        except UnknownPeerError as error:
            claimant = self._claimant(target)
            if claimant is not None:
                return claimant
            names = sorted(link.info.peer_name for link in self._links.online())
            online = f"online now: {', '.join(names)}" if names else "nobody is online now"
            raise UnknownPeerError(f"no peer is called {target!r}", online) from error

    def _claimant(self, name: str) -> NodeId | None:
        """Return the only node in the mesh that gives itself this name, if there is one.

        Raises:
            AmbiguousNameError: there are several.
        """
        claimants = self._mesh.claimants(name) if self._mesh is not None else []
        claimants = [*claimants, *self._behind_bridges(name)]
        return meant(name, None, claimants).node_id if claimants else None

    def _checked(self, target: str, payload: bytes, msg_type: str) -> NodeId:
        destination = NodeId(target)
        link = self._links.get(destination)  # an id that is online needs no second look
        if link is None:
            destination = self.resolve(target)
            link = self._links.get(destination)
        self._check_type(msg_type)
        if link is None:
            self._check_way(destination)
        limit = link.info.max_payload_bytes if link is not None else self._max_payload_bytes
        if len(payload) > limit:
            raise MessageTooLargeError(
                f"the payload has {len(payload)} bytes, the wire carries {limit}",
                "send it in smaller parts",
            )
        return destination

    def _way(self, destination: NodeId) -> Way:
        way = self._ways.get(destination)
        if way is None:
            raise NoPathError(
                "no session with this peer is up, and no route leads there",
                "let the message be kept (no --live, durable=True), or wait for the peer",
            )
        return way

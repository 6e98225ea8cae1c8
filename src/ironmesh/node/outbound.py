"""From `send` to a link: who is meant, does it fit, and where does it wait."""

from __future__ import annotations

from collections.abc import Callable

from ironmesh.delivery.waiting import WaitingRoom
from ironmesh.errors import MessageTooLargeError, UnknownPeerError
from ironmesh.node.clock import Clock
from ironmesh.node.link import Link
from ironmesh.node.linktable import LinkTable
from ironmesh.observe.counters import Counters
from ironmesh.trust.store import TrustStore
from ironmesh.types import (
    Message,
    MessageId,
    MessagePriority,
    MessageType,
    NodeId,
    Random,
    is_node_id,
)


class Outbound:
    """Accepts messages and gives them to the link of their destination.

    Args:
        max_payload_bytes: what fits the wire while the destination's link is not known.
        check_type: raises DeliveryError for a message type that applications cannot send.
    """

    def __init__(
        self,
        own_id: NodeId,
        *,
        links: LinkTable,
        trust: TrustStore,
        waiting: WaitingRoom,
        counters: Counters,
        clock: Clock,
        random: Random,
        max_payload_bytes: int,
        check_type: Callable[[str], None],
    ) -> None:
        self._own_id = own_id
        self._links = links
        self._trust = trust
        self._waiting = waiting
        self._counters = counters
        self._clock = clock
        self._random = random
        self._max_payload_bytes = max_payload_bytes
        self._check_type = check_type
        self._epochs: dict[NodeId, tuple[bytes, int]] = {}

    async def send(
        self, target: str, payload: bytes, msg_type: str, priority: MessagePriority
    ) -> Message:
        """Accept one message.

        Returns:
            The message with its id: on its way, or waiting until the peer is online.

        Raises:
            UnknownPeerError: nobody of this name is known.
            DeliveryError: a message type that applications cannot send; nothing was queued.
            MessageTooLargeError: the payload does not fit the wire; nothing was queued.
            QueueFullError: too much waits for this peer already; nothing was queued.
        """
        destination = self.resolve(target)
        self._check_type(msg_type)
        link = self._links.get(destination)
        self._check_size(payload, link)
        while link is not None and link.is_usable and link.is_full:
            await link.wait_for_room()
            link = self._links.get(destination)
        message = self.make_message(destination, msg_type, payload, priority)
        if link is not None and link.is_usable:
            link.enqueue([message])
        else:
            self._waiting.put([message])
        self._counters.add("messages.accepted")
        return message

    def make_message(
        self,
        destination: NodeId,
        msg_type: str,
        payload: bytes,
        priority: MessagePriority = MessagePriority.NORMAL,
    ) -> Message:
        """Return a message of this node with the next id for its destination."""
        return Message(
            id=self._next_id(destination),
            type=msg_type,
            payload=payload,
            source=self._own_id,
            destination=destination,
            priority=priority,
            timestamp_ms=int(self._clock.now().wall * 1000),
        )

    def resolve(self, target: str) -> NodeId:
        """Return the node id that a name or id means.

        Raises:
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
            names = sorted(link.info.peer_name for link in self._links.online())
            online = f"online now: {', '.join(names)}" if names else "nobody is online now"
            raise UnknownPeerError(f"no peer is called {target!r}", online) from error

    def link_up(self, link: Link) -> None:
        """A peer is online: what waits for it goes."""
        link.enqueue(self._waiting.take(link.peer))

    def link_down(self, link: Link) -> None:
        """A link ended: what it had not written waits, or goes over the link that replaced it."""
        # What this node can do is told anew on each link.
        unsent = [m for m in link.take_unsent() if m.type != MessageType.CAPABILITY_ANNOUNCE]
        if not unsent:
            return
        other = self._links.get(link.peer)
        if other is not None and other.is_usable:
            other.enqueue(unsent)
        else:
            self._waiting.put_back(unsent)

    def waiting_count(self, peer: NodeId) -> int:
        """Return how many messages wait for a peer."""
        return self._waiting.count(peer)

    def _check_size(self, payload: bytes, link: Link | None) -> None:
        limit = link.info.max_payload_bytes if link is not None else self._max_payload_bytes
        if len(payload) > limit:
            raise MessageTooLargeError(
                f"the payload has {len(payload)} bytes, the wire carries {limit}",
                "send it in smaller parts",
            )

    def _next_id(self, destination: NodeId) -> MessageId:
        epoch, number = self._epochs.get(destination) or (self._random(8), 0)
        self._epochs[destination] = (epoch, number + 1)
        return MessageId(epoch + (number + 1).to_bytes(8, "big"))

"""What happens in a node, as typed events, and the bus that carries them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from ironmesh.types import Message, MessageId, NodeId, Refusal

if TYPE_CHECKING:
    from ironmesh.node.link import Link


class NodeListening(msgspec.Struct, frozen=True):
    """The node accepts connections."""

    endpoints: tuple[str, ...]
    is_tls: bool


class PeerDiscovered(msgspec.Struct, frozen=True):
    """Discovery found a node that may be dialled."""

    name: str
    address: str


class PeerOnline(msgspec.Struct, frozen=True):
    """A session with this peer is up."""

    node_id: NodeId
    name: str
    address: str
    transport: str
    is_outgoing: bool
    is_new: bool
    """First contact: its key was pinned just now."""


class PeerOffline(msgspec.Struct, frozen=True):
    """The last session with this peer ended."""

    node_id: NodeId
    name: str
    reason: str
    link: Link
    """The link that ended, for its figures."""


class PeerRefused(msgspec.Struct, frozen=True):
    """A connection or a handshake was turned away, by us or by the other side."""

    reason: Refusal
    remote: str
    is_outgoing: bool
    name: str
    """As claimed; empty where nobody claimed one."""
    node_id: NodeId | None
    detail: str


class MessageReceived(msgspec.Struct, frozen=True, gc=False):
    """A message for this node's application."""

    message: Message
    source_name: str
    """Last known name of the source; empty if unknown."""
    via: NodeId
    """The direct peer that handed it over: the source itself, unless it was relayed."""
    is_redelivered: bool = False
    is_legacy: bool = False
    """It was written for the 0.8 wire."""


class MessagesReceived(msgspec.Struct, frozen=True):
    """Messages for this node's application, on their way to its handlers."""

    messages: Sequence[MessageReceived]


class MessageSettled(msgspec.Struct, frozen=True):
    """Messages of ours reached a new state; but for `held` it is their last one."""

    ids: tuple[MessageId, ...]
    peer: NodeId
    state: str
    """A value of `OutboxState`."""
    reason: str


class RouteFound(msgspec.Struct, frozen=True):
    """A node can be reached, directly or over others."""

    node_id: NodeId
    name: str
    """As it calls itself."""
    hops: int


class RouteLost(msgspec.Struct, frozen=True):
    """A node can be reached no longer, neither directly nor over others."""

    node_id: NodeId
    name: str


class MeshPartitioned(msgspec.Struct, frozen=True):
    """Over half of the nodes that could be reached cannot be any more."""

    lost: int
    remaining: int


class Notice(msgspec.Struct, frozen=True):
    """Something that a person should read; `is_warning` where it weakens or endangers the node."""

    text: str
    is_warning: bool = False


NodeEvent = (
    NodeListening
    | PeerDiscovered
    | PeerOnline
    | PeerOffline
    | PeerRefused
    | MessagesReceived
    | MessageSettled
    | RouteFound
    | RouteLost
    | MeshPartitioned
    | Notice
)
Subscriber = Callable[[NodeEvent], None]
Guard = Callable[[Callable[[], None], str], None]
"""Calls something that must not fail here; takes its name for the log."""


class EventBus:
    """Hands each event to every subscriber, in order, on the node's loop.

    Subscribers return at once: whoever has work to do puts the event into a queue of its own.

    Args:
        guard: calls a subscriber, and keeps what it raises away from the node.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._subscribers: list[Subscriber] = []

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber` for each event from now on; returns what ends it."""
        self._subscribers.append(subscriber)

        def unsubscribe() -> None:
            if subscriber in self._subscribers:
                self._subscribers.remove(subscriber)

        return unsubscribe

    def publish(self, event: NodeEvent) -> None:
        """Hand `event` to every subscriber."""
        for subscriber in tuple(self._subscribers):
            self._guard(partial(subscriber, event), "a subscriber to events")

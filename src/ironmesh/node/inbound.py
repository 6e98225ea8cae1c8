"""What becomes of a message that arrived for this node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from ironmesh.delivery.recent import RecentIds
from ironmesh.errors import TrustFileError, UnknownPeerError
from ironmesh.node.capabilities import CapabilityExchange
from ironmesh.node.events import EventBus, MessageReceived
from ironmesh.node.link import Link
from ironmesh.node.supervisor import TaskSupervisor
from ironmesh.observe.counters import Counters
from ironmesh.trust.store import TrustStore
from ironmesh.types import Message, MessageType

MessageHandler = Callable[[MessageReceived], Awaitable[None]]
"""Takes one message; while it waits, the peer that sent it is held up."""

_NOT_FOR_APPLICATIONS: Final = frozenset(
    {
        MessageType.ROUTE_ANNOUNCE,
        MessageType.ROUTE_UNREACHABLE,
        MessageType.REVOCATION,
    }
)
"""The mesh consumes these; they never reach a handler."""


class Inbound:
    """Hands arrived messages to the application, one after the other."""

    def __init__(
        self,
        trust: TrustStore,
        events: EventBus,
        counters: Counters,
        capabilities: CapabilityExchange,
        tasks: TaskSupervisor,
    ) -> None:
        self._trust = trust
        self._capabilities = capabilities
        self._events = events
        self._counters = counters
        self._tasks = tasks
        self._recent = RecentIds()
        self._handlers: list[MessageHandler] = []

    def add_handler(self, handler: MessageHandler) -> Callable[[], None]:
        """Give each message to `handler` from now on; returns what ends it."""
        self._handlers.append(handler)

        def remove() -> None:
            if handler in self._handlers:
                self._handlers.remove(handler)

        return remove

    async def deliver(self, link: Link, messages: list[Message]) -> None:
        """Take messages that a link's channel has checked."""
        for message in messages:
            if not link.is_listening:
                return
            if message.type == MessageType.CAPABILITY_ANNOUNCE:
                self._capabilities.received(link, message.payload)
                continue
            if message.type in _NOT_FOR_APPLICATIONS:
                self._counters.add(f"ignored.{message.type.lower()}")
                continue
            if self._recent.add(message.source, message.id):
                # A sender whose link broke cannot know what arrived, and sends it again.
                self._counters.add("messages.duplicate")
                continue
            self._counters.add("messages.received")
            event = MessageReceived(message, self._source_name(link, message), link.peer)
            self._events.publish(event)
            for handler in tuple(self._handlers):
                await self._tasks.guard(
                    handler(event), "a message handler", counter="handler_errors"
                )

    def _source_name(self, link: Link, message: Message) -> str:
        if message.source == link.peer:
            return link.info.peer_name
        try:
            return self._trust.get(message.source).name
        except (UnknownPeerError, TrustFileError):
            return ""

"""Drives the inbox: brings to disk what arrived, receipts it, and gives it to handlers in order."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from ironmesh.delivery.actions import Batch, SendReceipt
from ironmesh.delivery.inbox import Inbox
from ironmesh.delivery.records import DeliveryStore, InboxRow, Snapshot
from ironmesh.errors import StoreError
from ironmesh.node.clock import Clock
from ironmesh.node.events import EventBus, MessageReceived
from ironmesh.node.supervisor import TaskSupervisor
from ironmesh.observe.counters import Counters
from ironmesh.types import Message, NodeId
from ironmesh.wire.receipts import Floor, Item

_log = logging.getLogger("ironmesh.node")

RETRY_S: Final = 1.0
"""Pause before a store that did not take something is asked again."""
MAX_LIVE: Final = 1024
"""Messages that are not kept and wait for handlers; then their senders are held up."""

MessageHandler = Callable[[MessageReceived], Awaitable[None]]
"""Takes one message; the next one comes when it is done."""

Tell = Callable[[NodeId, Sequence[Item]], None]
NameOf = Callable[[Message, NodeId], str]


class Mailroom:
    """The inbox of a node, its store and the application's handlers, working together.

    Args:
        tell: sends receipts to a peer.
        name_of: the name of a message's source, as people know it.
    """

    def __init__(
        self,
        inbox: Inbox,
        store: DeliveryStore,
        *,
        tell: Tell,
        name_of: NameOf,
        tasks: TaskSupervisor,
        clock: Clock,
        counters: Counters,
        events: EventBus,
    ) -> None:
        self._inbox = inbox
        self._store = store
        self._tell = tell
        self._name_of = name_of
        self._tasks = tasks
        self._clock = clock
        self._counters = counters
        self._events = events
        self._handlers: list[MessageHandler] = []
        self._ready: deque[tuple[MessageReceived, int | None]] = deque()
        """What handlers get next; with its number in the inbox, if it is kept."""
        self._has_work = asyncio.Event()
        self._has_room = asyncio.Event()
        self._committing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    # --- Life --------------------------------------------------------------------------------

    def start(self, snapshot: Snapshot) -> None:
        """Go on where the last run ended: what no handler has finished comes first."""
        self._queue(self._inbox.restore(snapshot, self._clock.now()))
        self._tasks.spawn(self._dispatch(), name="handlers")

    async def close(self) -> None:
        """Let what is being committed be committed."""
        if self._timer is not None:
            self._timer.cancel()
        if self._committing is not None:
            await asyncio.gather(self._committing, return_exceptions=True)

    def add_handler(self, handler: MessageHandler) -> Callable[[], None]:
        """Give each message to `handler` from now on; returns what ends it."""
        self._handlers.append(handler)

        def remove() -> None:
            if handler in self._handlers:
                self._handlers.remove(handler)

        return remove

    # --- What arrives ------------------------------------------------------------------------

    async def take(self, via: NodeId, messages: Sequence[Message], *, is_foreign: bool) -> None:
        """Take messages that are to be kept; waits while the disk or the handlers lag behind."""
        now = self._clock.now()
        arrival = self._inbox.arrived(via, messages, is_foreign, now)
        self._counters.add("messages.received", arrival.new)
        if arrival.duplicates:
            self._counters.add("messages.duplicate", arrival.duplicates)
        if arrival.refused:
            self._counters.add("messages.turned_down", arrival.refused)
        self._send(arrival.receipts)
        self._commit_next()
        while not self._inbox.is_ready(self._clock.now()):
            self._has_room.clear()
            await self._has_room.wait()

    async def take_live(self, via: NodeId, message: Message) -> None:
        """Take a message that is not kept."""
        self._counters.add("messages.received_live")
        while len(self._ready) >= MAX_LIVE:
            self._has_room.clear()
            await self._has_room.wait()
        self._ready.append((self._event(message, via), None))
        self._has_work.set()

    def floor(self, source: NodeId, floor: Floor) -> None:
        """A source says which of its ids are settled."""
        self._inbox.floor(source, floor, self._clock.now())
        self._commit_next()

    # --- Committing --------------------------------------------------------------------------

    def _commit_next(self) -> None:
        if self._committing is None:
            batch = self._inbox.next_batch(self._clock.now())
            if batch is not None:
                self._committing = self._tasks.spawn(self._commit(batch), name="inbox commit")
        self._arm()

    async def _commit(self, batch: Batch) -> None:
        """Commit this batch, and those that gather meanwhile."""
        following: Batch | None = batch
        try:
            while following is not None:
                await self._commit_one(following)
                following = self._inbox.next_batch(self._clock.now())
        finally:
            self._committing = None
            self._arm()

    async def _commit_one(self, batch: Batch) -> None:
        try:
            await self._store.commit(batch.ops)
        except StoreError as error:
            self._counters.add("store_errors")
            _log.warning("the inbox was not written, receiving pauses: %s", error)
            self._inbox.commit_failed(batch, self._clock.now())
            return
        ready = self._inbox.committed(batch)
        self._send(ready.receipts)
        self._queue(ready.rows)
        self._has_room.set()

    def _send(self, receipts: Sequence[SendReceipt]) -> None:
        by_peer: dict[NodeId, list[Item]] = {}
        for one in receipts:
            by_peer.setdefault(one.peer, []).append(one.receipt)
        for peer, items in by_peer.items():
            self._tell(peer, items)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = self._inbox.next_timer
        if at is not None:
            delay = max(0.0, at - self._clock.now().mono)
            self._timer = asyncio.get_running_loop().call_later(delay, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._has_room.set()
        self._commit_next()

    # --- Handlers ----------------------------------------------------------------------------

    def _queue(self, rows: Sequence[InboxRow]) -> None:
        for row in rows:
            event = self._event(row.message, row.via, is_redelivered=row.is_redelivered)
            self._ready.append((event, row.sequence))
        if rows:
            self._has_work.set()

    def _event(
        self, message: Message, via: NodeId, *, is_redelivered: bool = False
    ) -> MessageReceived:
        return MessageReceived(message, self._name_of(message, via), via, is_redelivered)

    async def _dispatch(self) -> None:
        while True:
            while self._ready:
                event, sequence = self._ready.popleft()
                if sequence is None:
                    await self._handle(event)
                else:
                    await self._handle_kept(event, sequence)
                self._has_room.set()
            self._has_work.clear()
            await self._has_work.wait()

    async def _handle_kept(self, event: MessageReceived, sequence: int) -> None:
        self._inbox.started(sequence)
        await self._note(self._store.note_started, sequence)
        await self._handle(event)
        await self._note(self._store.note_completed, sequence)
        self._inbox.handled(sequence, self._clock.now())
        self._commit_next()

    async def _note(self, note: Callable[[int], None], sequence: int) -> None:
        """Write a note about a handler; while that fails, handlers wait."""
        while True:
            try:
                note(sequence)
            except StoreError as error:
                self._counters.add("store_errors")
                _log.warning("handlers wait: %s", error)
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def _handle(self, event: MessageReceived) -> None:
        self._events.publish(event)
        for handler in tuple(self._handlers):
            await self._tasks.guard(handler(event), "a message handler", counter="handler_errors")

"""Drives the inbox: brings to disk what arrived, receipts it, and gives it to handlers in order.

Handlers that lag behind slow our peers down by receipts that wait: a peer sends no more than the
window that is not confirmed, and its links are read on, so that pings and its own receipts pass.
Published nodes know no receipts; their links are not read until there is room.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import cache, partial
from typing import Final

from ironmesh.delivery.actions import Batch, SendReceipt
from ironmesh.delivery.actions import Ready as Arrived
from ironmesh.delivery.inbox import Inbox
from ironmesh.delivery.records import DeliveryStore, InboxRow, Snapshot
from ironmesh.errors import StoreError
from ironmesh.node.clock import Clock
from ironmesh.node.deliveries import Deliveries, Ready
from ironmesh.node.events import EventBus, MessageReceived, MessagesReceived
from ironmesh.node.supervisor import TaskSupervisor
from ironmesh.observe.counters import Counters
from ironmesh.types import BRIDGED, Instant, Message, MessageId, NodeId
from ironmesh.wire.receipts import MAX_IDS, Floor, Item, Receipt, Verdict

_log = logging.getLogger("ironmesh.node")

RETRY_S: Final = 1.0
"""Pause before a store that did not take something is asked again."""
MAX_HANDED_OUT: Final = 256
"""Messages that are handed out together."""
MAX_LIVE: Final = 1024
"""Messages that are not kept and wait for handlers; then their senders are held up."""

MessageHandler = Callable[[MessageReceived], Awaitable[None]]
"""Takes one message; the next one comes when it is done."""

Server = Callable[[Deliveries], Awaitable[None]]
"""Takes messages until there are none; see `Deliveries.next`."""

Tell = Callable[[NodeId, Sequence[Item]], None]
Sort = Callable[[MessageReceived, int], MessageReceived | None]
"""Takes a message that a bridge handed over, and its number; returns what handlers get of it.

None: nothing, and `Mailroom.finish` is called with the number when all is done.
"""

NameOf = Callable[[NodeId, NodeId], str]


class Mailroom:
    """The inbox of a node, its store and the application's handlers, working together.

    Args:
        tell: sends receipts to a peer.
        name_of: the name of a message's source, as people know it; given the source, and the peer
            that handed the message over.
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
        self._server: Server = self._give_to_handlers
        self._sort: Sort | None = None
        self._ready: deque[Ready] = deque()
        """What handlers get next."""
        self._has_work = asyncio.Event()
        self._has_room = asyncio.Event()
        self._live = 0
        """Messages that are not kept, among those."""
        self._withheld: dict[NodeId, dict[MessageId, None]] = {}
        """What peers learn to be accepted once there is room for more."""
        self._is_ending = self._is_closed = False
        self._committing: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    # --- Life --------------------------------------------------------------------------------

    def start(self, snapshot: Snapshot, loaded: Instant) -> None:
        """Go on where the last run ended: what no handler has finished comes first.

        Args:
            snapshot: what the store knew at `loaded`.
        """
        self._queue(self._inbox.restore(snapshot, loaded))
        self._tasks.spawn(self._dispatch(), name="handlers")

    def end_handlers(self) -> None:
        """Start no handler any more: what none has begun comes at the next start, unmarked."""
        self._is_ending = True

    async def close(self) -> None:
        """Let what is being committed be committed, and take nothing more."""
        self._is_closed = self._is_ending = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._committing is not None:
            await asyncio.wait([self._committing])

    def add_handler(self, handler: MessageHandler) -> Callable[[], None]:
        """Give each message to `handler` from now on; returns what ends it."""
        self._handlers.append(handler)

        def remove() -> None:
            if handler in self._handlers:
                self._handlers.remove(handler)

        return remove

    def serve(self, server: Server) -> None:
        """Give each message to `server`, which takes many at a time; other handlers get none."""
        self._server = server

    def sort_bridged(self, sort: Sort) -> None:
        """Ask `sort` what to do with messages that a bridge handed over."""
        self._sort = sort

    def finish(self, sequence: int) -> None:
        """A message that no handler gets is done with."""
        self._inbox.started([sequence])
        self._inbox.handled([sequence], self._clock.now())
        self._commit_next()
        self._make_room()

    # --- What arrives ------------------------------------------------------------------------

    def take(
        self, via: NodeId, messages: Sequence[Message], *, is_foreign: bool
    ) -> Awaitable[None] | None:
        """Take messages that are to be kept.

        Args:
            is_foreign: of a published node, which knows no receipts: await what is returned, while
                the disk or the handlers lag behind, before giving more.
        """
        now = self._clock.now()
        arrival = self._inbox.arrived(via, messages, is_foreign, now)
        self._counters.add("messages.received", arrival.new)
        if arrival.duplicates:
            self._counters.add("messages.duplicate", arrival.duplicates)
        if arrival.refused:
            self._counters.add("messages.turned_down", arrival.refused)
        self._send(arrival.receipts)
        self._commit_next()
        if is_foreign and not self._inbox.is_ready(self._clock.now()):
            return self._wait_until_ready()
        return None

    async def _wait_until_ready(self) -> None:
        while not self._inbox.is_ready(self._clock.now()):
            self._has_room.clear()
            await self._has_room.wait()

    def take_live(self, via: NodeId, messages: Sequence[Message]) -> Awaitable[None] | None:
        """Take messages that are not kept; await what is returned while handlers lag behind."""
        messages = [message for message in messages if message.type != BRIDGED]
        self._counters.add("messages.received_live", len(messages))
        rest = self._fit_live(via, messages)
        return self._take_live_later(via, rest) if rest else None

    async def _take_live_later(self, via: NodeId, messages: Sequence[Message]) -> None:
        while messages:
            self._has_room.clear()
            await self._has_room.wait()
            messages = self._fit_live(via, messages)

    def _fit_live(self, via: NodeId, messages: Sequence[Message]) -> Sequence[Message]:
        """Take what there is room for; return the rest."""
        room = max(0, MAX_LIVE - self._live)
        fitting = messages[:room]
        name_of = cache(self._name_of) if len(fitting) > 1 else self._name_of
        if fitting:
            self._live += len(fitting)
            self._ready.extend(
                (MessageReceived(message, name_of(message.source, via), via), None)
                for message in fitting
            )
            self._has_work.set()
        return messages[room:]

    def floor(self, source: NodeId, floor: Floor) -> None:
        """A source says which of its ids are settled."""
        self._inbox.floor(source, floor, self._clock.now())
        self._commit_next()

    # --- Committing --------------------------------------------------------------------------

    def _commit_next(self) -> None:
        if self._committing is None and not self._is_closed:
            self._commit(self._inbox.next_batch(self._clock.now()))
        self._arm()

    def _commit(self, batch: Batch | None) -> None:
        if batch is not None:
            self._committing = asyncio.ensure_future(self._store.commit(batch.ops))
            self._committing.add_done_callback(partial(self._commit_ended, batch))

    def _commit_ended(self, batch: Batch, commit: asyncio.Future[None]) -> None:
        """Tell what came of a commit, and begin the next one with what gathered meanwhile."""
        self._committing = None
        try:
            commit.result()
        except StoreError as error:
            self._counters.add("store_errors")
            _log.warning("the inbox was not written, receiving pauses: %s", error)
            self._inbox.commit_failed(batch, self._clock.now())
        else:
            self._committed(self._inbox.committed(batch))
        self._commit(self._inbox.next_batch(self._clock.now()))
        self._arm()

    def _committed(self, ready: Arrived) -> None:
        self._queue(ready.rows)
        if ready.receipts:
            # The handler is woken first: it may be in another thread, and its answer takes longer.
            asyncio.get_running_loop().call_soon(self._send, ready.receipts)
        self._make_room()

    def _send(self, receipts: Sequence[SendReceipt]) -> None:
        by_peer: dict[NodeId, list[Item]] = {}
        is_ready = self._inbox.is_ready(self._clock.now())
        for one in receipts:
            if one.receipt.verdict is Verdict.ACCEPTED and not is_ready:
                ids = dict.fromkeys(one.receipt.ids)
                self._withheld.setdefault(one.peer, {}).update(ids)
            else:
                by_peer.setdefault(one.peer, []).append(one.receipt)
        for peer, items in by_peer.items():
            self._tell(peer, items)

    def _make_room(self) -> None:
        """Something was handled, committed, or is tried again: let senders go on if they may."""
        self._has_room.set()
        if self._withheld and self._inbox.is_ready(self._clock.now()):
            withheld, self._withheld = self._withheld, {}
            for peer, ids in withheld.items():
                self._tell(peer, _accepted(tuple(ids)))

    def _arm(self) -> None:
        """Let the inbox be asked in time; a timer that would ask too early is left to do so."""
        at = None if self._is_closed else self._inbox.next_timer
        if at is None or (self._timer is not None and self._timer_at <= at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        delay = max(0.0, at - self._clock.now().mono)
        self._timer = asyncio.get_running_loop().call_later(delay, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._make_room()
        self._commit_next()

    # --- Handlers ----------------------------------------------------------------------------

    def _queue(self, rows: Sequence[InboxRow]) -> None:
        name_of = cache(self._name_of) if len(rows) > 1 else self._name_of
        for row in rows:
            source_name = name_of(row.message.source, row.via)
            event = MessageReceived(
                row.message, source_name, row.via, row.is_redelivered, row.is_foreign
            )
            sorted_out: MessageReceived | None = event
            if row.message.type == BRIDGED and self._sort is not None:
                sorted_out = self._sort(event, row.sequence)
            if sorted_out is not None:
                self._ready.append((sorted_out, row.sequence))
        if rows:
            self._has_work.set()

    async def _dispatch(self) -> None:
        while True:
            while self._ready and not self._is_ending:
                await self._hand_out(self._take_ready())
            self._has_work.clear()
            await self._has_work.wait()

    def _take_ready(self) -> list[Ready]:
        ready = [self._ready.popleft() for _ in range(min(MAX_HANDED_OUT, len(self._ready)))]
        self._live -= sum(sequence is None for _event, sequence in ready)
        return ready

    async def _hand_out(self, ready: list[Ready]) -> None:
        deliveries = Deliveries(ready, self._store, self._clock, lambda: self._is_ending)
        self._events.publish(MessagesReceived([event for event, _sequence in ready]))
        while deliveries.has_more:
            deliveries.resume()
            work = self._server(deliveries)
            await self._tasks.guard(work, "the handlers", counter="handler_errors")
            ended = deliveries.take_ended()
            self._inbox.started(ended)
            self._inbox.handled(ended, self._clock.now())
            self._commit_next()
            self._make_room()
            if deliveries.error is not None:
                await self._wait_for_store(deliveries.error)
            elif self._is_ending:
                return

    async def _wait_for_store(self, error: StoreError) -> None:
        self._counters.add("store_errors")
        _log.warning("handlers wait: %s", error)
        await asyncio.sleep(RETRY_S)

    async def _give_to_handlers(self, deliveries: Deliveries) -> None:
        while (event := deliveries.next()) is not None:
            for handler in tuple(self._handlers):
                work = handler(event)
                await self._tasks.guard(work, "a message handler", counter="handler_errors")


def _accepted(ids: tuple[MessageId, ...]) -> list[Item]:
    starts = range(0, len(ids), MAX_IDS)
    return [Receipt(Verdict.ACCEPTED, ids[start : start + MAX_IDS]) for start in starts]

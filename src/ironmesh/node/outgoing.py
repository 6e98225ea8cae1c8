"""Drives the outbox: brings to disk what it accepted, gives it to links, and tells who waits."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from ironmesh.audit.events import AuditEvent
from ironmesh.delivery.actions import (
    Accepted,
    Commit,
    Draft,
    ForgedReceipt,
    Load,
    OutboxAction,
    SendFloor,
    Settled,
    Transmit,
)
from ironmesh.delivery.outbox import Outbox
from ironmesh.delivery.records import DeliveryStore, OutboxState, Snapshot, StoreOp
from ironmesh.errors import NotRunningError, StoreError
from ironmesh.node.clock import Clock
from ironmesh.node.events import EventBus, MessageSettled
from ironmesh.node.journal import Journal
from ironmesh.node.saving import Saver
from ironmesh.node.supervisor import TaskSupervisor
from ironmesh.node.ways import Way, Ways
from ironmesh.observe.counters import Counters
from ironmesh.types import Instant, Message, MessageId, MessagePriority, MessageType, NodeId
from ironmesh.wire.receipts import LIVE_EPOCH, Item, Receipt, encode, share_out

_log = logging.getLogger("ironmesh.node")

REMEMBERED_ENDS: Final = 16_384
"""Messages whose end can be asked for without the disk."""

MakeLive = Callable[[NodeId, str, bytes, MessagePriority], Message]
"""Makes a message that is not kept: destination, type, payload, priority."""


class Ending(msgspec.Struct, frozen=True, gc=False):
    """How a message of ours stands."""

    state: OutboxState
    reason: str = ""


class Outgoing:
    """The outbox of a node, its store and its links, working together."""

    def __init__(
        self,
        outbox: Outbox,
        store: DeliveryStore,
        *,
        ways: Ways,
        make_live: MakeLive,
        tasks: TaskSupervisor,
        clock: Clock,
        counters: Counters,
        events: EventBus,
        journal: Journal,
    ) -> None:
        self._outbox = outbox
        self._store = store
        self._ways = ways
        self._in_use: dict[NodeId, Way] = {}
        """By which way the messages of each destination go."""
        self._make_live = make_live
        self._tasks = tasks
        self._clock = clock
        self._counters = counters
        self._events = events
        self._journal = journal
        self._saver = Saver(store, self._accept, self._saved, self._not_committed)
        self._saving: set[asyncio.Future[None]] = set()
        """Commits that are under way."""
        self._is_closed = False
        self._ends: OrderedDict[MessageId, Ending] = OrderedDict()
        self._waiters: dict[MessageId, list[asyncio.Future[Ending]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    # --- Accepting ---------------------------------------------------------------------------

    def restore(self, snapshot: Snapshot, loaded: Instant) -> None:
        """Go on where the last run ended; `snapshot` is what the store knew at `loaded`."""
        self._run(self._outbox.restore(snapshot, loaded))

    def accept(self, drafts: Sequence[Draft]) -> asyncio.Future[tuple[MessageId, ...]]:
        """Take messages in; when the future gives their ids, they are on disk.

        Whoever waits for it may stop waiting: what was begun is finished all the same.

        Raises:
            DeliveryError: not accepted; see `Outbox.accept`.
            StoreError: they could not be brought to disk; none was accepted.
            NotRunningError: the node stops.
        """
        if self._is_closed:
            raise _stopped()
        for draft in drafts:
            if draft.destination not in self._in_use:
                self.way_changed(draft.destination)
        return self._saver.save(drafts)

    def _accept(self, drafts: Sequence[Draft]) -> Accepted:
        return self._outbox.accept(drafts, self._clock.now())

    def _saved(self, new: Sequence[MessageId], ended: Sequence[MessageId]) -> None:
        self._counters.add("messages.accepted", len(new))
        self._committed([*new, *ended])

    def _committed(self, ids: Sequence[MessageId]) -> None:
        self._run(self._outbox.committed(ids, self._clock.now()))

    def _not_committed(self, ids: Sequence[MessageId]) -> None:
        self._run(self._outbox.commit_failed(ids, self._clock.now()))

    def _keep(self, saving: asyncio.Future[None]) -> None:
        """Let the end of the node wait for a commit."""
        self._saving.add(saving)
        saving.add_done_callback(self._let_go)

    def _let_go(self, saving: asyncio.Future[None]) -> None:
        self._saving.discard(saving)
        if not saving.cancelled():
            saving.exception()  # whoever waited has it; nobody may have

    # --- How messages stand ------------------------------------------------------------------

    def ending(self, message_id: MessageId) -> Ending | None:
        """Return how a message stands; None = it ended too long ago, or never was."""
        state = self._outbox.state(message_id)
        return self._ends.get(message_id) if state is None else Ending(state)

    async def wait_end(self, message_id: MessageId) -> Ending:
        """Return how a message ended, once it has.

        Raises:
            KeyError: it ended too long ago, or never was.
            NotRunningError: the node stops; what has not ended goes on at its next start.
        """
        ending = self.ending(message_id)
        if ending is None:
            raise KeyError(message_id)
        if ending.state.is_end:
            return ending
        if self._is_closed:
            raise _stopped()
        waiter: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(message_id, []).append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            self._forget_waiter(message_id, waiter)
            raise

    def _forget_waiter(self, message_id: MessageId, waiter: asyncio.Future[Ending]) -> None:
        waiters = self._waiters.get(message_id, [])
        if waiter in waiters:
            waiters.remove(waiter)
        if not waiters:
            self._waiters.pop(message_id, None)

    def count(self, peer: NodeId) -> int:
        """Return how many messages for a peer have not ended."""
        return self._outbox.count(peer)

    def cancel(self, ids: Sequence[MessageId]) -> None:
        """Take messages back; what is on the wire may arrive."""
        self._run(self._outbox.cancel(ids, self._clock.now()))

    def retry(self, ids: Sequence[MessageId]) -> None:
        """Let messages go again now."""
        self._run(self._outbox.retry(ids, self._clock.now()))

    # --- Ways --------------------------------------------------------------------------------

    def way_changed(self, destination: NodeId) -> None:
        """Another way may lead to a destination from now on, or none."""
        way = self._ways.get(destination)
        if way is self._in_use.get(destination):
            return
        if way is None:
            del self._in_use[destination]
            self._outbox.link_down(destination)
            self._arm()
            return
        self._in_use[destination] = way
        self._run(
            self._outbox.link_up(
                destination, way.can_confirm, way.max_payload_bytes, self._clock.now()
            )
        )

    def is_sending(self, destination: NodeId) -> bool:
        """Tell whether something waits for a destination, or goes by a way to it."""
        return destination in self._in_use or self._outbox.count(destination) > 0

    def written(self, messages: Sequence[Message]) -> None:
        """A link's transport has these messages."""
        ids = [one.id for one in messages if not one.id.startswith(LIVE_EPOCH)]
        if ids:
            self._run(self._outbox.written(ids, self._clock.now()))

    def receipt(self, peer: NodeId, receipt: Receipt) -> None:
        """A peer says what became of messages."""
        self._run(self._outbox.receipt(peer, receipt, self._clock.now()))

    def tell(self, peer: NodeId, items: Sequence[Item]) -> None:
        """Send receipts and floors to a node of ours that can be reached; else they are moot."""
        way = self._ways.get(peer)
        if way is not None and way.can_confirm:
            way.enqueue(
                [
                    self._make_live(peer, MessageType.ACK, payload, MessagePriority.CRITICAL)
                    for payload in map(encode, share_out(items))
                ],
                can_wait=True,
            )

    # --- Doing what the outbox says ----------------------------------------------------------

    def _run(self, actions: Sequence[OutboxAction]) -> None:
        for action in actions:
            match action:
                case Transmit(peer, messages):
                    way = self._in_use.get(peer)
                    if way is not None and way.is_usable:
                        way.enqueue(messages)
                case Settled():
                    self._settled(action)
                case Commit(ops, ids, can_wait=True):
                    self._saver.save_later(ops, ids)
                case Commit(ops, ids):
                    self._keep(self._tasks.spawn(self._commit(ops, ids), name="outbox commit"))
                case Load(peer, ids):
                    self._tasks.spawn(self._load(peer, ids), name="outbox load")
                case SendFloor(peer, floor):
                    self.tell(peer, [floor])
                case ForgedReceipt(peer, ids):
                    self._counters.add("refused.forged_receipt", len(ids))
                    self._journal.record(AuditEvent.MESSAGE_REFUSED, node_id=peer, what="receipt")
        self._arm()

    async def _commit(self, ops: Sequence[StoreOp], ids: Sequence[MessageId]) -> None:
        try:
            await self._store.commit(ops)
        except StoreError as error:
            _log.warning("the outbox was not written: %s", error)
            self._not_committed(ids)
        else:
            self._committed(ids)

    async def _load(self, peer: NodeId, ids: Sequence[MessageId]) -> None:
        try:
            payloads = await self._store.payloads([(peer, message_id) for message_id in ids])
        except StoreError as error:
            _log.warning("the outbox was not read: %s", error)
            self._outbox.load_failed(peer, ids, self._clock.now())
            self._arm()
        else:
            self._run(self._outbox.loaded(peer, ids, payloads, self._clock.now()))

    def _settled(self, settled: Settled) -> None:
        ending = Ending(settled.state, settled.reason)
        self._counters.add(f"messages.{settled.state.value}", len(settled.ids))
        if settled.state.is_end:
            self._ends.update(dict.fromkeys(settled.ids, ending))
            while len(self._ends) > REMEMBERED_ENDS:
                self._ends.popitem(last=False)
            for message_id in self._waiters.keys() & settled.ids:
                for waiter in self._waiters.pop(message_id):
                    if not waiter.done():
                        waiter.set_result(ending)
        self._events.publish(
            MessageSettled(settled.ids, settled.peer, settled.state.value, settled.reason)
        )

    def _arm(self) -> None:
        """Let the outbox be asked in time; a timer that would ask too early is left to do so."""
        at = None if self._is_closed else self._outbox.next_timer
        if at is None or (self._timer is not None and self._timer_at <= at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        delay = max(0.0, at - self._clock.now().mono)
        self._timer = asyncio.get_running_loop().call_later(delay, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._run(self._outbox.timer(self._clock.now()))

    async def close(self) -> None:
        """Take nothing more, let what is being saved be saved, and stop the clockwork."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._saver.finish()
        while self._saving:
            await asyncio.gather(*self._saving, return_exceptions=True)
            await self._saver.finish()
        waiters = [waiter for some in self._waiters.values() for waiter in some]
        self._waiters.clear()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(_stopped())


def _stopped() -> NotRunningError:
    return NotRunningError("the node has stopped", "start it first")

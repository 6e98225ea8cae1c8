"""Two nodes' outboxes and inboxes under a virtual clock: links fail, commits fail, nodes die.

The shell of this world is as small as it can be, does everything late, and may die between any
two steps. Links keep order and lose only their tail, as real ones do, unless told otherwise.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ironmesh.delivery.actions import (
    Commit,
    Draft,
    ForgedReceipt,
    Load,
    OutboxAction,
    SendFloor,
    SendReceipt,
    Settled,
    Transmit,
)
from ironmesh.delivery.inbox import Inbox, InboxLimits
from ironmesh.delivery.lane import OutboxLimits
from ironmesh.delivery.outbox import Outbox
from ironmesh.delivery.records import InboxRow, OutboxState, StoreOp
from ironmesh.delivery.upkeep import Upkeep
from ironmesh.errors import StoreFullError
from ironmesh.store.memory import CommitPoint, MemoryStore
from ironmesh.types import PRIORITIES, Instant, Message, MessageId, MessagePriority, NodeId
from ironmesh.wire import receipts
from ironmesh.wire.receipts import Floor, Receipt

WALL_START = 1.7e9
ACK = "ACK"


class Died(Exception):  # noqa: N818 - nothing is wrong: it is what the world does
    """A node died here."""


@dataclass(frozen=True)
class Weather:
    """How bad the world is."""

    death: float = 0.0
    """Probability of a node's death at each of its steps."""
    power_loss: float = 0.5
    """Share of deaths that take the machine with them."""
    link_life_s: float = 1e9
    link_gap_s: float = 1.0
    commit_failure: float = 0.0
    loss: float = 0.0
    """Messages lost in the middle of a link."""
    handler_s: float = 0.01
    reads_always: bool = False
    """Links are read even while the inbox is not ready."""


@dataclass
class Seen:
    """One run of a handler."""

    text: str
    source: NodeId
    id: MessageId
    priority: MessagePriority
    is_redelivered: bool
    was_finished: bool = False


@dataclass
class Diary:
    """What a node's application knows; it outlives the node."""

    returned: dict[str, MessageId] = field(default_factory=dict)
    """Messages whose `send` returned."""
    tried: dict[str, MessageId] = field(default_factory=dict)
    told: dict[MessageId, list[OutboxState]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    forged: list[MessageId] = field(default_factory=list)
    deaths: list[str] = field(default_factory=list)


class World:
    """The clock, the link, and chance."""

    def __init__(
        self,
        seed: int,
        weather: Weather,
        outbox_limits: OutboxLimits | None = None,
        inbox_limits: InboxLimits | None = None,
    ) -> None:
        self.chance = random.Random(seed)
        self.weather = weather
        self.outbox_limits = outbox_limits
        self.inbox_limits = inbox_limits
        self.t = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self.link_no = 0
        self.is_link_up = False
        self.a = SimNode(self, NodeId("a" * 32), NodeId("b" * 32))
        self.b = SimNode(self, NodeId("b" * 32), NodeId("a" * 32))
        self.after(0.0, self.raise_link)

    @property
    def nodes(self) -> tuple[SimNode, SimNode]:
        return self.a, self.b

    def other(self, node: SimNode) -> SimNode:
        return self.b if node is self.a else self.a

    def after(self, delay: float, what: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.t + delay, self._count, what))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.t, _, what = heapq.heappop(self._events)
            what()
        self.t = until

    def calm(self) -> None:
        """Nothing fails from here on."""
        self.weather = Weather(link_gap_s=0.1, handler_s=0.001)
        for node in self.nodes:
            if not node.is_alive:
                node.start()
        self.drop_link()
        self.raise_link()

    # --- The link ----------------------------------------------------------------------------

    def raise_link(self) -> None:
        if self.is_link_up or not all(node.is_alive for node in self.nodes):
            return
        self.is_link_up = True
        self.link_no += 1
        number = self.link_no
        if self.weather.link_life_s < 1e8:
            life = self.chance.expovariate(1 / self.weather.link_life_s)
            self.after(life, lambda: self.drop_link() if self.link_no == number else None)
        for node in self.nodes:
            node.later(self.chance.random() * 0.05, lambda node=node: node.link_up(number))

    def drop_link(self) -> None:
        if not self.is_link_up:
            return
        self.is_link_up = False
        self.link_no += 1
        for node in self.nodes:
            node.link_down()
        self.after(self.chance.expovariate(1 / self.weather.link_gap_s), self.raise_link)


class SimNode:
    """A shell around an outbox, an inbox and a store."""

    def __init__(self, world: World, own_id: NodeId, peer: NodeId) -> None:
        self.world = world
        self.id = own_id
        self.peer = peer
        self.diary = Diary()
        self.store = MemoryStore(self._hook)
        self.is_alive = False
        self.life = 0
        self.can_confirm = True
        self.wall_moved_s = 0.0
        self.mono_base = 0.0
        self.start()

    # --- Life --------------------------------------------------------------------------------

    def start(self) -> None:
        self.is_alive = True
        self.life += 1
        self.mono_base = self.world.chance.random() * 1e6
        self.link: int | None = None
        self.queues: list[deque[Message]] = [deque() for _ in PRIORITIES]
        self.pipe: deque[tuple[float, Message]] = deque()
        self.commits: deque[tuple[Sequence[StoreOp], Callable[[bool], None]]] = deque()
        self.is_committing = self.is_writing = self.is_handling = self.is_delivering = False
        self.work: deque[InboxRow] = deque()
        self.armed: float | None = None
        self.outbox = Outbox(self.id, self.world.chance.randbytes, self.world.outbox_limits)
        self.inbox = Inbox(self.world.inbox_limits)
        self.upkeep = Upkeep(self.now())
        snapshot = self.store.snapshot()
        actions = self.outbox.restore(snapshot, self.now())
        self.work.extend(self.inbox.restore(snapshot, self.now()))
        self.later(0.0, lambda: self.do(actions))
        self.later(0.0, self.handle)

    def die(self) -> None:
        is_power_loss = self.world.chance.random() < self.world.weather.power_loss
        self.is_alive = False
        self.life += 1
        self.diary.deaths.append("power" if is_power_loss else "kill")
        self.store = self.store.crash(is_power_loss=is_power_loss)
        self.world.drop_link()
        self.world.after(self.world.chance.random() * 2, self._revive)

    def _revive(self) -> None:
        if not self.is_alive:
            self.start()
            self.world.after(0.0, self.world.raise_link)

    def now(self) -> Instant:
        t = self.world.t
        return Instant(t + self.mono_base, WALL_START + t + self.wall_moved_s)

    def step(self) -> None:
        """A moment at which the node may die."""
        if self.world.weather.death and self.world.chance.random() < self.world.weather.death:
            raise Died

    def later(self, delay: float, what: Callable[[], None]) -> None:
        """Do something after some time, if this life lasts that long."""
        life = self.life

        def event() -> None:
            if self.life != life:
                return
            try:
                self.step()
                what()
                self.arm()
            except Died:
                self.die()

        self.world.after(delay, event)

    def arm(self) -> None:
        moments = (self.outbox.next_timer, self.inbox.next_timer, self.upkeep.next_timer)
        due = min(at for at in moments if at is not None)
        if self.armed is None or due < self.armed:
            self.armed = due
            self.later(max(0.0, due - self.now().mono), lambda: self._fire(due))

    def _fire(self, due: float) -> None:
        if self.armed == due:
            self.armed = None
        now = self.now()
        if self.upkeep.next_timer <= now.mono:
            ops = self.upkeep.timer(now)
            if ops:
                self.commit(ops, lambda ok: None if ok else self.upkeep.commit_failed(ops))
        self.do(self.outbox.timer(now))
        self.kick_inbox()

    # --- The application ---------------------------------------------------------------------

    def send(
        self,
        text: str,
        priority: MessagePriority = MessagePriority.NORMAL,
        lifetime_s: float = 86400.0,
    ) -> None:
        """Send a message, at a moment of its own."""
        self.later(0.0, lambda: self._send(text, priority, lifetime_s))

    def _send(self, text: str, priority: MessagePriority, lifetime_s: float) -> None:
        draft = Draft(self.peer, "MSG", text.encode(), priority, lifetime_s)
        accepted = self.outbox.accept([draft], self.now())
        self.diary.tried[text] = accepted.ids[0]

        def done(is_ok: bool) -> None:
            if not is_ok:
                self.do(self.outbox.commit_failed(accepted.ids, self.now()))
                return
            self.diary.returned[text] = accepted.ids[0]
            self.do(self.outbox.committed(accepted.ids, self.now()))

        self.commit(accepted.ops, done)

    def handle(self) -> None:
        if self.is_handling or not self.work:
            return
        row = self.work.popleft()
        self.is_handling = True
        self.inbox.started([row.sequence])
        self.store.note_started(row.sequence)
        self.step()
        message = row.message
        seen = Seen(
            message.payload.decode(),
            message.source,
            message.id,
            message.priority,
            row.is_redelivered,
        )
        self.diary.seen.append(seen)
        self.later(
            self.world.chance.random() * self.world.weather.handler_s,
            lambda: self._handled(row, seen),
        )

    def _handled(self, row: InboxRow, seen: Seen) -> None:
        seen.was_finished = True
        self.store.note_completed(row.sequence)
        self.step()
        self.inbox.handled([row.sequence], self.now())
        self.is_handling = False
        self.kick_inbox()
        self.handle()

    # --- The store ---------------------------------------------------------------------------

    def _hook(self, point: CommitPoint, batch: Sequence[StoreOp]) -> None:
        self.step()
        if point is CommitPoint.BEFORE:
            failure = self.world.weather.commit_failure
            if failure and self.world.chance.random() < failure:
                raise StoreFullError("the disk is full", "make room")

    def commit(self, ops: Sequence[StoreOp], done: Callable[[bool], None]) -> None:
        self.commits.append((ops, done))
        if not self.is_committing:
            self.is_committing = True
            self.later(self.world.chance.random() * 0.01, self._commit)

    def _commit(self) -> None:
        """A group commit: what came together becomes lasting together, and is told in order."""
        group = [self.commits.popleft() for _ in range(min(len(self.commits), 8))]
        results = []
        for ops, done in group:
            try:
                self.store.apply(ops)
                results.append((done, True))
            except StoreFullError:
                results.append((done, False))

        def tell() -> None:
            for done, is_ok in results:
                done(is_ok)
                self.step()
            self.is_committing = bool(self.commits)
            if self.commits:
                self.later(self.world.chance.random() * 0.01, self._commit)

        self.later(self.world.chance.random() * 0.01, tell)

    def kick_inbox(self) -> None:
        batch = self.inbox.next_batch(self.now())
        if batch is None:
            return

        def done(is_ok: bool) -> None:
            if is_ok:
                ready = self.inbox.committed(batch)
                self.send_receipts(ready.receipts)
                self.work.extend(ready.rows)
                self.handle()
            else:
                self.inbox.commit_failed(batch, self.now())
            self.kick_inbox()

        self.commit(batch.ops, done)

    # --- Actions -----------------------------------------------------------------------------

    def do(self, actions: Sequence[OutboxAction]) -> None:
        for action in actions:
            self.step()
            match action:
                case Commit():
                    self.commit(action.ops, lambda ok, action=action: self._committed(action, ok))
                case Load():
                    self.later(
                        self.world.chance.random() * 0.01, lambda action=action: self._load(action)
                    )
                case Transmit():
                    self.enqueue(action.messages)
                case SendFloor():
                    self.send_ack([action.floor])
                case Settled():
                    for one in action.ids:
                        self.diary.told.setdefault(one, []).append(action.state)
                case ForgedReceipt():
                    self.diary.forged.extend(action.ids)

    def _committed(self, action: Commit, is_ok: bool) -> None:
        finish = self.outbox.committed if is_ok else self.outbox.commit_failed
        self.do(finish(action.ids, self.now()))

    def _load(self, action: Load) -> None:
        if self.world.chance.random() < self.world.weather.commit_failure:
            self.outbox.load_failed(action.peer, action.ids, self.now())
            return
        payloads = self.store.read([(action.peer, one) for one in action.ids])
        self.do(self.outbox.loaded(action.peer, action.ids, payloads, self.now()))

    def send_receipts(self, answers: Sequence[SendReceipt]) -> None:
        if answers:
            self.send_ack([answer.receipt for answer in answers])

    def send_ack(self, items: Sequence[Receipt | Floor]) -> None:
        if self.link is None:
            return
        self.enqueue(
            [
                Message(
                    id=MessageId(bytes(16)),
                    type=ACK,
                    payload=receipts.encode(items),
                    source=self.id,
                    destination=self.peer,
                    priority=MessagePriority.CRITICAL,
                )
            ]
        )

    # --- The link ----------------------------------------------------------------------------

    def link_up(self, number: int) -> None:
        if self.world.link_no != number:
            return
        self.link = number
        self.do(self.outbox.link_up(self.peer, self.can_confirm, 1_000_000, self.now()))

    def link_down(self) -> None:
        self.pipe.clear()
        if self.is_alive and self.link is not None:
            self.link = None
            self.queues = [deque() for _ in PRIORITIES]
            self.outbox.link_down(self.peer)

    def enqueue(self, messages: Sequence[Message]) -> None:
        if self.link is None:
            return
        for message in messages:
            self.queues[PRIORITIES.index(message.priority)].append(message)
        if not self.is_writing:
            self.is_writing = True
            self.later(self.world.chance.random() * 0.01, self._write)

    def _write(self) -> None:
        self.is_writing = False
        batch: list[Message] = []
        for queue in self.queues:
            while queue and len(batch) < 16:
                batch.append(queue.popleft())
        if self.link is None or not batch:
            return
        arrives = self.world.t + self.world.chance.random() * 0.05
        if self.pipe:
            arrives = max(arrives, self.pipe[-1][0])
        for message in batch:
            if self.world.chance.random() >= self.world.weather.loss:
                self.pipe.append((arrives, message))
        self._deliver_later()
        self.do(self.outbox.written([one.id for one in batch if one.type != ACK], self.now()))
        if any(self.queues):
            self.enqueue([])

    def _deliver_later(self) -> None:
        link = self.world.link_no
        self.world.after(0.05, lambda: self._deliver(link))

    def _deliver(self, link: int) -> None:
        """Let the other side read what has arrived."""
        if self.world.link_no != link:
            return
        other = self.world.other(self)
        if not other.is_alive:
            return
        is_ready = other.inbox.is_ready(other.now()) or self.world.weather.reads_always
        if not is_ready:
            self._deliver_later()
            return
        batch: list[Message] = []
        while self.pipe and self.pipe[0][0] <= self.world.t and len(batch) < 16:
            batch.append(self.pipe.popleft()[1])
        if self.pipe:
            self._deliver_later()
        if batch:
            other.later(0.0, lambda: other.arrived(batch, link))

    def arrived(self, messages: Sequence[Message], link: int) -> None:
        if self.world.link_no != link:
            return
        mine: list[Message] = []
        for message in messages:
            if message.type != ACK:
                mine.append(message)
                continue
            self._take(mine)
            mine = []
            for item in receipts.decode(message.payload):
                if isinstance(item, Floor):
                    self.inbox.floor(message.source, item, self.now())
                else:
                    self.do(self.outbox.receipt(message.source, item, self.now()))
        self._take(mine)

    def _take(self, messages: list[Message]) -> None:
        if messages:
            arrival = self.inbox.arrived(self.peer, messages, not self.can_confirm, self.now())
            self.send_receipts(arrival.receipts)
            self.kick_inbox()

"""The outbox, the inbox and the store of one node, and its handlers; it may die between any steps.

A small shell around `ironmesh.delivery`, as `ironmesh.node` is the large one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from ironmesh.delivery.actions import (
    Commit,
    Draft,
    ForgedReceipt,
    Load,
    OutboxAction,
    SendFloor,
    Settled,
    Transmit,
)
from ironmesh.delivery.inbox import Inbox
from ironmesh.delivery.outbox import Outbox
from ironmesh.delivery.records import InboxRow, StoreOp
from ironmesh.delivery.upkeep import Upkeep
from ironmesh.errors import IronMeshError
from ironmesh.session.native.limits import MAX_PAYLOAD_BYTES
from ironmesh.sim.stack.diary import MARK, Diary, Seen, Sent
from ironmesh.store.memory import CommitPoint, MemoryStore
from ironmesh.types import (
    NO_ID,
    Instant,
    Message,
    MessagePriority,
    MessageType,
    NodeId,
    Random,
)
from ironmesh.wire import receipts
from ironmesh.wire.receipts import Floor, Receipt

COMMIT_S: Final = 0.005
LOAD_S: Final = 0.002
HANDLER_S: Final = 0.002


class NodeDiedError(IronMeshError):
    """The node that does this is dead from here on."""

    code = "died"


class Shell(Protocol):
    """What a node gives its parts."""

    def now(self) -> Instant:
        """Return the time."""
        ...

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Do something after a while, if the node lives until then."""
        ...

    def step(self) -> None:
        """A moment at which the node may die.

        Raises:
            NodeDiedError: it does.
        """
        ...

    def carry(self, destination: NodeId, messages: Sequence[Message]) -> None:
        """Send messages by the way that leads to a destination now, if there is one."""
        ...


class Post:
    """Messages of one node, in and out; made anew for each of its lives.

    Args:
        store: what is on disk.
        diary: what its application knows.
    """

    def __init__(
        self, own_id: NodeId, shell: Shell, store: MemoryStore, diary: Diary, random: Random
    ) -> None:
        self._own_id = own_id
        self._shell = shell
        self._store = store
        self._diary = diary
        self._outbox = Outbox(own_id, random)
        self._inbox = Inbox()
        self._upkeep = Upkeep(shell.now())
        self._commits: deque[tuple[Sequence[StoreOp], Callable[[], None]]] = deque()
        self._is_committing = False
        self._is_handling = False
        self._work: deque[InboxRow] = deque()
        self._armed = float("inf")
        snapshot = store.snapshot()
        actions = self._outbox.restore(snapshot, shell.now())
        self._work.extend(self._inbox.restore(snapshot, shell.now()))
        shell.later(0.0, lambda: self._do(actions))
        shell.later(0.0, self._handle)

    # --- What the application does ----------------------------------------------------------------

    def send(self, destination: NodeId, text: str, priority: MessagePriority) -> None:
        """Send a message; it is accepted once it is on disk."""
        draft = Draft(destination, "MSG", MARK + text.encode(), priority)
        accepted = self._outbox.accept([draft], self._shell.now())

        def done() -> None:
            self._diary.accepted.append(Sent(text, destination, priority))
            self._do(self._outbox.committed(accepted.ids, self._shell.now()))

        self._commit(accepted.ops, done)

    def count(self, destination: NodeId) -> int:
        """Return how many messages for a destination are not confirmed."""
        return self._outbox.count(destination)

    # --- Ways -------------------------------------------------------------------------------------

    def way_up(self, destination: NodeId) -> None:
        """A way leads to a destination, or another one does."""
        now = self._shell.now()
        self._do(self._outbox.link_up(destination, True, MAX_PAYLOAD_BYTES, now))  # noqa: FBT003

    def way_down(self, destination: NodeId) -> None:
        """No way leads there any more."""
        self._outbox.link_down(destination)

    def written(self, messages: Sequence[Message]) -> None:
        """These are on their way."""
        ids = [each.id for each in messages if each.type != MessageType.ACK]
        if ids:
            self._do(self._outbox.written(ids, self._shell.now()))

    def arrived(self, source: NodeId, messages: Sequence[Message]) -> None:
        """Take messages of a source, in its order."""
        mine: list[Message] = []
        for message in messages:
            if message.type != MessageType.ACK:
                mine.append(message)
                continue
            self._take(source, mine)
            mine = []
            for item in receipts.decode(message.payload):
                if isinstance(item, Floor):
                    self._inbox.floor(source, item, self._shell.now())
                else:
                    self._do(self._outbox.receipt(source, item, self._shell.now()))
        self._take(source, mine)

    def _take(self, source: NodeId, messages: Sequence[Message]) -> None:
        if messages:
            arrival = self._inbox.arrived(source, messages, False, self._shell.now())  # noqa: FBT003
            self._answer([(each.peer, each.receipt) for each in arrival.receipts])
            self._kick_inbox()

    # --- Handlers ---------------------------------------------------------------------------------

    def _handle(self) -> None:
        if self._is_handling or not self._work:
            return
        row = self._work.popleft()
        self._is_handling = True
        self._inbox.started([row.sequence])
        self._store.note_started(row.sequence)
        self._shell.step()
        text = row.message.payload.removeprefix(MARK).decode()
        self._diary.saw(Seen(text, row.message.source, row.is_redelivered))
        self._shell.later(HANDLER_S, lambda: self._handled(row))

    def _handled(self, row: InboxRow) -> None:
        self._store.note_completed(row.sequence)
        self._shell.step()
        self._inbox.handled([row.sequence], self._shell.now())
        self._is_handling = False
        self._kick_inbox()
        self._handle()

    def _kick_inbox(self) -> None:
        batch = self._inbox.next_batch(self._shell.now())
        if batch is None:
            return

        def done() -> None:
            ready = self._inbox.committed(batch)
            self._answer([(each.peer, each.receipt) for each in ready.receipts])
            self._work.extend(ready.rows)
            self._handle()
            self._kick_inbox()

        self._commit(batch.ops, done)

    # --- The store --------------------------------------------------------------------------------

    def _commit(self, ops: Sequence[StoreOp], done: Callable[[], None]) -> None:
        self._commits.append((ops, done))
        if not self._is_committing:
            self._is_committing = True
            self._shell.later(COMMIT_S, self._commit_group)

    def _commit_group(self) -> None:
        """What came together becomes lasting together, and is told in its order."""
        group, self._commits = self._commits, deque()
        for ops, _ in group:
            self._store.apply(ops)
        for _, done in group:
            done()
            self._shell.step()
        self._is_committing = bool(self._commits)
        if self._commits:
            self._shell.later(COMMIT_S, self._commit_group)

    # --- What the outbox asks for -----------------------------------------------------------------

    def _do(self, actions: Sequence[OutboxAction]) -> None:
        for action in actions:
            self._shell.step()
            match action:
                case Commit():
                    self._commit(action.ops, lambda action=action: self._committed(action))  # type: ignore[misc]
                case Load():
                    self._shell.later(LOAD_S, lambda action=action: self._load(action))  # type: ignore[misc]
                case Transmit():
                    self._shell.carry(action.peer, action.messages)
                case SendFloor():
                    self._tell(action.peer, [action.floor])
                case Settled() | ForgedReceipt():
                    pass
        self.arm()

    def _committed(self, action: Commit) -> None:
        self._do(self._outbox.committed(action.ids, self._shell.now()))

    def _load(self, action: Load) -> None:
        payloads = self._store.read([(action.peer, one) for one in action.ids])
        self._do(self._outbox.loaded(action.peer, action.ids, payloads, self._shell.now()))

    def _answer(self, answers: Sequence[tuple[NodeId, Receipt]]) -> None:
        for peer, receipt in answers:
            self._tell(peer, [receipt])

    def _tell(self, peer: NodeId, items: Sequence[Receipt | Floor]) -> None:
        text = receipts.encode(items)
        priority = MessagePriority.CRITICAL
        ack = Message(NO_ID, MessageType.ACK, text, self._own_id, peer, priority)
        self._shell.carry(peer, [ack])

    # --- Time -------------------------------------------------------------------------------------

    def arm(self) -> None:
        """Have the timers of the machines run when they are due."""
        moments = (self._outbox.next_timer, self._inbox.next_timer, self._upkeep.next_timer)
        due = min(at for at in moments if at is not None)
        if due < self._armed:
            self._armed = due
            self._shell.later(due - self._shell.now().mono, lambda: self._fire(due))

    def _fire(self, due: float) -> None:
        if self._armed != due:
            return
        self._armed = float("inf")
        now = self._shell.now()
        if self._upkeep.next_timer <= now.mono:
            ops = self._upkeep.timer(now)
            if ops:
                self._commit(ops, lambda: None)
        self._do(self._outbox.timer(now))
        self._kick_inbox()
        self.arm()


def crash_hook(step: Callable[[], None]) -> Callable[[CommitPoint, Sequence[StoreOp]], None]:
    """Return what makes every point of a commit a moment at which the node may die."""

    def hook(_point: CommitPoint, _batch: Sequence[StoreOp]) -> None:
        step()

    return hook

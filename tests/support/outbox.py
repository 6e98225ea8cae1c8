"""An outbox on a table: a clock to turn, a store that commits at once, actions by kind."""

from __future__ import annotations

from typing import TypeVar

from ironmesh.delivery.actions import Commit, Draft, Load, OutboxAction, Settled, Transmit
from ironmesh.delivery.lane import OutboxLimits
from ironmesh.delivery.outbox import Outbox
from ironmesh.delivery.records import OutboxState
from ironmesh.store.memory import MemoryStore
from ironmesh.types import Instant, MessageId, MessagePriority, NodeId
from ironmesh.wire.receipts import Receipt, Verdict, split_id

OWN, BOB, CAROL = NodeId("a" * 32), NodeId("b" * 32), NodeId("c" * 32)
WALL = 1.7e9
EPOCH = b"\x07" * 8
"""Of the first destination that a desk sends to."""

Kind = TypeVar("Kind")


def of(kind: type[Kind], actions: list[OutboxAction]) -> list[Kind]:
    """Return the actions of a kind."""
    return [action for action in actions if isinstance(action, kind)]


def sent(actions: list[OutboxAction]) -> list[int]:
    """Return the numbers that are transmitted, in their order."""
    return [split_id(one.id)[1] for action in of(Transmit, actions) for one in action.messages]


class Desk:
    """An outbox, its clock and its store."""

    def __init__(self, **limits: int) -> None:
        self.limits = OutboxLimits(**limits)
        self.mono = 1000.0
        self.wall = WALL
        self.store = MemoryStore()
        self.epochs = 0
        self.restart()

    @property
    def now(self) -> Instant:
        return Instant(self.mono, self.wall)

    def pass_time(self, seconds: float) -> None:
        self.mono += seconds
        self.wall += seconds

    def restart(self, *, off_s: float = 0.0) -> list[OutboxAction]:
        """Die and start again, with another monotonic clock."""
        self.store = self.store.crash()
        self.mono = 5000.0 - self.mono / 2
        self.wall += off_s
        self.outbox = Outbox(OWN, self._random, self.limits)
        return self.carry_out(self.outbox.restore(self.store.snapshot(), self.now))

    def _random(self, size: int) -> bytes:
        if size == len(EPOCH):
            self.epochs += 1
        return bytes([self.epochs + 6]) * size

    def carry_out(self, actions: list[OutboxAction]) -> list[OutboxAction]:
        """Do the commits, and what they lead to; return all actions."""
        done: list[OutboxAction] = []
        queue = list(actions)
        while queue:
            action = queue.pop(0)
            done.append(action)
            if isinstance(action, Commit):
                self.store.apply(action.ops)
                queue.extend(self.outbox.committed(action.ids, self.now))
        return done

    def send(
        self, *names: str, to: NodeId = BOB, lifetime_s: float = 86400.0, size: int = 4
    ) -> list[OutboxAction]:
        """Accept and commit a message for each priority in `names`."""
        accepted = self.outbox.accept(
            self.drafts(*names, to=to, lifetime_s=lifetime_s, size=size), self.now
        )
        self.ids = accepted.ids
        self.store.apply(accepted.ops)
        return self.carry_out(self.outbox.committed(accepted.ids, self.now))

    def drafts(
        self, *names: str, to: NodeId = BOB, lifetime_s: float = 86400.0, size: int = 4
    ) -> list[Draft]:
        return [Draft(to, "MSG", bytes(size), MessagePriority(name), lifetime_s) for name in names]

    def link_up(
        self, peer: NodeId = BOB, *, can_confirm: bool = True, limit: int = 1000
    ) -> list[OutboxAction]:
        return self.carry_out(self.outbox.link_up(peer, can_confirm, limit, self.now))

    def load(self, action: Load) -> list[OutboxAction]:
        payloads = self.store.read([(action.peer, one) for one in action.ids])
        return self.carry_out(self.outbox.loaded(action.peer, action.ids, payloads, self.now))

    def written(self, *ids: MessageId) -> list[OutboxAction]:
        return self.carry_out(self.outbox.written(ids, self.now))

    def receipt(
        self, verdict: Verdict, *ids: MessageId, peer: NodeId = BOB, reason: str = ""
    ) -> list[OutboxAction]:
        said = Receipt(verdict, ids, reason)
        return self.carry_out(self.outbox.receipt(peer, said, self.now))

    def timer(self) -> list[OutboxAction]:
        return self.carry_out(self.outbox.timer(self.now))

    def states(self) -> list[OutboxState]:
        """Return the states on disk, oldest first."""
        return [row.state for row in self.store.history()]


def told(actions: list[OutboxAction]) -> list[tuple[OutboxState, int]]:
    """Return the states that are told, each with how many messages."""
    return [(action.state, len(action.ids)) for action in of(Settled, actions)]

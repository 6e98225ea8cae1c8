"""A day of talk, in a second: nothing that a node keeps in memory grows with time."""

from __future__ import annotations

import gc
import sys

from ironmesh.delivery.actions import Commit, Draft, SendFloor, Transmit
from ironmesh.delivery.inbox import Inbox
from ironmesh.delivery.outbox import Outbox
from ironmesh.types import PRIORITIES, Instant, Message, MessageId, NodeId
from ironmesh.wire.receipts import Floor

OWN, BOB, PUBLISHED = NodeId("a" * 32), NodeId("b" * 32), NodeId("c" * 32)
ABSENT = NodeId("d" * 32)
MINUTE = 60.0


class Day:
    """A node that talks to a peer, keeps messages for an absent one, and hears a published one."""

    def __init__(self):
        self.mono = 0.0
        self.count = 0
        self.outbox = Outbox(OWN, lambda size: bytes([self.count % 251]) * size)
        self.inbox = Inbox()

    @property
    def now(self):
        return Instant(self.mono, 1.7e9 + self.mono)

    def do(self, actions):
        queue = list(actions)
        for action in queue:
            match action:
                case Commit():
                    queue.extend(self.outbox.committed(action.ids, self.now))
                case Transmit():
                    queue.extend(self.transmitted(action))
                case SendFloor():
                    said: Floor = action.floor
                    self.inbox.floor(OWN, said, self.now)

    def transmitted(self, action):
        """The peer is our own inbox."""
        actions = self.outbox.written([one.id for one in action.messages], self.now)
        arrival = self.inbox.arrived(OWN, action.messages, False, self.now)
        assert arrival.refused == 0
        return actions + [one for answer in self.save() for one in answer]

    def save(self):
        while (batch := self.inbox.next_batch(self.now)) is not None:
            ready = self.inbox.committed(batch)
            for row in ready.rows:
                self.inbox.started([row.sequence])
                self.inbox.handled([row.sequence], self.now)
            for answer in ready.receipts:
                yield self.outbox.receipt(BOB, answer.receipt, self.now)

    def minute(self, number):
        self.mono += MINUTE
        if number % 10 == 0:
            self.outbox.link_down(BOB)
            self.do(self.outbox.link_up(BOB, True, 10**6, self.now))
        for _ in range(4):
            self.count += 1
            to = ABSENT if self.count % 4 == 0 else BOB
            priority = PRIORITIES[self.count % 4]
            accepted = self.outbox.accept([Draft(to, "MSG", b"x", priority, 3600.0)], self.now)
            self.do(self.outbox.committed(accepted.ids, self.now))
            if self.count % 16 == 0:
                self.do(self.outbox.cancel(accepted.ids, self.now))
        foreign = MessageId(self.count.to_bytes(16, "big"))
        self.inbox.arrived(
            PUBLISHED, [Message(foreign, "MSG", b"", PUBLISHED, OWN)], True, self.now
        )
        for actions in self.save():
            self.do(actions)
        self.do(self.outbox.timer(self.now))

    def hours(self, first, last):
        for number in range(first * 60, last * 60):
            self.minute(number)
        for actions in self.save():
            self.do(actions)


def size_of(root):
    """Return the size in bytes of all that an object holds, but for classes, modules, functions."""
    seen, stack, total = set(), [root], 0
    while stack:
        one = stack.pop()
        if id(one) in seen or isinstance(one, type | type(gc) | type(size_of)):
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        stack.extend(gc.get_referents(one))
    return total


def test_in_24_hours_nothing_grows():
    """Ids of published nodes fill a day first: what is measured begins after 27 hours."""
    day = Day()
    day.hours(0, 27)
    before, count = size_of([day.outbox, day.inbox]), day.count
    day.hours(27, 51)
    grown = size_of([day.outbox, day.inbox]) - before
    assert day.count - count > 5_000
    assert grown / (day.count - count) < 40, "one message leaves less than its id, and tables vary"
    assert day.outbox.count(BOB) == 0
    assert 40 <= day.outbox.count(ABSENT) <= 60, "an hour of them"
    assert len(day.inbox._own) < 512
    assert len(day.inbox._foreign) < 27 * 60

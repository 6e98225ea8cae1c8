"""Outbox and inbox under any inputs in any order: what must hold after each of them."""

from __future__ import annotations

from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.support.outbox import BOB, CAROL, OWN, WALL

from ironmesh.delivery.actions import Commit, Draft, Load, SendFloor, Settled, Transmit
from ironmesh.delivery.entry import Stage
from ironmesh.delivery.inbox import Inbox, InboxLimits
from ironmesh.delivery.lane import OutboxLimits
from ironmesh.delivery.outbox import Outbox
from ironmesh.delivery.records import OutboxState
from ironmesh.errors import MessageTooLargeError, QueueFullError
from ironmesh.store.memory import MemoryStore
from ironmesh.types import PRIORITIES, Instant, Message
from ironmesh.wire.receipts import Floor, Receipt, Verdict, join_id, split_id

LIMITS = OutboxLimits(messages=6, payload_bytes=60, window_messages=2, cache_bytes=20)
peers = st.sampled_from([BOB, CAROL])
chances = st.integers(0, 10_000)


class OutboxMachine(RuleBasedStateMachine):
    """One outbox, two destinations, a store that is slow and fails, a node that dies."""

    def __init__(self):
        super().__init__()
        self.mono, self.wall = 10.0, WALL
        self.store = MemoryStore()
        self.returned = {}
        self.held = set()
        """These are at their destination: when they go again is of no matter."""
        self.draws = 0
        self.start()

    def start(self):
        self.outbox = Outbox(OWN, self.random, LIMITS)
        self.puts = deque()
        """Commits of what was accepted; those of its ends may overtake them."""
        self.commits = deque()
        self.loads = []
        self.links = {}
        self.given = {}
        self.told = {}
        self.do(self.outbox.restore(self.store.snapshot(), self.now))

    def random(self, size):
        self.draws += 1
        return self.draws.to_bytes(8, "big")[-size:]

    @property
    def now(self):
        return Instant(self.mono, self.wall)

    def do(self, actions):
        for action in actions:
            match action:
                case Commit():
                    self.commits.append((action.ops, action.ids))
                case Load():
                    self.loads.append(action)
                case Transmit():
                    self.transmit(action)
                case SendFloor():
                    self.check_floor(action)
                case Settled():
                    self.tell(action)

    def transmit(self, action):
        assert self.links[action.peer]
        given = self.given.setdefault(action.peer, {})
        for message in action.messages:
            assert message.destination == action.peer
            assert message.payload == self.returned[message.destination, message.id]
            row = next(
                row
                for row in self.store.history()
                if (row.destination, row.id) == (action.peer, message.id)
            )
            assert not row.state.is_end
            if message.id not in given and message.id not in self.held:
                same = [one for one, priority in given.items() if priority is message.priority]
                assert all(one < message.id for one in same), "newer ones went first"
            given[message.id] = message.priority

    def check_floor(self, action):
        on_disk = {
            split_id(row.id)[1]
            for row in self.store.history()
            if row.destination == action.peer and not row.state.is_end
        }
        number = action.floor.number
        assert all(one >= number for one in on_disk)
        epochs = {one.destination: one.next_number for one in self.store.snapshot().epochs}
        assert number <= epochs.get(action.peer, 1), "a start would give this number again"

    def tell(self, action):
        for one in action.ids:
            key = (action.peer, one)
            before = self.told.get(key)
            assert before is None or before is OutboxState.HELD, "a second end"
            self.told[key] = action.state
            if action.state is OutboxState.HELD:
                self.held.add(one)
            if action.state in (OutboxState.CANCELLED, OutboxState.EVICTED):
                row = next(
                    row
                    for row in self.store.history()
                    if (row.destination, row.id) == (action.peer, one)
                )
                assert row.state is action.state, "told before it is on disk"

    # --- Inputs ------------------------------------------------------------------------------

    @rule(
        peer=peers,
        priorities=st.lists(st.sampled_from(PRIORITIES), min_size=1, max_size=3),
        size=st.integers(0, 12),
        lifetime_s=st.sampled_from([3.0, 1000.0]),
    )
    def accept(self, peer, priorities, size, lifetime_s):
        drafts = [Draft(peer, "MSG", bytes(size), one, lifetime_s) for one in priorities]
        before = (self.outbox.count(peer), self.outbox.size_bytes(peer))
        try:
            accepted = self.outbox.accept(drafts, self.now)
        except (QueueFullError, MessageTooLargeError):
            assert (self.outbox.count(peer), self.outbox.size_bytes(peer)) == before
            return
        self.puts.append((accepted.ops, accepted.ids))
        for one in accepted.ids:
            self.returned[peer, one] = bytes(size)

    @precondition(lambda self: self.puts)
    @rule(is_ok=st.integers(0, 4).map(bool))
    def commit_accepted(self, is_ok):
        self.commit_first(self.puts, is_ok)

    @precondition(lambda self: self.commits)
    @rule(is_ok=st.integers(0, 4).map(bool))
    def commit(self, is_ok):
        self.commit_first(self.commits, is_ok)

    def commit_first(self, commits, is_ok):
        ops, ids = commits.popleft()
        if is_ok:
            self.store.apply(ops)
            self.do(self.outbox.committed(ids, self.now))
        else:
            self.do(self.outbox.commit_failed(ids, self.now))

    @precondition(lambda self: self.loads)
    @rule(is_ok=st.booleans())
    def load(self, is_ok):
        action = self.loads.pop(0)
        if is_ok:
            payloads = self.store.read([(action.peer, one) for one in action.ids])
            self.do(self.outbox.loaded(action.peer, action.ids, payloads, self.now))
        else:
            self.outbox.load_failed(action.peer, action.ids, self.now)

    @rule(peer=peers, can_confirm=st.integers(0, 3).map(bool))
    def link_up(self, peer, can_confirm):
        self.links[peer] = True
        self.given[peer] = {}
        self.do(self.outbox.link_up(peer, can_confirm, 10, self.now))

    @rule(peer=peers)
    def link_down(self, peer):
        self.links[peer] = False
        self.outbox.link_down(peer)

    def some(self, chance):
        ids = [one for _, one in self.returned]
        return [ids[chance % len(ids)]] if ids else []

    @rule(chance=chances)
    def written(self, chance):
        self.do(self.outbox.written(self.some(chance), self.now))

    @rule(
        peer=peers,
        chance=chances,
        verdict=st.sampled_from([*Verdict, Verdict.ACCEPTED, Verdict.ACCEPTED]),
    )
    def receipt(self, peer, chance, verdict):
        if self.some(chance):
            said = Receipt(verdict, tuple(self.some(chance)), "why")
            self.do(self.outbox.receipt(peer, said, self.now))

    @rule(chance=chances)
    def cancel(self, chance):
        self.do(self.outbox.cancel(self.some(chance), self.now))

    @rule(chance=chances)
    def retry(self, chance):
        self.do(self.outbox.retry(self.some(chance), self.now))

    @rule(seconds=st.sampled_from([0.1, 2.0, 6.0]), wall_jump=st.sampled_from([0.0, 0.0, -1e5]))
    def time_passes(self, seconds, wall_jump):
        self.mono += seconds
        self.wall += seconds + wall_jump
        self.do(self.outbox.timer(self.now))

    @rule(seconds=st.floats(0, 5))
    def die(self, seconds):
        self.store = self.store.crash()
        self.wall += seconds
        self.mono = 3.0
        self.start()

    # --- What holds --------------------------------------------------------------------------

    @invariant()
    def the_count_is_of_those_that_have_not_ended(self):
        entries = [
            entry
            for entry in self.outbox._shelf._entries.values()
            if entry.stage not in (Stage.ENDED, Stage.YIELDING)
        ]
        for peer in (BOB, CAROL):
            mine = [entry for entry in entries if entry.row.destination == peer]
            assert self.outbox.count(peer) == len(mine) <= LIMITS.messages + 2
            assert self.outbox.size_bytes(peer) == sum(one.row.size_bytes for one in mine)

    @invariant()
    def the_timer_is_never_behind(self):
        due = self.outbox.next_timer
        assert due is None or due >= 0

    def teardown(self):
        """In the end all that is on disk goes to its destination."""
        while self.puts:
            self.commit_accepted(True)
        for peer in (BOB, CAROL):
            self.link_up(peer, True)
        for _ in range(40):
            while self.commits or self.loads:
                if self.commits:
                    self.commit(True)
                if self.loads:
                    self.load(True)
            for peer in (BOB, CAROL):
                out = tuple(one for to, one in self.returned if to == peer)
                if out:
                    said = Receipt(Verdict.ACCEPTED, out)
                    self.do(self.outbox.receipt(peer, said, self.now))
            self.time_passes(6.0, 0.0)
        assert {row.state for row in self.store.history()} <= {
            state for state in OutboxState if state.is_end
        }
        assert not self.outbox._shelf._entries


class InboxMachine(RuleBasedStateMachine):
    """One inbox, two sources that repeat themselves, a store that fails, a node that dies."""

    def __init__(self):
        super().__init__()
        self.mono, self.wall = 10.0, WALL
        self.store = MemoryStore()
        self.next = {BOB: 1, CAROL: 1}
        self.receipted = set()
        self.seen = {}
        self.inbox = Inbox(InboxLimits(messages=5))
        self.ready = deque()
        self.batch = self.running = None

    @property
    def now(self):
        return Instant(self.mono, self.wall)

    def saved(self):
        return {(row.message.source, row.message.id) for row in self.store._disk.inbox.values()}

    def book(self, receipts):
        for answer in receipts:
            if answer.receipt.verdict is Verdict.ACCEPTED:
                for one in answer.receipt.ids:
                    assert (answer.peer, one) in self.saved(), "receipted before it is on disk"
                    self.receipted.add((answer.peer, one))

    @rule(source=peers, back=st.integers(0, 3), count=st.integers(1, 3))
    def arrive(self, source, back, count):
        """A source goes on, or starts over a few messages back."""
        first = max(1, self.next[source] - back)
        messages = [
            Message(join_id(b"epoch--1", number), "MSG", b"x", source, OWN)
            for number in range(first, first + count)
        ]
        if back:
            self.inbox.floor(source, Floor(b"epoch--1", 0, is_restart=True), self.now)
        arrival = self.inbox.arrived(source, messages, False, self.now)
        self.book(arrival.receipts)
        taken = count - arrival.refused
        self.next[source] = max(self.next[source], first + taken)
        assert arrival.new + arrival.duplicates + arrival.refused == count

    @precondition(lambda self: self.batch is None)
    @rule()
    def begin(self):
        self.batch = self.inbox.next_batch(self.now)

    @precondition(lambda self: self.batch is not None)
    @rule(is_ok=st.integers(0, 3).map(bool))
    def finish(self, is_ok):
        batch, self.batch = self.batch, None
        if is_ok:
            self.store.apply(batch.ops)
            ready = self.inbox.committed(batch)
            self.book(ready.receipts)
            self.ready.extend(ready.rows)
        else:
            self.inbox.commit_failed(batch, self.now)

    @precondition(lambda self: self.ready and self.running is None)
    @rule()
    def handler_begins(self):
        row = self.running = self.ready.popleft()
        self.inbox.started([row.sequence])
        self.store.note_started(row.sequence)
        key = (row.message.source, row.message.id)
        assert key not in self.seen or row.is_redelivered
        numbers = [split_id(one)[1] for source, one in self.seen if source == key[0]]
        if key not in self.seen:
            assert all(number < split_id(key[1])[1] for number in numbers), "out of order"
        self.seen[key] = False

    @precondition(lambda self: self.running is not None)
    @rule()
    def handler_ends(self):
        row, self.running = self.running, None
        self.store.note_completed(row.sequence)
        self.inbox.handled([row.sequence], self.now)
        self.seen[row.message.source, row.message.id] = True

    @rule(source=peers)
    def floor(self, source):
        """All that was receipted is settled."""
        numbers = {split_id(one)[1] for peer, one in self.receipted if peer == source}
        number = 1
        while number in numbers:
            number += 1
        self.inbox.floor(source, Floor(b"epoch--1", number), self.now)

    @rule(seconds=st.sampled_from([0.5, 5.0]))
    def time_passes(self, seconds):
        self.mono += seconds
        self.wall += seconds

    @rule(is_power_loss=st.booleans())
    def die(self, is_power_loss):
        self.store = self.store.crash(is_power_loss=is_power_loss)
        self.inbox = Inbox(InboxLimits(messages=5))
        self.ready = deque(self.inbox.restore(self.store.snapshot(), self.now))
        self.batch = self.running = None
        for source in self.next:
            numbers = [split_id(one)[1] for peer, one in self.saved() if peer == source]
            self.next[source] = max(numbers, default=0) + 1

    @invariant()
    def the_backlog_is_bounded(self):
        assert self.inbox.backlog <= 10

    def teardown(self):
        """In the end handlers have seen all that was receipted."""
        self.mono += 10
        if self.batch is not None:
            self.finish(True)
        self.begin()
        if self.batch is not None:
            self.finish(True)
        if self.running is not None:
            self.handler_ends()
        while self.ready:
            self.handler_begins()
            self.handler_ends()
        assert self.receipted <= {key for key, was_finished in self.seen.items() if was_finished}


TestOutbox = OutboxMachine.TestCase
TestOutbox.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestInbox = InboxMachine.TestCase
TestInbox.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

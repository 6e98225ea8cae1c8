"""Two ends over a pipe that delays: whatever they do, nothing is lost, swapped or doubled."""

from collections import deque
from typing import Any

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.support.legacy import NOW, connected, message, settings

from ironmesh.session.interface import PeerAlive, Rekeyed, UnitRefused
from ironmesh.session.legacy.channel import LegacyChannel
from ironmesh.session.legacy.settings import LegacySettings
from ironmesh.types import Instant, Message, MessageId, Refusal, Unit


class End:
    """One node: a queue that waits for its channel, and the pipe toward the other."""

    def __init__(self, party: LegacySettings, channel: LegacyChannel) -> None:
        self.party = party
        self.channel = channel
        self.queue: deque[Message] = deque()
        self.pipe: deque[Unit] = deque()
        self.sent: list[bytes] = []
        self.taken: list[bytes] = []
        self.rekeyed = 0

    def write(self, now: Instant) -> None:
        """Do what a link's writer does."""
        batch = [] if self.channel.is_holding else list(self.queue)
        if batch or self.channel.wants_write:
            self.pipe.extend(self.channel.seal(batch, now))
            for _ in batch:
                self.queue.popleft()

    def read(self, unit: Unit, now: Instant) -> None:
        """Do what a link's reader does."""
        opened = self.channel.open(unit, now)
        self.taken.extend(taken.payload for taken in opened.messages)
        for event in opened.events:
            if isinstance(event, UnitRefused):
                assert event.reason is Refusal.LIMIT, event
                assert "pings" in event.detail
            elif isinstance(event, Rekeyed):
                self.rekeyed += 1
                assert event.count == self.rekeyed
            else:
                assert isinstance(event, PeerAlive)


class TwoParties(RuleBasedStateMachine):
    """Sends, key changes (also crossing), pings, timers and partial deliveries, interleaved."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.number = 0
        self.ends: tuple[End, End] | None = None

    @precondition(lambda self: self.ends is None)
    @rule(
        interval=st.sampled_from([0.0, 1.0]),
        swaps=st.booleans(),
    )
    def meet(self, interval: float, swaps: bool) -> None:
        names = ("bob", "alice") if swaps else ("alice", "bob")
        one, other = (
            settings(name, protocol_version="ironmesh/0.9", rekey_interval_s=interval)
            for name in names
        )
        channels = connected(one, other, self.now)
        self.ends = (End(one, channels[0]), End(other, channels[1]))

    @precondition(lambda self: self.ends is not None)
    @rule(side=st.integers(0, 1), count=st.integers(1, 4))
    def send(self, side: int, count: int) -> None:
        own, other = self._sides(side)
        for _ in range(count):
            self.number += 1
            payload = self.number.to_bytes(4)
            own.sent.append(payload)
            own.queue.append(
                message(own.party, other.party, payload, id=MessageId(self.number.to_bytes(16)))
            )

    @precondition(lambda self: self.ends is not None)
    @rule(side=st.integers(0, 1))
    def rekey(self, side: int) -> None:
        own, _ = self._sides(side)
        could = not own.channel.is_holding
        assert not (own.channel.rekey(self.now) and not could)

    @precondition(lambda self: self.ends is not None)
    @rule(side=st.integers(0, 1))
    def ping(self, side: int) -> None:
        self._sides(side)[0].channel.ping(self.now)

    @precondition(lambda self: self.ends is not None)
    @rule(side=st.integers(0, 1))
    def write(self, side: int) -> None:
        self._sides(side)[0].write(self.now)

    @precondition(lambda self: self.ends is not None)
    @rule(side=st.integers(0, 1), count=st.integers(1, 3))
    def deliver(self, side: int, count: int) -> None:
        own, other = self._sides(side)
        for _ in range(min(count, len(own.pipe))):
            other.read(own.pipe.popleft(), self.now)

    @precondition(lambda self: self.ends is not None)
    @rule(seconds=st.floats(0.01, 0.4))
    def wait(self, seconds: float) -> None:
        self.now = Instant(self.now.mono + seconds, self.now.wall + seconds)
        for side in (0, 1):
            self._sides(side)[0].channel.on_timer(self.now)

    @invariant()
    def nothing_is_lost_swapped_or_doubled(self) -> None:
        for side in (0, 1) if self.ends else ():
            own, other = self._sides(side)
            assert other.taken == own.sent[: len(other.taken)]

    def teardown(self) -> None:
        if self.ends is None:
            return
        while any(
            end.pipe or end.channel.wants_write or (end.queue and not end.channel.is_holding)
            for end in self.ends
        ):
            for side in (0, 1):
                self.write(side)
                self.deliver(side, 1000)
        one, other = self.ends
        assert one.taken == other.sent
        assert other.taken == one.sent
        assert one.channel.rekey_count == other.channel.rekey_count == one.rekeyed == other.rekeyed
        assert not one.channel.is_holding
        assert not other.channel.is_holding

    def _sides(self, side: int) -> Any:
        assert self.ends is not None
        return self.ends[side], self.ends[1 - side]


TestTwoParties = TwoParties.TestCase
TestTwoParties.settings = hypothesis_settings(
    max_examples=60, stateful_step_count=50, deadline=None
)

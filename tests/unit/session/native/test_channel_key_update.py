"""Key changes of a session: from both sides, crossing, under load, and never at a loss."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.support.legacy import NOW, later
from tests.support.native_channel import ALICE, BOB, exchange, message, pair, reason, received

from ironmesh.crypto.identity import Identity
from ironmesh.errors import RemoteProtocolError
from ironmesh.session.interface import PeerAlive, Rekeyed
from ironmesh.session.native import wear
from ironmesh.session.native.channel import NativeChannel
from ironmesh.types import Instant, Message, MessageId, Refusal, Unit


class End:
    """One end, and the pipe toward the other."""

    def __init__(self, own: Identity, peer: Identity, channel: NativeChannel) -> None:
        self.own, self.peer, self.channel = own, peer, channel
        self.queue: list[Message] = []
        self.pipe: deque[Unit] = deque()
        self.sent: list[bytes] = []
        self.taken: list[bytes] = []
        self.rekeyed = 0

    def write(self, now: Instant) -> None:
        if self.queue or self.channel.wants_write:
            self.pipe.extend(self.channel.seal(self.queue, now))
            self.queue = []

    def read(self, unit: Unit, now: Instant) -> None:
        opened = self.channel.open(unit, now)
        self.taken += [one.payload for one in opened.messages]
        self.rekeyed += sum(isinstance(event, Rekeyed) for event in opened.events)
        assert all(isinstance(event, Rekeyed | PeerAlive) for event in opened.events)


class TwoEnds(RuleBasedStateMachine):
    """Sends, key changes (also crossing) and partial deliveries, interleaved."""

    def __init__(self) -> None:
        super().__init__()
        alice, bob = pair()
        self.ends = (End(ALICE, BOB, alice), End(BOB, ALICE, bob))
        self.number = 0

    @rule(side=st.integers(0, 1), count=st.integers(1, 3))
    def send(self, side: int, count: int) -> None:
        end = self.ends[side]
        for _ in range(count):
            self.number += 1
            payload = self.number.to_bytes(4)
            end.sent.append(payload)
            name = MessageId(payload * 4)
            end.queue.append(message(end.own, end.peer, payload, id=name))

    @rule(side=st.integers(0, 1))
    def rekey(self, side: int) -> None:
        self.ends[side].channel.rekey(NOW)

    @rule(side=st.integers(0, 1))
    def write(self, side: int) -> None:
        self.ends[side].write(NOW)

    @rule(side=st.integers(0, 1), count=st.integers(1, 3))
    def deliver(self, side: int, count: int) -> None:
        own, other = self.ends[side], self.ends[1 - side]
        for _ in range(min(count, len(own.pipe))):
            other.read(own.pipe.popleft(), NOW)

    @invariant()
    def nobody_ever_holds(self) -> None:
        assert not any(end.channel.is_holding for end in self.ends)

    def teardown(self) -> None:
        one, other = self.ends
        while any(end.queue or end.pipe or end.channel.wants_write for end in self.ends):
            for own, peer in ((one, other), (other, one)):
                own.write(NOW)
                while own.pipe:
                    peer.read(own.pipe.popleft(), NOW)
        assert (one.taken, other.taken) == (other.sent, one.sent)
        assert one.channel.rekey_count == other.channel.rekey_count == one.rekeyed == other.rekeyed


TestTwoEnds = TwoEnds.TestCase
TestTwoEnds.settings = hypothesis_settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("is_hybrid", [False, True])
@pytest.mark.parametrize("starter", [0, 1])
def test_a_key_change_is_seen_at_both_ends(starter: int, is_hybrid: bool) -> None:
    ends = pair(is_hybrid=is_hybrid)
    assert ends[starter].rekey(NOW)
    assert not ends[starter].rekey(NOW)
    assert exchange(*ends) == ([Rekeyed(1)], [Rekeyed(1)])
    assert received(ends[1], ends[0].seal([message()], NOW)) == [message()]


def test_of_two_that_cross_one_stands() -> None:
    alice, bob = pair(is_hybrid=True)
    assert alice.rekey(NOW)
    assert bob.rekey(NOW)
    for unit, other in ((alice.seal([], NOW)[0], bob), (bob.seal([], NOW)[0], alice)):
        other.open(unit, NOW)
    exchange(alice, bob)
    assert (alice.rekey_count, bob.rekey_count) == (1, 1)


def test_phases_count_on_past_255() -> None:
    alice, bob = pair()
    for _ in range(260):
        alice.rekey(NOW)
        exchange(alice, bob)
    assert received(bob, alice.seal([message()], NOW)) == [message()]


def test_nothing_can_be_cut_off_at_a_change_of_keys() -> None:
    alice, bob = pair()
    alice.rekey(NOW)
    bob.open(*alice.seal([], NOW), NOW)
    alice.open(*bob.seal([], NOW), NOW)
    updated, new = alice.seal([message()], NOW)
    assert updated != new
    assert reason(bob, new) is Refusal.ORDER


def test_keys_are_changed_after_use_and_not_for_pings() -> None:
    alice, bob = pair(rekey_interval_s=600.0, is_hybrid=True)
    count = 0
    for minute in range(60 * 24):
        at = later(60.0 * minute)
        if minute < 60:
            received(bob, alice.seal([message()], at), at)
        for end in (alice, bob):
            end.on_timer(at)
        exchange(alice, bob, at)
        if minute == 90:
            count = alice.rekey_count
    assert 4 <= alice.rekey_count <= 6
    assert alice.rekey_count == count


def test_the_smaller_node_id_starts_first() -> None:
    alice, bob = pair(rekey_interval_s=600.0)
    received(bob, alice.seal([message()], NOW))
    smaller, larger = (alice, bob) if ALICE.node_id < BOB.node_id else (bob, alice)
    for end in (larger, smaller):
        end._liveness.hear(later(600).mono)
        end.on_timer(later(600))
        end._liveness.take_controls(later(600).mono)
    assert (smaller.wants_write, larger.wants_write) == (True, False)


def test_a_peer_that_does_not_answer_a_change_is_left() -> None:
    alice, bob = pair(rekey_interval_s=600.0)
    received(bob, alice.seal([message()], NOW))
    for end in (alice, bob):
        end._liveness.hear(later(1400).mono)
        end.on_timer(later(700))
        with pytest.raises(RemoteProtocolError) as caught:
            end.on_timer(later(1400))
        assert caught.value.reason is Refusal.LIMIT


def test_a_machine_that_slept_asks_for_the_change_before_it_blames_the_peer() -> None:
    alice, bob = pair(rekey_interval_s=600.0)
    received(bob, alice.seal([message()], NOW))
    for end in (alice, bob):
        end._liveness.hear(later(5000).mono)
        end.on_timer(later(5000))
    exchange(alice, bob, later(5000))
    assert alice.rekey_count == bob.rekey_count == 1


def test_a_short_interval_still_leaves_the_peer_a_minute() -> None:
    alice, bob = pair(rekey_interval_s=0.05)
    received(bob, alice.seal([message()], NOW))
    alice.on_timer(later(1))
    alice.on_timer(later(60))
    exchange(alice, bob, later(60))
    assert alice.rekey_count == bob.rekey_count == 1


@pytest.mark.parametrize("what", ["REKEY_RECORDS", "REKEY_BYTES"])
def test_keys_are_changed_after_much_and_the_session_ends_after_twice_as_much(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = pair()
    monkeypatch.setattr(wear, what, 20 if what == "REKEY_RECORDS" else 2000)
    while not alice.wants_write and not bob.wants_write:
        received(bob, alice.seal([message()], NOW))
    exchange(alice, bob)
    assert alice.rekey_count == bob.rekey_count == 1

    def write_on() -> None:
        for _ in range(60):
            alice.seal([message()], NOW)

    with pytest.raises(RemoteProtocolError) as caught:
        write_on()
    assert caught.value.reason is Refusal.LIMIT


def test_a_session_of_a_day_grows_by_nothing() -> None:
    alice, bob = pair(rekey_interval_s=600.0)
    for minute in range(60 * 24):
        at = later(60.0 * minute)
        received(bob, alice.seal([message()], at), at)
        received(alice, bob.seal([message(BOB, ALICE)], at), at)
        for end in (alice, bob):
            end.on_timer(at)
        exchange(alice, bob, at)
    assert 24 * 5 <= alice.rekey_count == bob.rekey_count <= 24 * 6
    for end in (alice, bob):
        assert len(end._liveness._unanswered) <= 16
        assert not end._liveness._pongs
        assert end._chunks.size_bytes == 0
        assert end._writer is not None
        assert end._writer.records <= 40

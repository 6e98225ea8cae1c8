"""The replay guard against the vectors, and the memory of challenges."""

import pytest
from tests.support import vectors
from tests.support.legacy import NOW, refusal_of, seeded

from ironmesh.errors import RemoteProtocolError
from ironmesh.session.legacy.nonces import MAX_NONCES, REMEMBERED_S, NonceLedger
from ironmesh.session.legacy.replay import ReplayGuard
from ironmesh.types import Refusal

STEPS = vectors.load("frame_negative")["replay_guard"]


def test_the_guard_decides_every_step_of_the_vectors() -> None:
    guard = ReplayGuard(limit=2**64 - 1)
    for step in STEPS:
        timestamp = NOW.wall + step["timestamp_offset_s"]
        reason = refusal_of(guard.accept, step["sequence"], timestamp, NOW.wall)
        assert (reason is None) is (step["expect"] == "accept"), step["note"]
        if reason is not None:
            is_time = "too" in step["note"] and step["timestamp_offset_s"]
            assert reason is (Refusal.CLOCK_SKEW if is_time else Refusal.REPLAY)


def test_our_guard_does_not_let_one_frame_use_up_the_numbers() -> None:
    guard = ReplayGuard()
    assert refusal_of(guard.accept, 2**48 + 1, NOW.wall, NOW.wall) is Refusal.REPLAY
    assert refusal_of(guard.accept, 2**48, NOW.wall, NOW.wall) is None


def test_a_clock_that_is_off_comes_with_the_fix() -> None:
    with pytest.raises(RemoteProtocolError, match=r"\+3600\.0 s.*NTP"):
        ReplayGuard().accept(1, NOW.wall + 3600, NOW.wall)


def test_challenges_are_remembered_in_both_byte_orders_for_a_while() -> None:
    ledger, random = NonceLedger(), seeded("nonces")
    issued, answered = random(32), random(32)
    ledger.issue(issued, 0.0)
    ledger.answer(answered, 1.0)
    for nonce, reason in ((issued, Refusal.SELF), (answered, Refusal.REFLECTED)):
        assert refusal_of(ledger.answer, nonce, 2.0) is reason
        assert refusal_of(ledger.answer, nonce[::-1], REMEMBERED_S - 1) is reason
    assert refusal_of(ledger.answer, random(32), REMEMBERED_S + 2.0) is None
    assert refusal_of(ledger.answer, answered, REMEMBERED_S + 3.0) is None
    assert len(ledger) == 2


def test_the_memory_of_challenges_is_bounded() -> None:
    ledger = NonceLedger()
    for number in range(MAX_NONCES + 100):
        ledger.issue(number.to_bytes(32), 0.0)
    assert len(ledger) == MAX_NONCES

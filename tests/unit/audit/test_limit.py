"""A flood of one kind of event is counted, not written."""

from __future__ import annotations

from tests.support.trust import at

from ironmesh.audit.events import AuditEvent
from ironmesh.audit.limit import EventLimiter


def test_a_burst_passes_and_then_a_slow_stream() -> None:
    limiter = EventLimiter(burst=5, per_minute=60)
    assert sum(limiter.admit(AuditEvent.AUTH_FAILED, at(0)) for _ in range(50)) == 5
    assert sum(limiter.admit(AuditEvent.AUTH_FAILED, at(10)) for _ in range(50)) == 5
    assert sum(limiter.admit(AuditEvent.AUTH_FAILED, at(12)) for _ in range(50)) == 2


def test_one_kind_does_not_use_up_another() -> None:
    limiter = EventLimiter(burst=1, per_minute=1)
    assert limiter.admit(AuditEvent.AUTH_FAILED, at(0))
    assert not limiter.admit(AuditEvent.AUTH_FAILED, at(0))
    assert limiter.admit(AuditEvent.PEER_PINNED, at(0))


def test_what_was_suppressed_is_told_once_with_its_number_and_time() -> None:
    limiter = EventLimiter(burst=1, per_minute=1)
    for second in range(10):
        limiter.admit(AuditEvent.AUTH_FAILED, at(second))
    assert limiter.take_suppressed(at(30)) == []
    (told,) = limiter.take_suppressed(at(61))
    assert (told.event, told.count, told.since) == (AuditEvent.AUTH_FAILED, 9, at(1))
    assert limiter.take_suppressed(at(200)) == []


def test_at_the_end_everything_is_told() -> None:
    limiter = EventLimiter(burst=1, per_minute=1)
    for _ in range(3):
        limiter.admit(AuditEvent.AUTH_FAILED, at(0))
    assert [told.count for told in limiter.take_suppressed(at(0), all_kinds=True)] == [2]

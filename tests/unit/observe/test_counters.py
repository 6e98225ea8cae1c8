"""Counters only grow and are told by name."""

from __future__ import annotations

import pytest

from ironmesh.observe.counters import Counters
from ironmesh.types import Refusal


def test_a_counter_grows_from_nothing() -> None:
    counters = Counters()
    counters.add("links.opened")
    counters.add("bytes.sent", 100)
    counters.add("links.opened")
    assert counters.snapshot() == {"bytes.sent": 100, "links.opened": 2}
    assert counters["never"] == 0
    assert "never" not in counters.snapshot()


def test_refusals_are_counted_by_their_reason() -> None:
    counters = Counters()
    counters.refused(Refusal.REPLAY)
    counters.refused(Refusal.REPLAY, 2)
    assert counters.snapshot() == {"refused.replay": 3}


def test_a_counter_never_shrinks() -> None:
    with pytest.raises(ValueError, match="only grows"):
        Counters().add("x", -1)


def test_a_snapshot_does_not_change_later() -> None:
    counters = Counters()
    before = counters.snapshot()
    counters.add("x")
    assert before == {}

"""A flood of refusals is counted in full and logged with restraint."""

from __future__ import annotations

import logging

import pytest
from tests.support.trust import at

from ironmesh.observe import refusals
from ironmesh.observe.counters import Counters
from ironmesh.observe.refusals import RefusalLog
from ironmesh.types import Refusal


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def told(counters: Counters, caplog: pytest.LogCaptureFixture) -> RefusalLog:
    caplog.set_level(logging.DEBUG)
    return RefusalLog(logging.getLogger("ironmesh.test"), counters)


def test_the_same_refusal_is_logged_once_a_minute_with_its_repeats(told, counters, caplog) -> None:
    for second in range(61):
        told.note(Refusal.REPLAY, "ab12", "sequence 5 again", at(second))
    assert [record.fields["repeats"] for record in caplog.records] == [0, 59]
    assert caplog.records[0].fields["source"] == "ab12"
    assert counters["refused.replay"] == 61


def test_other_reasons_and_sources_have_lines_of_their_own(told, caplog) -> None:
    told.note(Refusal.REPLAY, "a", "", at(0))
    told.note(Refusal.REPLAY, "b", "", at(0))
    told.note(Refusal.PROTOCOL, "a", "", at(0), level=logging.DEBUG)
    assert [record.levelno for record in caplog.records] == [30, 30, 10]


def test_memory_is_bounded_by_the_newest_sources(told, monkeypatch) -> None:
    monkeypatch.setattr(refusals, "MAX_SOURCES", 10)
    for number in range(1000):
        told.note(Refusal.BUSY, f"source-{number}", "", at(0))
    assert len(told._sources) == 10

"""Tasks of a node: none outlives it, and what escapes one is told."""

from __future__ import annotations

import asyncio
import gc

import pytest

from ironmesh.node.supervisor import TaskSupervisor
from ironmesh.observe.counters import Counters


async def test_work_that_is_cancelled_before_its_first_step_is_not_left_behind() -> None:
    """A coroutine that nobody ever waited for would warn, which fails this test."""
    tasks, steps = TaskSupervisor(Counters()), []

    async def work() -> None:
        steps.append("begun")

    tasks.spawn(work(), name="work")
    await tasks.close()
    gc.collect()
    assert steps == []


async def test_the_end_waits_for_what_a_cancelled_task_still_does() -> None:
    tasks, steps = TaskSupervisor(Counters()), []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            steps.append("tidied")

    tasks.spawn(work(), name="work")
    await asyncio.sleep(0)
    await tasks.close()
    assert steps == ["tidied"]


async def test_a_crash_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    counters = Counters()
    tasks = TaskSupervisor(counters)

    async def work() -> None:
        raise ValueError("boom")

    await tasks.spawn(work(), name="some work")
    assert counters["internal_errors"] == 1
    assert "some work failed" in caplog.text

"""Capabilities that a program advertises outlast the run, and nothing about them stops a node."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.legacy import seeded
from tests.support.parcels import ALICE

from ironmesh.mesh.capabilities import MAX_CAPABILITIES
from ironmesh.node.capabilities import CapabilityExchange
from ironmesh.node.kept_capabilities import KeptCapabilities
from ironmesh.node.linktable import LinkTable
from ironmesh.node.supervisor import TaskSupervisor
from ironmesh.observe.counters import Counters
from ironmesh.store.mesh_state import CAPABILITIES, MeshState
from ironmesh.types import Message, NodeId, Secret


def _no_message(destination: NodeId, msg_type: str, payload: bytes) -> Message:
    raise AssertionError(f"nobody is online: {destination} {msg_type} {payload!r}")


class Run:
    """One run of a node, as far as its capabilities go."""

    def __init__(self, folder: Path, configured: tuple[str, ...] = ()) -> None:
        self.counters = Counters()
        self.own = CapabilityExchange(
            ALICE.node_id,
            configured,
            links=LinkTable(ALICE.node_id),
            counters=self.counters,
            make_message=_no_message,
        )
        self.state = MeshState(folder, Secret(bytes(32)), seeded("nonces"))
        self.kept = KeptCapabilities(
            self.own, self.state, TaskSupervisor(self.counters), self.counters
        )
        self.kept.restore()


async def test_what_was_advertised_is_there_in_the_next_run(tmp_path: Path) -> None:
    run = Run(tmp_path, ("tool:clock",))
    await run.kept.advertise("llm:llama3")
    run.own.advertise("of the mesh itself")
    assert Run(tmp_path).own.own() == ["llm:llama3"]
    await run.kept.withdraw("llm:llama3")
    assert Run(tmp_path, ("tool:clock",)).own.own() == ["tool:clock"]


async def test_the_last_of_many_quick_changes_is_kept(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for number in range(50):
        run.kept.advertise(f"tool:{number}")
        if number:
            run.kept.withdraw(f"tool:{number - 1}")
    await run.kept.settle()
    assert Run(tmp_path).own.own() == ["tool:49"]
    await Run(tmp_path).kept.settle()


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda _: b"", lambda data: data + b"x"])
async def test_a_damaged_file_is_told_of_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[bytes], bytes]
) -> None:
    await Run(tmp_path).kept.advertise("llm:llama3")
    path = tmp_path / CAPABILITIES
    path.write_bytes(spoil(path.read_bytes()))
    again = Run(tmp_path, ("tool:clock",))
    assert again.own.own() == ["tool:clock"]
    assert "the capabilities of the last run are not advertised" in caplog.text
    await again.kept.advertise("llm:phi")
    assert Run(tmp_path).own.own() == ["llm:phi"]


async def test_more_than_a_node_may_advertise_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await Run(tmp_path).kept.advertise("llm:llama3")
    configured = tuple(f"tool:{number}" for number in range(MAX_CAPABILITIES))
    assert "llm:llama3" not in Run(tmp_path, configured).own.own()
    assert "'llm:llama3' is not advertised any more" in caplog.text


async def test_where_nothing_can_be_written_it_lasts_for_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "store"
    folder.write_text("no folder")
    run = Run(tmp_path)
    run.state._folder = folder
    with caplog.at_level(logging.WARNING):
        await run.kept.advertise("llm:llama3")
    assert run.own.own() == ["llm:llama3"]
    assert "advertised in this run only" in caplog.text
    assert run.counters.snapshot()["store_errors"] == 1

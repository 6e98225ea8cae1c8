"""Which way messages go: a link before a path, and a start over on each change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
from tests.support.nodes import eventually
from tests.support.stores import ALICE, BOB
from tests.unit.node.test_outgoing import FakeLink, Office

from ironmesh.node.linktable import LinkTable
from ironmesh.node.ways import Ways
from ironmesh.types import Message, NodeId


class Path(FakeLink):
    """A way over other nodes."""

    def __init__(self, *, is_usable: bool = True) -> None:
        super().__init__()
        self.is_usable = is_usable


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    made = Office()
    yield made
    await made.outgoing.close()
    await made.tasks.close()


def test_the_first_that_knows_a_usable_way_is_asked() -> None:
    ways = Ways(LinkTable(ALICE))
    broken, first, second = Path(is_usable=False), Path(), Path()
    for path in (None, broken, first, second):
        ways.add(lambda destination, path=path: path if destination == BOB else None)  # type: ignore[misc]
    assert ways.get(BOB) is first
    assert ways.get(ALICE) is None


async def test_what_waits_goes_when_a_path_is_found_and_again_on_the_next_one(
    office: Office,
) -> None:
    paths: dict[NodeId, Path] = {}
    office.outgoing._ways.add(paths.get)
    await office.accept(b"one")
    first = paths[BOB] = Path()
    office.outgoing.way_changed(BOB)
    office.outgoing.way_changed(BOB)
    await eventually(lambda: _texts(first.messages) == [b"one"])
    del paths[BOB]
    office.outgoing.way_changed(BOB)
    await office.accept(b"two")
    second = paths[BOB] = Path()
    office.outgoing.way_changed(BOB)
    await eventually(lambda: _texts(second.messages) == [b"one", b"two"])
    assert _texts(first.messages) == [b"one"]


def _texts(messages: Sequence[Message]) -> list[bytes]:
    return [message.payload for message in messages if message.type == "MSG"]

"""Nodes on the in-memory network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.support.nodes import MemoryTransport, Nodes, running_nodes

from ironmesh.transport.memory import MemoryNetwork


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    """A maker of nodes, which are stopped when the test ends."""
    async with running_nodes(tmp_path) as made:
        yield made


@pytest.fixture
def place() -> Callable[[], MemoryTransport]:
    """Give each caller a place of its own in one memory network."""
    network = MemoryNetwork()
    return lambda: MemoryTransport(network)

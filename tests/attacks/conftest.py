"""Real nodes on real sockets, and somebody who means them harm."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.nodes import Nodes, running_nodes


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    """A maker of nodes, which are stopped when the test ends."""
    async with running_nodes(tmp_path) as made:
        yield made

"""Real nodes on real sockets, and somebody who means them harm."""

from __future__ import annotations

import ssl
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.support.certificates import make_certificate
from tests.support.nodes import Nodes, running_nodes
from tests.support.outer import OUTER
from tests.support.siege import Siege, besieged

from ironmesh.transport.tls import server_context


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    """A maker of nodes, which are stopped when the test ends."""
    async with running_nodes(tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> list[ssl.SSLContext]:
    """The TLS of the nodes, and that of their attackers."""
    made = [make_certificate(tmp_path_factory.mktemp("certificate")) for _ in range(2)]
    return [server_context(files.certificate, files.key) for files in made]


@pytest.fixture(params=["ws", "wss"])
def outer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test without TLS, and once more with TLS between the nodes and whoever attacks."""
    if request.param == "wss":
        nodes, attackers = request.getfixturevalue("certificates")
        monkeypatch.setattr(OUTER, "nodes", nodes)
        monkeypatch.setattr(OUTER, "attackers", attackers)


@pytest.fixture
async def siege(nodes: Nodes) -> AsyncIterator[Siege]:
    """Alice talks with bob all the time; at the end nothing of it may lack, or have been cut."""
    async with besieged(nodes) as under_attack:
        yield under_attack


@pytest.fixture
def traced() -> Iterator[None]:
    """Count memory."""
    tracemalloc.start()
    yield
    tracemalloc.stop()

"""Fixtures of the interop tests: fresh nodes of both packages, killed when the test ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.interop.pairs import Pairs
from tests.support.agent_process import AgentProcess
from tests.support.certificates import CertificateFiles, make_certificate
from tests.support.our_node import OurNode
from tests.support.published import PublishedNode, missing_reason


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, where the published package is not installed."""
    reason = missing_reason()
    here = Path(__file__).parent
    for item in items:
        if reason and item.path.is_relative_to(here):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
async def nodes() -> AsyncIterator[AsyncExitStack]:
    """Whatever enters is killed when the test ends, the last one first."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def ours(tmp_path: Path, nodes: AsyncExitStack) -> Callable[..., Any]:
    """Start a node of ours: `await ours(name=..., allow_plaintext=True, ...)`."""
    return _starter(OurNode, tmp_path, nodes)


@pytest.fixture
def published(tmp_path: Path, nodes: AsyncExitStack) -> Callable[..., Any]:
    """Start a published node: `await published(name=..., start={"id_below": ...}, ...)`."""
    return _starter(PublishedNode, tmp_path, nodes)


def _starter(kind: type[AgentProcess], folder: Path, nodes: AsyncExitStack) -> Callable[..., Any]:
    async def start(name: str | None = None, **kwargs: Any) -> AgentProcess:
        home = folder / f"{kind.__name__.lower()}-{len(list(folder.iterdir()))}"
        return await nodes.enter_async_context(kind(home, name, **kwargs))

    return start


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    """A self-signed certificate for loopback."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def pairs(
    ours: Callable[..., Any], published: Callable[..., Any], certificate: CertificateFiles
) -> Pairs:
    """Start a node of ours with a published one: `pair = await pairs.connected("ours", "wss")`."""
    return Pairs(ours, published, certificate)

"""Agents in a test's own process, and a mailbox that their handlers fill."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from ironmesh import Agent
from ironmesh.config import MINIMAL_KDF

PASSPHRASE = "correct horse battery staple"
WAIT_S = 10.0
"""How long a test waits for what must happen; far more than it takes."""
QUIET: dict[str, Any] = {
    "passphrase": PASSPHRASE,
    "port": 0,
    "bind_address": "127.0.0.1",
    "mdns": False,
    "kdf": MINIMAL_KDF,
}

Make = Callable[..., Agent]
T = TypeVar("T")


def agents() -> Iterator[Make]:
    """Make agents that take any free port and announce nothing; all are stopped at the end.

    A test file makes a fixture of it: `make = pytest.fixture(agents, name="make")`.
    """
    made: list[Agent] = []

    def make(name: str = "alice", **settings: Any) -> Agent:
        if not settings.keys() & {"home", "passphrase", "keys_path", "keys_passphrase"}:
            prepare(name)
        agent = Agent(name, **{**QUIET, **settings})
        made.append(agent)
        return agent

    yield make
    for agent in made:
        agent.stop()


def prepare(name: str) -> None:
    """Spare an agent of this name its first start, which costs a second of work."""
    folder = Path.home() / ".ironmesh" / "nodes" / name
    if not folder.exists():
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copytree(_after_first_start(name), folder)


@cache
def _after_first_start(name: str) -> Path:
    agent = Agent(name, home=_kept.name, **QUIET)
    agent.run(foreground=False)
    agent.stop()
    return Path(_kept.name) / "nodes" / name


_kept = tempfile.TemporaryDirectory(prefix="ironmesh-agents-")


def start(*some: Agent) -> None:
    """Start agents in the background."""
    for agent in some:
        agent.run(foreground=False)


def connect(one: Agent, other: Agent) -> None:
    """Dial from one agent to another, and wait until both know of it."""
    loop = one.daemon.loop
    assert loop is not None
    dialling = one.daemon.connect_to_peer("127.0.0.1", other.daemon.port)
    assert asyncio.run_coroutine_threadsafe(dialling, loop).result(WAIT_S) == other.node_id
    eventually(lambda: other.peer_by_name(one.name) is not None, "both online")


def eventually(condition: Callable[[], T], what: str = "it") -> T:
    """Return what `condition` gives once that is true; for what no event tells of."""
    end = time.monotonic() + WAIT_S
    while not (found := condition()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.002)
    return found


class Mailbox:
    """Keeps what handlers got, and lets a test wait for it."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self._changed = threading.Condition()

    def put(self, *item: Any) -> None:
        """Keep one item."""
        with self._changed:
            self.items.append(item[0] if len(item) == 1 else item)
            self._changed.notify_all()

    def wait(self, count: int = 1, *, timeout: float = WAIT_S) -> list[Any]:
        """Return what there is, once it is `count` items."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self.items) >= count, timeout)
            assert arrived, f"{len(self.items)} of {count}: {self.items}"
            return list(self.items)

"""The published package, 0.8.5.7, as a live peer: how to run it and what it needs.

It lives in an environment of its own (`make .venv-published`), since its import name is ours too.
Its nodes take five connections in quick succession and twenty messages a second: use one node for
one test.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.agent_process import AgentProcess

ROOT = Path(__file__).resolve().parents[2]
PYTHON_VARIABLE = "IRONMESH_PUBLISHED_PYTHON"
VERSION = "0.8.5.7"
FRAMES_PER_SECOND = 20
FRAME_BURST = 100


def published_python() -> Path:
    """Return the interpreter of the published package's environment, there or not."""
    return Path(os.environ.get(PYTHON_VARIABLE) or ROOT / ".venv-published" / "bin" / "python")


def missing_reason() -> str | None:
    """Tell why the published node cannot run here; None = it can."""
    python = published_python()
    if python.exists():
        return None
    return f"no published node at {python}: run `make test` once, or set {PYTHON_VARIABLE}"


class PublishedNode(AgentProcess):
    """A live published node. Its files are in `home`, its identity is kept over restarts."""

    def python(self) -> Sequence[str]:
        return (str(published_python()), "-P")

    def agent_kwargs(self) -> dict[str, Any]:
        folder = self.home / ".ironmesh"
        folder.mkdir(exist_ok=True)
        names = {
            "keys_path": "keys.json",
            "db_path": "data.db",
            "routes_path": "routes.json",
            "capabilities_path": "capabilities.json",
            "trust_path": "known_peers.json",
        }
        return {key: str(folder / name) for key, name in names.items()}


FREQUENT_PINGS = {"daemon_attributes": {"_heartbeat_interval": 0.5}}
"""`start` fields of a node that pings twice a second instead of every 30 s."""

EARLY_HANDLERS = {"early_handlers": True}
"""`start` fields of a node that may be sent to while it starts.

A published agent accepts connections a moment before it attaches its `on_message` handlers.
"""

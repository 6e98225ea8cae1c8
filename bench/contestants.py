"""Who is measured: our package and the published one, each with its interpreter and settings."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCES: Final = ROOT / "src" / "ironmesh"
PYTHON_VARIABLE: Final = "IRONMESH_PUBLISHED_PYTHON"


@dataclass(frozen=True, slots=True)
class Contestant:
    """One package in one setting."""

    key: str
    title: str
    python: Path
    is_published: bool
    is_lifted: bool = False
    """The published node's rate limits are taken away."""

    @property
    def program(self) -> Path:
        """Its `ironmesh` command."""
        return self.python.parent / "ironmesh"

    @property
    def is_limited(self) -> bool:
        """It drops what comes too fast."""
        return self.is_published and not self.is_lifted

    def agent_kwargs(
        self,
        home: Path,
        *,
        is_tls: bool = False,
        is_discovering: bool = True,
        is_in_line: bool = False,
    ) -> dict[str, Any]:
        """Return the constructor arguments of `Agent` that keep a node's files in `home`.

        Ours speaks the native wire, as it does unless it is told otherwise.
        """
        common: dict[str, Any] = {"bind": "127.0.0.1", "open_discovery": False}
        if not is_tls:
            common["allow_plaintext"] = True
        if not self.is_published:
            return {**common, "home": str(home), "mdns": is_discovering}
        if is_in_line:  # else it tells of other nodes after half a minute
            common["route_announce_interval"] = 1
        files = {
            "keys_path": "keys.json",
            "db_path": "data.db",
            "routes_path": "routes.json",
            "capabilities_path": "capabilities.json",
            "trust_path": "known_peers.json",
        }
        return {**common, **{key: str(home / name) for key, name in files.items()}}


def published_python() -> Path:
    """Return the interpreter of the published package's environment, there or not."""
    return Path(os.environ.get(PYTHON_VARIABLE) or ROOT / ".venv-published" / "bin" / "python")


OURS: Final = Contestant("ours", "IronMesh", Path(sys.executable), is_published=False)
LIFTED: Final = Contestant(
    "published_lifted",
    "0.8.5.7, limits lifted",
    published_python(),
    is_published=True,
    is_lifted=True,
)
AS_GOT: Final = Contestant(
    "published", "0.8.5.7, as installed", published_python(), is_published=True
)
EVERYBODY: Final = (OURS, LIFTED, AS_GOT)

"""Our own package behind the same driver as the published one, in a process that can be killed."""

from __future__ import annotations

from typing import Any

from tests.support.agent_process import AgentProcess


class OurNode(AgentProcess):
    """A live node of ours: with the 0.8 wire, without mDNS, unless a test says otherwise."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["start"] = {"minimal_kdf": True, **kwargs.get("start", {})}
        super().__init__(*args, **kwargs)

    def agent_kwargs(self) -> dict[str, Any]:
        return {
            "home": str(self.home / ".ironmesh"),
            "mdns": False,
            "allow_legacy": True,
            "legacy_same_passphrase": True,
        }

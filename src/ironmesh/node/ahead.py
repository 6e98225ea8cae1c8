"""What is needed soon, loaded ahead by whoever would only wait.

At a start that is the thread which asked for it, while another one derives keys. The allocator
gives each thread an arena of its own, which keeps what the thread loads, with its gaps: half a
megabyte less is taken if one thread loads everything. At a first link it is the end that dialled,
while the other one does the same before its last word of the handshake.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Final

from ironmesh.config import NodeConfig

_FOR_A_LINK: Final = (
    "ironmesh.mesh.routing.router",
    "ironmesh.mesh.records",
    "ironmesh.node.mesh.service",
)
"""In steps: in between, the loop goes on."""


def load_ahead(config: NodeConfig) -> None:
    """Load the code of the store, the listener and discovery; may be called in any thread."""
    import_module("ironmesh.store.database.engine")
    import_module("ironmesh.transport.websocket.listener")
    if config.mdns:
        import_module("ironmesh.discovery.presence")


async def load_for_a_link() -> None:
    """Load the code that a first link with a node of ours needs once both ends are up."""
    for name in _FOR_A_LINK:
        await asyncio.sleep(0)
        import_module(name)

"""What a start needs soon, loaded ahead by a thread that would only wait.

The allocator gives each thread an arena of its own, which keeps what the thread loads, with its
gaps: half a megabyte less is taken if one thread loads everything, while another derives keys.
"""

from __future__ import annotations

from importlib import import_module

from ironmesh.config import NodeConfig


def load_ahead(config: NodeConfig) -> None:
    """Load the code of the store, the listener and discovery; may be called in any thread."""
    import_module("ironmesh.store.database.engine")
    import_module("ironmesh.transport.websocket.listener")
    if config.mdns:
        import_module("ironmesh.discovery.presence")

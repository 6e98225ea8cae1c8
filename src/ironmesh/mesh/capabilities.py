"""Who can do what: the node's own capabilities, and those that its peers announced. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final

from ironmesh.errors import ConfigError
from ironmesh.types import NodeId

MAX_CAPABILITIES: Final = 1024
"""Of one node; the 0.8 wire carries no more."""
MAX_CAPABILITY_CHARS: Final = 256


def check_capability(capability: str) -> str:
    """Return a capability that this node may advertise, such as `llm:llama3`.

    Raises:
        ConfigError: empty, too long, or with characters that do not print.
    """
    if not capability or len(capability) > MAX_CAPABILITY_CHARS or not capability.isprintable():
        raise ConfigError(
            f"{capability!r} is not a capability", "write namespace:name, such as llm:llama3"
        )
    return capability


class CapabilityRegistry:
    """Capabilities by node.

    Args:
        my_node_id: this node.
        max_nodes: other nodes that are remembered; the one heard of longest ago makes room.
    """

    def __init__(self, my_node_id: NodeId, *, max_nodes: int = 4096) -> None:
        self._own_id = my_node_id
        self._max_nodes = max_nodes
        self._own: set[str] = set()
        self._remote: dict[NodeId, frozenset[str]] = {}

    def advertise_local(self, capability: str) -> bool:
        """Add a capability of this node; True if it is new.

        Raises:
            ConfigError: not a capability, or there are 1,024 already.
        """
        check_capability(capability)
        if capability in self._own:
            return False
        if len(self._own) >= MAX_CAPABILITIES:
            raise ConfigError(f"a node advertises at most {MAX_CAPABILITIES} capabilities")
        self._own.add(capability)
        return True

    def remove_local(self, capability: str) -> bool:
        """Withdraw a capability of this node; True if it had it."""
        has_it = capability in self._own
        self._own.discard(capability)
        return has_it

    def local_capabilities(self) -> list[str]:
        """Return this node's capabilities, sorted."""
        return sorted(self._own)

    def learn_remote(self, node_id: NodeId, capabilities: Iterable[str]) -> int:
        """Replace what is known of another node; return how many capabilities that is."""
        known = frozenset(list(capabilities)[:MAX_CAPABILITIES])
        self._remote.pop(node_id, None)
        if node_id != self._own_id and known:
            while len(self._remote) >= self._max_nodes:
                del self._remote[next(iter(self._remote))]
            self._remote[node_id] = known
        return len(known)

    def forget_remote(self, node_id: NodeId) -> None:
        """Forget what is known of another node."""
        self._remote.pop(node_id, None)

    def remote_nodes(self) -> list[NodeId]:
        """Return the other nodes of which capabilities are known."""
        return list(self._remote)

    def of(self, node_id: NodeId) -> list[str]:
        """Return the capabilities of a node, sorted."""
        if node_id == self._own_id:
            return self.local_capabilities()
        return sorted(self._remote.get(node_id, ()))

    def find(self, pattern: str) -> list[tuple[NodeId, str]]:
        """Return `(node id, capability)` for all that match a shell-style, case-sensitive pattern.

        This node's own come first.
        """
        nodes = [self._own_id, *self._remote]
        return [
            (node_id, capability)
            for node_id in nodes
            for capability in self.of(node_id)
            if fnmatchcase(capability, pattern)
        ]

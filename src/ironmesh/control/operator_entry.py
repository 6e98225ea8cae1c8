"""The operator API as whoever runs a node sees it: made when somebody asks, or a peer has left.

A node without peers and clients does not load it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ironmesh.node.events import NodeEvent, Notice, PeerOffline
from ironmesh.node.node import Node

if TYPE_CHECKING:
    from ironmesh.control.operator import NodeOperator

MAX_WARNINGS: Final = 64
"""Later ones are not shown to operators."""


class OperatorEntry:
    """Makes the operator API of one node, and tells it what happened before.

    Args:
        node: the node; it need not run yet.
        stop: asks whoever runs the node to stop it.
    """

    def __init__(self, node: Node, stop: Callable[[], None]) -> None:
        self._node = node
        self._stop = stop
        self._operator: NodeOperator | None = None
        self._before: list[NodeEvent] = []
        self._leave = node.subscribe(self._take)

    def made(self) -> NodeOperator:
        """Return the operator API."""
        if self._operator is None:
            from ironmesh.control.operator import NodeOperator

            self._leave()
            self._operator = NodeOperator(self._node, self._stop, before=self._before)
            self._before.clear()
        return self._operator

    def close(self) -> None:
        """End every subscription of a client."""
        if self._operator is not None:
            self._operator.close()

    def _take(self, event: NodeEvent) -> None:
        if isinstance(event, Notice) and event.is_warning and len(self._before) < MAX_WARNINGS:
            self._before.append(event)
        elif isinstance(event, PeerOffline):
            self._before.append(event)
            self.made()

"""What our pins say about nodes of the 0.8 wire."""

from __future__ import annotations

from ironmesh.errors import TrustFileError, UnknownPeerError
from ironmesh.trust.pins import Pin, TrustState
from ironmesh.trust.store import TrustStore
from ironmesh.types import NodeId


class LegacyKeys:
    """Keys of nodes that we met, or were told of by the operator.

    While the pin file is damaged nobody is known.
    """

    def __init__(self, trust: TrustStore) -> None:
        self._trust = trust

    def public(self, node_id: NodeId) -> bytes | None:
        """Return the Ed25519 key (32 bytes) by which a node signs, and to which is sealed."""
        pin = self._pin(node_id)
        return None if pin is None or pin.state is TrustState.BLOCKED else pin.public

    def is_native(self, node_id: NodeId) -> bool:
        """Tell whether a node once spoke our own wire: it has no business on the 0.8 one."""
        pin = self._pin(node_id)
        return pin is not None and pin.seen_native

    def is_published(self, node_id: NodeId) -> bool:
        """Tell whether a node is known, and never spoke our own wire.

        A key that the operator confirmed may be of a node that was not met yet.
        """
        pin = self._pin(node_id)
        return pin is not None and not (pin.seen_native or pin.verified)

    def is_barred(self, node_id: NodeId) -> bool:
        """Tell whether nothing is taken from a node."""
        try:
            if self._trust.is_revoked(node_id):
                return True
        except TrustFileError:
            return True
        pin = self._pin(node_id)
        return pin is not None and pin.state is TrustState.BLOCKED

    def name(self, node_id: NodeId) -> str:
        """Return the name that is pinned for a node; empty if there is none."""
        pin = self._pin(node_id)
        return pin.name if pin is not None else ""

    def _pin(self, node_id: NodeId) -> Pin | None:
        try:
            return self._trust.get(node_id)
        except (UnknownPeerError, TrustFileError):
            return None

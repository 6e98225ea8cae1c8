"""What its operator decides about the peers of a running node."""

from __future__ import annotations

from collections.abc import Collection

from ironmesh.audit.events import AuditEvent
from ironmesh.crypto.identity import Identity
from ironmesh.node.clock import Clock
from ironmesh.node.dialer import Dialer
from ironmesh.node.journal import Journal
from ironmesh.node.linktable import LinkTable
from ironmesh.node.mesh.entry import MeshEntry
from ironmesh.node.wires import NodeWires
from ironmesh.trust.pins import Pin
from ironmesh.trust.store import TrustStore
from ironmesh.types import NodeId, is_node_id


class PeerDecisions:
    """Pins, verifies, forgets and revokes; each decision is audited and takes effect at once.

    Args:
        authorities: nodes whose revocations the whole mesh believes.
        mesh: None where mesh routing is off.
    """

    def __init__(
        self,
        identity: Identity,
        authorities: Collection[NodeId],
        *,
        trust: TrustStore,
        journal: Journal,
        links: LinkTable,
        wires: NodeWires,
        dialer: Dialer,
        mesh: MeshEntry | None,
        clock: Clock,
    ) -> None:
        self._identity = identity
        self._own_id = identity.node_id
        self._is_authority = identity.node_id in authorities
        self._trust = trust
        self._journal = journal
        self._links = links
        self._wires = wires
        self._dialer = dialer
        self._mesh = mesh
        self._clock = clock

    def pin(self, public: bytes, name: str, *, is_verified: bool) -> Pin:
        """Pin a key (Ed25519, 32 bytes) under a name; see `TrustStore.pin`."""
        pin = self._trust.pin(public, name, self._clock.now(), verified=is_verified)
        self._journal.record(AuditEvent.PIN_ADDED, node_id=pin.node_id, name=pin.name)
        return pin

    def verify(self, who: str, fingerprint: NodeId) -> Pin:
        """Note that a person compared a fingerprint with the peer's own; see `confirm`."""
        pin = self._trust.confirm(who, fingerprint)
        self._journal.record(AuditEvent.PIN_VERIFIED, node_id=pin.node_id, name=pin.name)
        return pin

    def forget(self, who: str) -> Pin:
        """Remove a pin, so that the next contact is a first one; see `TrustStore.forget`."""
        pin = self._trust.forget(who)
        self._forget(pin.node_id)
        self._journal.record(AuditEvent.PIN_FORGOTTEN, node_id=pin.node_id, name=pin.name)
        return pin

    def revoke(self, who: str, reason: str) -> NodeId:
        """Bar a key for good and end its session; see `TrustStore.revoke`.

        Where this node is an authority, the whole mesh is told, and so it is when the key is the
        own one: nobody then talks to this node any more.
        """
        node_id = NodeId(who) if is_node_id(who) else self._trust.get(who).node_id
        is_own = node_id == self._own_id
        public = self._identity.public if is_own else self._trust.public_key(node_id)
        self.bar(node_id, self._own_id, reason)
        if self._mesh is not None and (is_own or self._is_authority):
            self._mesh.revoke(node_id, public)
        return node_id

    def bar(self, node_id: NodeId, revoker: NodeId, reason: str = "") -> None:
        """Refuse a node from now on, because this one, another one or itself says so."""
        if not self._trust.revoke(node_id, revoker, self._clock.now(), reason):
            return
        self._forget(node_id)
        self._journal.record(
            AuditEvent.PEER_REVOKED, node_id=node_id, reason=reason, revoker=revoker
        )
        for link in self._links.of_peer(node_id):
            link.close_soon("revoked", is_listening=False)

    def _forget(self, node_id: NodeId) -> None:
        self._wires.forget(node_id)
        self._dialer.forget(node_id)
        if self._mesh is not None:
            self._mesh.forget(node_id)

"""Which wire a connection speaks, and the handshakes for it."""

from __future__ import annotations

from typing import Final

from ironmesh.errors import HandshakeError
from ironmesh.node.entrance import Dialled
from ironmesh.node.gate import Gate, Visit
from ironmesh.node.legacy_wire import LegacyWire
from ironmesh.node.native_wire import NativeWire
from ironmesh.session.interface import Handshake
from ironmesh.transport.interface import ConnectionInfo
from ironmesh.types import NodeId, Refusal
from ironmesh.wire.native.constants import SUBPROTOCOL

SUBPROTOCOLS: Final = (SUBPROTOCOL,)
"""What is offered to whom we dial, and agreed to with who dials us. The 0.8 wire has no name."""


class NodeWires:
    """The wires of one node.

    Args:
        legacy: the 0.8 wire; None where the operator did not allow it.
    """

    def __init__(self, native: NativeWire, legacy: LegacyWire | None, gate: Gate) -> None:
        self._native = native
        self._legacy = legacy
        self._gate = gate

    def client(self, connection: ConnectionInfo, dialled: Dialled) -> Handshake:
        """Return the dialling side of a handshake on the wire that was agreed on.

        Raises:
            HandshakeError: the peer speaks the 0.8 wire, which is off; or nobody but an
                announcement gave its address.
        """
        if connection.subprotocol == SUBPROTOCOL:
            return self._native.client(connection, dialled)
        legacy = self._legacy_or_refuse()
        if not dialled.is_given:
            raise HandshakeError(
                Refusal.LEGACY_REFUSED,
                "it speaks the 0.8 wire, on which no announced address is dialled",
                f"to dial it, start with --peer {connection.remote_text}",
            )
        return legacy.client(dialled.expected)

    def server(self, connection: ConnectionInfo, visit: Visit) -> Handshake:
        """Return the answering side of a handshake on the wire that was agreed on.

        Raises:
            HandshakeError: the peer speaks the 0.8 wire, which is off, or too many of its proofs
                failed.
        """
        if connection.subprotocol == SUBPROTOCOL:
            return self._native.server(connection, visit)
        legacy = self._legacy_or_refuse()
        if self._gate.is_locked_out(connection.remote_host):
            raise HandshakeError(Refusal.LOCKED_OUT, "too many failed proofs came from there")
        return legacy.server()

    def forget(self, peer: NodeId) -> None:
        """Let this peer resume nothing: it was revoked, or its pin changed."""
        self._native.forget(peer)
        self._gate.forget(peer)

    def _legacy_or_refuse(self) -> LegacyWire:
        if self._legacy is None:
            raise HandshakeError(
                Refusal.LEGACY_REFUSED,
                "it speaks the published 0.8 wire, which is off here",
                "to meet such nodes, start with --allow-legacy",
            )
        return self._legacy

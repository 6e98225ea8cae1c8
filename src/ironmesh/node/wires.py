"""Which wire a connection speaks, and the handshakes for it."""

from __future__ import annotations

from ironmesh.errors import HandshakeError
from ironmesh.node.gate import Gate, Visit
from ironmesh.node.legacy_wire import LegacyWire
from ironmesh.node.sessions import Dialled
from ironmesh.session.interface import Handshake
from ironmesh.transport.interface import ConnectionInfo
from ironmesh.types import Refusal


class NodeWires:
    """The wires of one node."""

    def __init__(self, legacy: LegacyWire, gate: Gate) -> None:
        self._legacy = legacy
        self._gate = gate

    def client(self, connection: ConnectionInfo, dialled: Dialled) -> Handshake:  # noqa: ARG002
        """Return the dialling side of a handshake on the wire that was agreed on."""
        return self._legacy.client(dialled.expected)

    def server(self, connection: ConnectionInfo, visit: Visit) -> Handshake:  # noqa: ARG002
        """Return the answering side of a handshake on the wire that was agreed on.

        Raises:
            HandshakeError: too many proofs from there failed.
        """
        if self._gate.is_locked_out(connection.remote_host):
            raise HandshakeError(Refusal.LOCKED_OUT, "too many failed proofs came from there")
        return self._legacy.server()

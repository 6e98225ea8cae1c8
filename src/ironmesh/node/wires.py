"""Which wire a connection speaks, and the handshakes for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ironmesh.config import LegacyMode, NodeConfig
from ironmesh.crypto.identity import Identity
from ironmesh.errors import HandshakeError
from ironmesh.node.clock import Clock
from ironmesh.node.entrance import Dialled
from ironmesh.node.gate import Gate, Visit
from ironmesh.session.interface import Handshake
from ironmesh.transport.interface import ConnectionInfo
from ironmesh.trust.store import TrustStore
from ironmesh.types import NodeId, Random, Refusal, Secret
from ironmesh.wire.native.constants import SUBPROTOCOL

if TYPE_CHECKING:
    from ironmesh.node.legacy_wire import LegacyWire
    from ironmesh.node.native_wire import NativeWire


class NodeWires:
    """The wires of one node.

    The first peer that speaks a wire has it made, and its code loaded: with the library behind it
    that is ten megabytes, which a node without peers does not need.

    Args:
        mesh_secrets: what the accepted passphrases became, by their numbers.
        trust: knows the keys of originators on the 0.8 wire.
    """

    def __init__(
        self,
        config: NodeConfig,
        identity: Identity,
        mesh_secrets: Mapping[int, Secret],
        *,
        trust: TrustStore,
        gate: Gate,
        random: Random,
        clock: Clock,
    ) -> None:
        self._config = config
        self._identity = identity
        self._mesh_secrets = mesh_secrets
        self._trust = trust
        self._gate = gate
        self._random = random
        self._clock = clock
        self._native: NativeWire | None = None
        self._legacy: LegacyWire | None = None

    def client(self, connection: ConnectionInfo, dialled: Dialled) -> Handshake:
        """Return the dialling side of a handshake on the wire that was agreed on.

        Raises:
            HandshakeError: the peer speaks the 0.8 wire, which is off; or nobody but an
                announcement gave its address.
        """
        if connection.subprotocol == SUBPROTOCOL:
            return self._native_wire().client(connection, dialled)
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
            return self._native_wire().server(connection, visit)
        legacy = self._legacy_or_refuse()
        if self._gate.is_locked_out(connection.remote_host):
            raise HandshakeError(Refusal.LOCKED_OUT, "too many failed proofs came from there")
        return legacy.server()

    def forget(self, peer: NodeId) -> None:
        """Let this peer resume nothing: it was revoked, or its pin changed."""
        if self._native is not None:
            self._native.forget(peer)
        self._gate.forget(peer)

    def _native_wire(self) -> NativeWire:
        if self._native is None:
            from ironmesh.node.native_wire import NativeWire

            self._native = NativeWire(
                self._config, self._identity, self._mesh_secrets, self._random, self._clock
            )
        return self._native

    def _legacy_or_refuse(self) -> LegacyWire:
        if self._config.legacy is LegacyMode.OFF:
            raise HandshakeError(
                Refusal.LEGACY_REFUSED,
                "it speaks the published 0.8 wire, which is off here",
                "to meet such nodes, start with --allow-legacy",
            )
        if self._legacy is None:
            from ironmesh.node.legacy_wire import LegacyWire

            self._legacy = LegacyWire(self._config, self._identity, self._trust, self._random)
        return self._legacy

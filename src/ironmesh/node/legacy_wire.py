"""The 0.8 wire of one node: its handshakes, made from its configuration and identity."""

from __future__ import annotations

from ironmesh.config import NodeConfig
from ironmesh.crypto.identity import Identity
from ironmesh.node.mesh.legacy_keys import LegacyKeys
from ironmesh.session.interface import Handshake
from ironmesh.session.legacy.client import ClientHandshake
from ironmesh.session.legacy.server import ServerHandshake
from ironmesh.session.legacy.settings import LegacySettings
from ironmesh.trust.store import TrustStore
from ironmesh.types import MeshMode, NodeId, Random


class LegacyWire:
    """Makes the handshakes of the 0.8 wire.

    Args:
        trust: knows the keys of originators, to check what relays hand over.
    """

    def __init__(
        self,
        config: NodeConfig,
        identity: Identity,
        trust: TrustStore,
        random: Random,
    ) -> None:
        keys = LegacyKeys(trust)
        self._settings = LegacySettings(
            identity=identity,
            name=config.name,
            passphrase=config.legacy_passphrase or config.passphrase,
            random=random,
            known_keys=keys.public,
            is_native=keys.is_native,
            takes_transit=config.mesh_routing is MeshMode.RELAY,
            min_version=config.min_protocol_version,
            rekey_interval_s=config.rekey_interval_s,
        )

    def client(self, expected: NodeId | None) -> Handshake:
        """Return the dialling side of a handshake."""
        return ClientHandshake(self._settings, expected)

    def server(self) -> Handshake:
        """Return the answering side of a handshake."""
        return ServerHandshake(self._settings)

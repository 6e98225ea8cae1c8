"""The 0.8 wire of one node: its handshakes, made from its configuration and identity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ironmesh.config import NodeConfig
from ironmesh.crypto.identity import Identity
from ironmesh.session.interface import Handshake
from ironmesh.session.legacy.client import ClientHandshake
from ironmesh.session.legacy.sealing import MAX_PAYLOAD_BYTES
from ironmesh.session.legacy.server import ServerHandshake
from ironmesh.session.legacy.settings import LegacySettings
from ironmesh.types import NodeId, Random

LEGACY_MAX_PAYLOAD_BYTES: Final = MAX_PAYLOAD_BYTES
"""The largest payload that fits one frame."""


class LegacyWire:
    """Makes the handshakes of the 0.8 wire.

    Args:
        known_keys: the pinned Ed25519 key of an originator, to check what relays hand over.
    """

    def __init__(
        self,
        config: NodeConfig,
        identity: Identity,
        known_keys: Callable[[NodeId], bytes | None],
        random: Random,
    ) -> None:
        self._settings = LegacySettings(
            identity=identity,
            name=config.name,
            passphrase=config.legacy_passphrase or config.passphrase,
            random=random,
            known_keys=known_keys,
            min_version=config.min_protocol_version,
            rekey_interval_s=config.rekey_interval_s,
        )

    def client(self, expected: NodeId | None) -> Handshake:
        """Return the dialling side of a handshake."""
        return ClientHandshake(self._settings, expected)

    def server(self) -> Handshake:
        """Return the answering side of a handshake."""
        return ServerHandshake(self._settings)

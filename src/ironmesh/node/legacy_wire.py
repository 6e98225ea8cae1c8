"""The 0.8 wire of one node: its handshakes, made from its configuration and identity."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from ironmesh.config import NodeConfig
from ironmesh.crypto.identity import Identity
from ironmesh.errors import DeliveryError, TrustFileError
from ironmesh.session.interface import Handshake
from ironmesh.session.legacy.client import ClientHandshake
from ironmesh.session.legacy.sealing import MAX_PAYLOAD_BYTES
from ironmesh.session.legacy.server import ServerHandshake
from ironmesh.session.legacy.settings import LegacySettings
from ironmesh.trust.store import TrustStore
from ironmesh.types import MessageType, NodeId, Random
from ironmesh.wire.legacy.constants import MAX_SENT_TYPE_CHARS
from ironmesh.wire.legacy.control import CHANNEL_TYPES, MESH_TYPES

LEGACY_MAX_PAYLOAD_BYTES: Final = MAX_PAYLOAD_BYTES
"""The largest payload that fits one frame."""


@lru_cache(maxsize=256)
def check_application_type(kind: str) -> None:
    """Accept a message type that an application may send.

    Raises:
        DeliveryError: it is reserved, empty, too long, or no text.
    """
    if kind in CHANNEL_TYPES or kind in MESH_TYPES or kind == MessageType.ACK:
        raise DeliveryError(f"messages of type {kind} are the node's own", "use another type")
    is_text = not any("\ud800" <= character <= "\udfff" for character in kind)
    if not (is_text and 0 < len(kind) <= MAX_SENT_TYPE_CHARS):
        raise DeliveryError(
            f"{kind[:MAX_SENT_TYPE_CHARS]!a} is not a message type",
            f"use 1 to {MAX_SENT_TYPE_CHARS} characters",
        )


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
        self._trust = trust
        self._settings = LegacySettings(
            identity=identity,
            name=config.name,
            passphrase=config.legacy_passphrase or config.passphrase,
            random=random,
            known_keys=self._known_key,
            min_version=config.min_protocol_version,
            rekey_interval_s=config.rekey_interval_s,
        )

    def client(self, expected: NodeId | None) -> Handshake:
        """Return the dialling side of a handshake."""
        return ClientHandshake(self._settings, expected)

    def server(self) -> Handshake:
        """Return the answering side of a handshake."""
        return ServerHandshake(self._settings)

    def _known_key(self, node_id: NodeId) -> bytes | None:
        try:
            return self._trust.public_key(node_id)
        except TrustFileError:
            # While the file is damaged nobody is known, and what relays hand over is refused.
            return None

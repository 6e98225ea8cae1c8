"""IronMesh: a local-first, end-to-end encrypted mesh for AI agents.

What is exported here, and the modules that the documentation names, is the public interface.
Everything is loaded when it is first used: importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ironmesh.version import __version__

if TYPE_CHECKING:
    from ironmesh.agent import Agent
    from ironmesh.bridge import BridgeDaemon
    from ironmesh.bus import MessageBus
    from ironmesh.conversation import Budget, ConvEnvelope, is_terminal, make_reply
    from ironmesh.crypto.helpers import (
        decrypt_message,
        ecdh_exchange,
        encrypt_message,
        generate_ephemeral_keypair,
        sign_message,
        verify_signature,
    )
    from ironmesh.errors import IronMeshError
    from ironmesh.keys import AgentKeys, generate_ephemeral, generate_keypair
    from ironmesh.mesh_crypto import seal_to_destination, unseal_from_source
    from ironmesh.protocol import PeerState
    from ironmesh.types import MessagePriority, MessageType

__all__ = [
    "__version__",
    "Agent",
    "AgentKeys",
    "BridgeDaemon",
    "Budget",
    "ConvEnvelope",
    "IronMeshError",
    "MessageBus",
    "MessagePriority",
    "MessageType",
    "PeerState",
    "decrypt_message",
    "ecdh_exchange",
    "encrypt_message",
    "generate_ephemeral",
    "generate_ephemeral_keypair",
    "generate_keypair",
    "is_terminal",
    "make_reply",
    "seal_to_destination",
    "sign_message",
    "unseal_from_source",
    "verify_signature",
]

_HOMES = {
    "Agent": "agent",
    "AgentKeys": "keys",
    "BridgeDaemon": "bridge",
    "Budget": "conversation",
    "ConvEnvelope": "conversation",
    "IronMeshError": "errors",
    "MessageBus": "bus",
    "MessagePriority": "types",
    "MessageType": "types",
    "PeerState": "protocol",
    "decrypt_message": "crypto.helpers",
    "ecdh_exchange": "crypto.helpers",
    "encrypt_message": "crypto.helpers",
    "generate_ephemeral": "keys",
    "generate_ephemeral_keypair": "crypto.helpers",
    "generate_keypair": "keys",
    "is_terminal": "conversation",
    "make_reply": "conversation",
    "seal_to_destination": "mesh_crypto",
    "sign_message": "crypto.helpers",
    "unseal_from_source": "mesh_crypto",
    "verify_signature": "crypto.helpers",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ironmesh' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"ironmesh.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

"""What is remembered of a peer: the pin, and the revocation that ends one."""

from __future__ import annotations

import base64
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from ironmesh.trust.names import MAX_NAME_CHARS
from ironmesh.types import NodeId

MAX_REASON_CHARS: Final = 256

NodeIdField = Annotated[NodeId, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
HashField = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class TrustState(StrEnum):
    """What a pinned peer may do."""

    PENDING = "pending"
    """Its key is pinned; the operator has not yet let its messages through."""
    TRUSTED = "trusted"
    BLOCKED = "blocked"
    """It may not connect; its key and its name stay bound."""
    PENDING_CAP_CHANGE = "pending-cap-change"
    """It announced other capabilities than those accepted; the operator decides."""


class Pin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key, and the name that it holds. In JSON the key is canonical base64."""

    node_id: NodeIdField
    public: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    """Ed25519 public key."""
    name: Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARS)]
    """The name last accepted from this key; empty while none is known."""
    first_seen: float
    """Seconds since 1970."""
    last_seen: float
    """Seconds since 1970."""
    state: TrustState
    verified: bool = False
    """The operator compared the fingerprint with the peer's own by another way."""
    seen_native: bool = False
    """The peer once spoke the native wire; from then on 0.8 would be a downgrade."""
    is_ours: bool = False
    """The peer said, inside what it signed, that it runs this implementation."""
    tls_fingerprint: HashField | None = None
    """SHA-256 of the TLS certificate seen with this key."""
    capability_hash: HashField | None = None
    """The accepted baseline; see `capabilities.canonical_capability_hash`."""
    capability_set: tuple[str, ...] | None = None
    capability_hash_pending: HashField | None = None
    capability_set_pending: tuple[str, ...] | None = None
    cap_first_observed: float | None = None
    cap_accepted_at: float | None = None
    cap_rejected_at: float | None = None

    @property
    def public_text(self) -> str:
        """The key as people and the 0.8 wire write it: canonical base64."""
        return base64.b64encode(self.public).decode()


class Revocation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key that must never come back, and who said so."""

    node_id: NodeIdField
    revoker: NodeIdField
    timestamp: float
    """Seconds since 1970."""
    reason: Annotated[str, msgspec.Meta(max_length=MAX_REASON_CHARS)] = ""

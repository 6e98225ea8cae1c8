"""The names of audit events."""

from __future__ import annotations

from enum import StrEnum


class AuditEvent(StrEnum):
    """What can stand in the audit log; the details of each are in its docstring."""

    # The node and its keys
    NODE_STARTED = "NODE_STARTED"
    NODE_STOPPED = "NODE_STOPPED"
    KEYS_CREATED = "KEYS_CREATED"
    KEYS_MIGRATED = "KEYS_MIGRATED"
    KEY_ROTATION = "KEY_ROTATION"

    # Peers and sessions
    PEER_CONNECTED = "PEER_CONNECTED"
    PEER_DISCONNECTED = "PEER_DISCONNECTED"
    PEER_REFUSED = "PEER_REFUSED"
    AUTH_FAILED = "AUTH_FAILED"
    AUTH_LOCKOUT = "AUTH_LOCKOUT"
    """An address is blocked after failed proofs of the passphrase."""
    SESSION_REKEYED = "SESSION_REKEYED"
    MESSAGE_REFUSED = "MESSAGE_REFUSED"
    """A message of an established session was dropped for a reason that concerns security."""
    DOWNGRADE_DETECTED = "DOWNGRADE_DETECTED"
    IDENTITY_CLONED = "IDENTITY_CLONED"
    """Two nodes use one key."""
    MESH_PARTITIONED = "MESH_PARTITIONED"
    """Over half of the nodes that could be reached were lost."""

    # Trust
    PEER_PINNED = "PEER_PINNED"
    PEER_RENAMED = "PEER_RENAMED"
    TOFU_MISMATCH = "TOFU_MISMATCH"
    """A known name came with another key."""
    TLS_CHANGED = "TLS_CHANGED"
    """A known key came with another certificate."""
    PIN_ADDED = "PIN_ADDED"
    PIN_FORGOTTEN = "PIN_FORGOTTEN"
    PIN_VERIFIED = "PIN_VERIFIED"
    PEER_REVOKED = "PEER_REVOKED"
    REVOCATION_WITHDRAWN = "REVOCATION_WITHDRAWN"
    TRUST_STATE_CHANGED = "TRUST_STATE_CHANGED"
    TRUST_IMPORTED = "TRUST_IMPORTED"
    """Pins of the published package were taken over."""
    TRUST_FILE_TAMPERED = "TRUST_FILE_TAMPERED"

    # The log itself
    CHAIN_RESTARTED = "CHAIN_RESTARTED"
    """The log was not as we left it; the details say how. Written by the log alone."""
    EVENTS_SUPPRESSED = "EVENTS_SUPPRESSED"
    """So many events of one kind came that only their number is kept. Written by the log alone."""

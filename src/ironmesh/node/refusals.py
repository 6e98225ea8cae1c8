"""Every refusal has a counter, an event, one log line, and where it matters an audit record."""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from ironmesh.audit.events import AuditEvent
from ironmesh.node.clock import Clock
from ironmesh.node.events import EventBus, PeerRefused
from ironmesh.node.journal import Journal
from ironmesh.observe.counters import Counters
from ironmesh.observe.refusals import RefusalLog
from ironmesh.session.interface import PeerClaim
from ironmesh.types import NodeId, Refusal

_log = logging.getLogger("ironmesh.node")

_AUDITED: Final = {
    Refusal.AUTH_FAILED: AuditEvent.AUTH_FAILED,
    Refusal.IDENTITY_CHANGED: AuditEvent.TOFU_MISMATCH,
    Refusal.CERTIFICATE_CHANGED: AuditEvent.TLS_CHANGED,
    Refusal.TRUST_FILE: AuditEvent.TRUST_FILE_TAMPERED,
    Refusal.UNEXPECTED_IDENTITY: AuditEvent.TOFU_MISMATCH,
    Refusal.REVOKED: AuditEvent.PEER_REFUSED,
    Refusal.BLOCKED: AuditEvent.PEER_REFUSED,
    Refusal.NOT_ALLOWED: AuditEvent.PEER_REFUSED,
    Refusal.LEGACY_REFUSED: AuditEvent.PEER_REFUSED,
    Refusal.DOWNGRADED: AuditEvent.DOWNGRADE_DETECTED,
    Refusal.VERSION_TOO_OLD: AuditEvent.PEER_REFUSED,
    Refusal.REFLECTED: AuditEvent.PEER_REFUSED,
}
_AUDITED_FRAMES: Final = frozenset(
    {
        Refusal.BAD_SIGNATURE,
        Refusal.ORDER,
        Refusal.REPLAY,
        Refusal.SOURCE_FORGED,
        Refusal.UNDECRYPTABLE,
        Refusal.UNSIGNED,
    }
)
"""Somebody tampers; the rest is said by whoever has the session."""
_SILENT: Final = frozenset({Refusal.NOT_WEBSOCKET, Refusal.DUPLICATE})
"""Everyday noise: published nodes try TLS first and dial peers that are already connected."""


class RefusedPeer(msgspec.Struct, frozen=True):
    """Who was turned away, as far as it is known."""

    remote: str
    is_outgoing: bool
    claim: PeerClaim | None = None

    @property
    def source(self) -> str:
        """The address without its port, if it has one."""
        host, _, _ = self.remote.rpartition(":")
        return host if host and (host.endswith("]") or ":" not in host) else self.remote


class RefusalDesk:
    """Books refusals of connections, handshakes and frames."""

    def __init__(
        self, counters: Counters, journal: Journal, events: EventBus, clock: Clock
    ) -> None:
        self._counters = counters
        self._refusals = RefusalLog(_log, counters)
        self._clock = clock
        self._journal = journal
        self._events = events

    def peer(self, reason: Refusal, who: RefusedPeer, detail: str) -> None:
        """Book a refused connection or handshake."""
        name = who.claim.name if who.claim else ""
        node_id = who.claim.node_id if who.claim else None
        if reason in _AUDITED:
            self._journal.record(
                _AUDITED[reason],
                reason=reason.value,
                remote=who.remote,
                name=name,
                node_id=node_id or "",
                detail=detail,
            )
        self._refusals.note(
            reason,
            who.source,
            f"{name}: {detail}" if name else detail,
            self._clock.now(),
            level=logging.DEBUG if reason in _SILENT else logging.WARNING,
        )
        self._events.publish(
            PeerRefused(reason, who.remote, who.is_outgoing, name, node_id, detail)
        )

    def frame(self, reason: Refusal, peer: NodeId, peer_name: str, detail: str) -> None:
        """Book a refused frame or message of an established session."""
        if reason in _AUDITED_FRAMES:
            self._journal.record(
                AuditEvent.MESSAGE_REFUSED,
                reason=reason.value,
                node_id=peer,
                name=peer_name,
                detail=detail,
            )
        self._refusals.note(reason, peer, f"{peer_name}: {detail}", self._clock.now())

    def throttled(self, peer: NodeId, peer_name: str) -> None:
        """Book that a peer says it dropped a frame of ours."""
        self._counters.add("throttled_by_peer")
        _log.warning("%s (%s) dropped a frame: we sent too fast for it", peer_name, peer[:8])

"""Whether a peer that proved who it is may stay: the one place where that is decided."""

from __future__ import annotations

import msgspec

from ironmesh.config import LegacyMode, NodeConfig
from ironmesh.discovery.policy import DialPolicy
from ironmesh.session.interface import PeerClaim
from ironmesh.transport.interface import ConnectionInfo
from ironmesh.trust.book import Verdict
from ironmesh.trust.downgrade import is_talked_down
from ironmesh.trust.store import TrustStore
from ironmesh.types import NodeId, Refusal, WireKind


class Turned(msgspec.Struct, frozen=True):
    """The peer may not stay."""

    reason: Refusal
    detail: str
    """One line for people: what is wrong, and what to do if it should be right."""


class Welcome:
    """Judges claims by configuration and trust."""

    def __init__(
        self, config: NodeConfig, own_id: NodeId, policy: DialPolicy, trust: TrustStore
    ) -> None:
        self._config = config
        self._own_id = own_id
        self._policy = policy
        self._trust = trust

    def judge(
        self, claim: PeerClaim, connection: ConnectionInfo, expected: NodeId | None
    ) -> Verdict | Turned:
        """Return the trust room's verdict on an acceptable peer, or why it may not stay.

        Args:
            expected: the id that was dialled for, if one was.
        """
        turned = self._by_policy(claim, expected)
        if turned is not None:
            return turned
        verdict = self._trust.judge(claim)
        if verdict.refusal is not None:
            return Turned(verdict.refusal, verdict.explain())
        if claim.wire is WireKind.NATIVE:
            return verdict
        return self._by_certificate(verdict, connection) or verdict

    def _by_policy(self, claim: PeerClaim, expected: NodeId | None) -> Turned | None:
        if claim.node_id == self._own_id:
            return Turned(Refusal.SELF, "that is this node itself")
        if expected is not None and claim.node_id != expected:
            return Turned(
                Refusal.UNEXPECTED_IDENTITY,
                f"dialled {expected[:8]}, but {claim.node_id[:8]} answered",
            )
        if not self._policy.accepts(claim.name):
            return Turned(
                Refusal.NOT_ALLOWED, f"{claim.name!r} is not in --allowed-peers; add it there"
            )
        return self._by_wire(claim)

    def _by_wire(self, claim: PeerClaim) -> Turned | None:
        if claim.wire is WireKind.NATIVE:
            return None
        if is_talked_down(claim.protocol_version):
            return Turned(
                Refusal.DOWNGRADED,
                f"{claim.name!r} speaks the native wire as we do, and came on the 0.8 one:"
                " somebody may be in the middle",
            )
        if self._config.legacy is LegacyMode.NAMED and claim.name not in self._config.legacy_names:
            return Turned(
                Refusal.LEGACY_REFUSED,
                f"{claim.name!r} speaks the 0.8 wire and is not named by --allow-legacy",
            )
        return None

    def _by_certificate(self, verdict: Verdict, connection: ConnectionInfo) -> Turned | None:
        pin = verdict.pin
        seen = connection.tls_fingerprint
        if pin is None or pin.tls_fingerprint is None or seen is None:
            return None
        if pin.tls_fingerprint == seen.hex():
            return None
        return Turned(
            Refusal.CERTIFICATE_CHANGED,
            f"{verdict.name!r} shows another TLS certificate than before: if its operator changed"
            f" it, run `ironmesh trust forget {verdict.node_id}`",
        )

"""What a finished handshake leaves: a verified peer, keys, and the right to resume."""

from __future__ import annotations

import msgspec

from ironmesh.session.interface import PeerClaim
from ironmesh.session.native.channel import NativeChannel
from ironmesh.session.native.keys import SessionKeys
from ironmesh.session.native.schedule import Negotiated, Role
from ironmesh.session.native.settings import NativeSettings
from ironmesh.types import Instant


class Outcome(msgspec.Struct, frozen=True):
    """Both ends have the same one, but for the role and the claim of the other."""

    claim: PeerClaim
    keys: SessionKeys
    resumes_hybrid: bool
    """The resumption secret is closed to a quantum computer, whatever the link of this session."""
    resumable_until: float
    """Monotonic seconds."""

    def keep_tickets(self, settings: NativeSettings, now: Instant) -> None:
        """Let either end resume this session later."""
        settings.tickets.add(
            self.claim,
            self.keys.resumption,
            own_role=Role.INITIATOR if self.keys.is_initiator else Role.RESPONDER,
            is_hybrid=self.resumes_hybrid,
            now=now.mono,
            expires=self.resumable_until,
        )

    def channel(
        self, settings: NativeSettings, negotiated: Negotiated, now: Instant
    ) -> NativeChannel:
        """Return this end of the session."""
        return NativeChannel(
            self.keys,
            identity=settings.identity,
            claim=self.claim,
            random=settings.random,
            now=now,
            rekey_interval_s=settings.rekey_interval_s,
            is_radio=negotiated.is_radio_small,
            max_record_bytes=negotiated.max_record_bytes,
        )

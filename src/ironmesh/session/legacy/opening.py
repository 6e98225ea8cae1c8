"""The incoming half of a 0.8 session: from bytes to a checked inner object."""

from __future__ import annotations

from typing import NamedTuple

from ironmesh.errors import RemoteProtocolError
from ironmesh.session.interface import PeerClaim
from ironmesh.session.legacy.provenance import Provenance
from ironmesh.session.legacy.replay import ReplayGuard
from ironmesh.session.legacy.settings import KEY_CONFIRMATION_S, RETIRED_KEY_S, LegacySettings
from ironmesh.types import Instant, Refusal, Secret
from ironmesh.wire.legacy import frame, inner


class _ReceiveKey(NamedTuple):
    key: Secret
    guard: ReplayGuard


class Received(NamedTuple):
    """A frame that passed every check."""

    inner: inner.Inner
    timestamp_s: float
    payload: bytes
    is_transit: bool = False
    """It is for somebody else, and `inner` is to be passed on."""


class Opener:
    """Verifies, decrypts and checks frames of one peer."""

    __slots__ = (
        "_current",
        "_peer_public",
        "_provenance",
        "_retired",
        "confirm_by",
        "heard",
        "retired_until",
    )

    def __init__(
        self, settings: LegacySettings, claim: PeerClaim, key: Secret, now: Instant
    ) -> None:
        self._peer_public = claim.identity_public
        self._provenance = Provenance(settings, claim)
        self._current = _ReceiveKey(key, ReplayGuard())
        self._retired: _ReceiveKey | None = None
        self.retired_until: float | None = None
        self.confirm_by: float | None = None
        """Until when a frame must have arrived under a new key, in monotonic seconds."""
        self.heard = now.mono
        """When the last frame arrived that the peer really sealed, in monotonic seconds."""

    def switch(self, key: Secret, mono: float) -> None:
        """Open with `key` from now on; what is still on its way opens with the old one."""
        self._retired = self._current
        self.retired_until = mono + RETIRED_KEY_S
        self.confirm_by = mono + KEY_CONFIRMATION_S
        self._current = _ReceiveKey(key, ReplayGuard())

    def expire(self, mono: float) -> None:
        """Drop the old key when its time is over."""
        if self.retired_until is not None and mono >= self.retired_until:
            self._retired = self.retired_until = None

    def open(self, unit: bytes, now: Instant) -> Received:
        """Check one frame.

        Raises:
            RemoteProtocolError: the frame must be dropped; the session goes on.
        """
        parts = frame.split(unit)
        frame.verify(parts, self._peer_public)
        self.expire(now.mono)
        plaintext, guard = self._decrypt(parts.ciphertext)
        self.heard = now.mono
        opened = inner.decode(plaintext)
        timestamp_s = inner.timestamp_of(opened)
        _check_header(parts.header, opened, timestamp_s)
        guard.accept(opened.sequence, timestamp_s, now.wall)
        if self._provenance.is_transit(opened):
            self._provenance.check_transit(opened)
            return Received(opened, timestamp_s, opened.payload, is_transit=True)
        return Received(opened, timestamp_s, self._provenance.check(opened))

    def _decrypt(self, ciphertext: bytes) -> tuple[bytes, ReplayGuard]:
        try:
            plaintext = frame.decrypt(self._current.key.reveal(), ciphertext)
        except frame.FrameError:
            if self._retired is None:
                raise
        else:
            self.confirm_by = None
            return plaintext, self._current.guard
        return frame.decrypt(self._retired.key.reveal(), ciphertext), self._retired.guard


def _check_header(header: frame.Header, opened: inner.Inner, timestamp_s: float) -> None:
    """Compare the header, which nothing protects, with what was sealed."""
    if not opened.msg_id:
        raise RemoteProtocolError(Refusal.BAD_BODY, "a frame without message id")
    if header.sequence != opened.sequence:
        what = "sequence"
    elif abs(header.timestamp_ms - frame.milliseconds(timestamp_s)) > 1:
        what = "timestamp"
    elif header.id_hash != frame.id_hash(opened.msg_id):
        what = "message id"
    else:
        return
    raise RemoteProtocolError(Refusal.HEADER_MISMATCH, f"the header's {what} is not the sealed one")

"""Changing the session key without losing a frame (wire specification, section 5.5).

The starter sends its new ephemeral key and then holds everything back until the answer. The
answerer's answer is its last frame under the old key. Published nodes before 0.9 answer every
request, also when one of their own is out; from 0.9 on, and with us, of two crossing requests that
of the smaller node id stands.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from enum import Enum

from msgspec import UNSET

from ironmesh.config import parse_protocol_version
from ironmesh.crypto import sodium
from ironmesh.errors import LocalProtocolError, RemoteProtocolError
from ironmesh.session.interface import PeerClaim
from ironmesh.session.legacy.keys import Ephemeral
from ironmesh.session.legacy.settings import REKEY_TIMEOUT_S, LegacySettings
from ironmesh.types import MessageType, Refusal, Secret
from ironmesh.wire.legacy.constants import CONTEXT_SINCE, REKEY_SINCE
from ironmesh.wire.legacy.control import Control
from ironmesh.wire.legacy.handshake import from_base64, to_base64


class RekeyState(Enum):
    """What has happened since the last key change."""

    SETTLED = "settled"
    REQUEST_QUEUED = "request queued"
    REQUEST_SENT = "request sent"
    ANSWER_QUEUED = "answer queued"


@dataclass(frozen=True, slots=True)
class RekeyFrame:
    """A control frame to seal under the old key; `new_key` is what to seal with afterwards."""

    control: Control
    new_key: Secret | None


class Rekey:
    """Key changes of one session."""

    __slots__ = (
        "_deadline",
        "_due",
        "_ephemeral",
        "_frame",
        "_interval_s",
        "_is_able",
        "_own_id",
        "_random",
        "_rekey_id",
        "_yields",
        "count",
        "state",
    )

    def __init__(self, settings: LegacySettings, claim: PeerClaim, mono: float) -> None:
        peer_version = parse_protocol_version(claim.protocol_version)
        self._own_id = settings.identity.node_id
        self._random = settings.random
        self._is_able = peer_version >= REKEY_SINCE
        resolves_crossings = peer_version >= CONTEXT_SINCE
        self._yields = resolves_crossings and self._own_id > claim.node_id
        starts = self._is_able and self._own_id < claim.node_id
        self._interval_s = settings.rekey_interval_s if starts else 0.0
        self._due = mono + self._interval_s if self._interval_s else None
        self._ephemeral: Ephemeral | None = None
        self._rekey_id = ""
        self._frame: RekeyFrame | None = None
        self._deadline: float | None = None
        self.state = RekeyState.SETTLED
        self.count = 0

    @property
    def is_holding(self) -> bool:
        """Our request is out, or about to be: no message may be sealed."""
        return self.state in (RekeyState.REQUEST_QUEUED, RekeyState.REQUEST_SENT)

    @property
    def has_frame(self) -> bool:
        """`take_frame` has something to seal."""
        return self._frame is not None

    @property
    def next_timer(self) -> float | None:
        """When `on_timer` wants to be called."""
        return self._due if self._deadline is None else self._deadline

    def start(self, mono: float) -> bool:
        """Queue a request; False if a change is under way or the peer cannot."""
        if not self._is_able or self.state is not RekeyState.SETTLED:
            return False
        self._ephemeral = Ephemeral.generate(self._random)
        self._rekey_id = str(uuid.UUID(bytes=self._random(16), version=4))
        control = self._control(MessageType.REKEY_REQUEST, self._ephemeral.public, self._rekey_id)
        self._frame = RekeyFrame(control, None)
        self._deadline = mono + REKEY_TIMEOUT_S
        self.state = RekeyState.REQUEST_QUEUED
        return True

    def on_timer(self, mono: float) -> None:
        """Start a change that is due.

        Raises:
            RemoteProtocolError: TIMEOUT: the peer did not answer our request.
        """
        if self._deadline is not None and mono >= self._deadline:
            raise RemoteProtocolError(
                Refusal.TIMEOUT, "the peer did not answer a key change", "the session starts anew"
            )
        if self._due is not None and mono >= self._due:
            self._due = mono + self._interval_s
            self.start(mono)

    def take_frame(self) -> RekeyFrame:
        """Return what is to be sealed now, as the last frame under the old key."""
        frame, self._frame = self._frame, None
        if frame is None:
            raise LocalProtocolError("no key change is waiting")
        self.state = RekeyState.SETTLED if frame.new_key else RekeyState.REQUEST_SENT
        return frame

    def on_request(self, control: Control, mono: float) -> Secret | None:
        """Take the peer's request; return the key to open with from now on, unless ignored.

        Raises:
            RemoteProtocolError: the request is malformed, or one too many; it is dropped.
        """
        if self.state is RekeyState.ANSWER_QUEUED:
            raise RemoteProtocolError(Refusal.LIMIT, "a key change before the last was answered")
        if self.state is RekeyState.REQUEST_SENT and not self._yields:
            return None
        peer_public, rekey_id = _parse(control)
        ephemeral = Ephemeral.generate(self._random)
        try:
            new_key = ephemeral.agree(peer_public)
        except sodium.CryptoError as error:
            raise RemoteProtocolError(Refusal.PROTOCOL, error.what) from error
        answer = self._control(MessageType.REKEY_RESPONSE, ephemeral.public, rekey_id)
        self._settle(mono)
        self._frame = RekeyFrame(answer, new_key)
        self.state = RekeyState.ANSWER_QUEUED
        return new_key

    def on_response(self, control: Control, mono: float) -> Secret:
        """Take the peer's answer; return the key for both directions from now on.

        Raises:
            RemoteProtocolError: it answers no request of ours, or is malformed; it is dropped.
        """
        peer_public, rekey_id = _parse(control)
        if (
            self.state is not RekeyState.REQUEST_SENT
            or self._ephemeral is None
            or not sodium.same(rekey_id.encode(), self._rekey_id.encode())
        ):
            raise RemoteProtocolError(Refusal.PROTOCOL, "an answer to no key change of ours")
        try:
            new_key = self._ephemeral.agree(peer_public)
        except sodium.CryptoError as error:
            raise RemoteProtocolError(Refusal.PROTOCOL, error.what) from error
        self._settle(mono)
        return new_key

    def forget(self) -> None:
        """Drop every key."""
        self._ephemeral = self._frame = self._deadline = self._due = None
        self.state = RekeyState.SETTLED

    def _settle(self, mono: float) -> None:
        self._ephemeral = self._frame = self._deadline = None
        self._rekey_id = ""
        self._due = mono + self._interval_s if self._interval_s else None
        self.state = RekeyState.SETTLED
        self.count += 1

    def _control(self, kind: MessageType, public: bytes, rekey_id: str) -> Control:
        return Control(
            type=kind,
            from_id=self._own_id,
            new_ephemeral_public=to_base64(public),
            rekey_id=rekey_id,
        )


def _parse(control: Control) -> tuple[bytes, str]:
    """Return (X25519 public key, rekey id) of a request or an answer."""
    if control.new_ephemeral_public is UNSET or control.rekey_id is UNSET or not control.rekey_id:
        raise RemoteProtocolError(Refusal.BAD_BODY, "a key change without key or id")
    public = from_base64(control.new_ephemeral_public)
    if public is None or len(public) != sodium.PUBLIC_BYTES:
        raise RemoteProtocolError(
            Refusal.BAD_BODY, "the key of a key change is not 32 bytes in canonical base64"
        )
    return public, control.rekey_id

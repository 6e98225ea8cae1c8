"""An established session on the published 0.8 wire (wire specification, sections 5 and 6)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from msgspec import UNSET

from ironmesh.errors import LocalProtocolError, RemoteProtocolError
from ironmesh.session.interface import (
    ChannelEvent,
    Opened,
    PeerAlive,
    PeerClaim,
    PeerClosing,
    PeerThrottled,
    Piece,
    Rekeyed,
    UnitRefused,
)
from ironmesh.session.legacy.opening import Opener, Received
from ironmesh.session.legacy.rekey import Rekey, RekeyState
from ironmesh.session.legacy.sealing import (
    MAX_PAYLOAD_BYTES,
    Draft,
    Sealer,
    check_sendable,
)
from ironmesh.session.legacy.settings import (
    LIVENESS_TIMEOUT_S,
    PING_INTERVAL_S,
    PONG_BURST,
    PONGS_PER_SECOND,
    PUBLISHED_FRAME_BURST,
    PUBLISHED_FRAMES_PER_SECOND,
    REMEMBERED_IDS,
    LegacySettings,
)
from ironmesh.types import (
    BRIDGED,
    Instant,
    LinkInfo,
    Message,
    MessageId,
    MessageType,
    NodeId,
    Refusal,
    Secret,
    Unit,
    WireKind,
    message_id_text,
)
from ironmesh.wire.legacy import bridged, control, frame, inner
from ironmesh.wire.legacy.constants import (
    APPLICATION_TTL,
    BROADCAST,
    CONTROL_TTL,
)
from ironmesh.wire.legacy.transit import Transit

_MAX_UNANSWERED_PINGS: Final = 16


class LegacyChannel:
    """One session with one peer; implements `Channel`. Only the handshakes make one.

    Args:
        claim: the peer, as the handshake verified it.
        key: the session key, 32 bytes.
    """

    def __init__(
        self, settings: LegacySettings, claim: PeerClaim, key: Secret, now: Instant
    ) -> None:
        self._settings = settings
        self._own_id = settings.identity.node_id
        self._peer_id = claim.node_id
        self._sealer: Sealer | None = Sealer(
            settings.identity,
            key,
            settings.random,
        )
        self._opener: Opener | None = Opener(settings, claim, key, now)
        self._rekey = Rekey(settings, claim, now.mono)
        self._controls: deque[control.Control] = deque()
        self._pings: deque[float] = deque()
        self._ping_due = now.mono + PING_INTERVAL_S
        self._pong_tokens = float(PONG_BURST)
        self._pong_filled = now.mono
        self._delivered: dict[tuple[str, MessageId], None] = {}
        self.link = LinkInfo(
            peer=claim.node_id,
            peer_name=claim.name,
            wire=WireKind.LEGACY,
            protocol_version=claim.protocol_version,
            max_payload_bytes=MAX_PAYLOAD_BYTES,
            frames_per_second=PUBLISHED_FRAMES_PER_SECOND,
            frame_burst=PUBLISHED_FRAME_BURST,
        )

    @property
    def wants_write(self) -> bool:
        """Control traffic waits: call `seal([], now)`."""
        if self._sealer is None or self._rekey.state is RekeyState.REQUEST_SENT:
            return False
        return bool(self._controls) or self._rekey.has_frame

    @property
    def is_holding(self) -> bool:
        """Our key change waits for the peer's answer."""
        return self._rekey.is_holding

    @property
    def rekey_count(self) -> int:
        """Key changes in this session so far."""
        return self._rekey.count

    @property
    def is_truncated(self) -> bool:
        """Never: published nodes hang up without a word, too."""
        return False

    @property
    def next_timer(self) -> float | None:
        """When to call `on_timer`, in monotonic seconds; None once closed."""
        if self._opener is None:
            return None
        opener = self._opener
        times = (self._rekey.next_timer, opener.retired_until, opener.confirm_by)
        return min(
            self._ping_due,
            opener.heard + LIVENESS_TIMEOUT_S,
            *(time for time in times if time is not None),
        )

    def seal(
        self, messages: Sequence[Message], now: Instant, piece: Piece | None = None
    ) -> list[Unit]:
        """Return the frames to write: waiting control traffic first, then the messages.

        Raises:
            MessageTooLargeError: a message does not fit; nothing of the list was sealed.
            LocalProtocolError: messages while `is_holding`, a message that is not ours to send, a
                piece of one, or the channel is closed.
        """
        if self._sealer is None:
            raise LocalProtocolError("the channel is closed")
        if piece is not None:
            raise LocalProtocolError("this wire takes no pieces of messages")
        if messages and self.is_holding:
            raise LocalProtocolError("a key change is under way")
        drafts = self._drafts(messages)
        units = self._seal_controls(self._sealer, now)
        for draft in drafts:
            if isinstance(draft, Transit):
                units.append(self._sealer.pass_on(draft.said, now.wall))
            else:
                units.append(self._sealer.seal(draft, now.wall))
        return units

    def open(self, unit: Unit, now: Instant) -> Opened:
        """Check and decrypt one frame; whatever is wrong with it costs only the frame.

        Raises:
            LocalProtocolError: the channel is closed.
        """
        if self._opener is None:
            raise LocalProtocolError("the channel is closed")
        if isinstance(unit, str):
            return _refused(Refusal.PROTOCOL, "a text message where only frames belong")
        try:
            return self._dispatch(self._opener.open(unit, now), self._opener, now)
        except RemoteProtocolError as error:
            return _refused(error.reason, error.what)

    def on_timer(self, now: Instant) -> None:
        """Queue pings and key changes that are due.

        Raises:
            RemoteProtocolError: TIMEOUT: nothing arrived for 90 s, or a key change did not end.
        """
        if self._opener is None:
            return
        if now.mono >= self._opener.heard + LIVENESS_TIMEOUT_S:
            raise RemoteProtocolError(
                Refusal.TIMEOUT, f"nothing arrived from the peer for {LIVENESS_TIMEOUT_S:.0f} s"
            )
        if self._opener.confirm_by is not None and now.mono >= self._opener.confirm_by:
            raise RemoteProtocolError(
                Refusal.TIMEOUT, "nothing arrived from the peer under the new session key"
            )
        self._opener.expire(now.mono)
        self._rekey.on_timer(now.mono)
        if now.mono >= self._ping_due:
            self._ping_due = now.mono + PING_INTERVAL_S
            self.ping(now)

    def ping(self, now: Instant) -> None:
        """Queue a ping, unless one waits already or too many are unanswered."""
        self._forget_old_pings(now.mono)
        is_waiting = any(queued.type == MessageType.PING for queued in self._controls)
        if not is_waiting and len(self._pings) < _MAX_UNANSWERED_PINGS:
            self._queue(MessageType.PING)

    def rekey(self, now: Instant) -> bool:
        """Start a key change; False when one is under way, the peer cannot, or all is over."""
        return self._sealer is not None and self._rekey.start(now.mono)

    def goodbye(self, reason: str, now: Instant) -> list[Unit]:
        """Return the goodbye to write last; what is still on its way to us can be opened."""
        if self._sealer is None:
            return []
        goodbye = control.Control(
            type=MessageType.GOODBYE,
            from_id=self._own_id,
            reason=reason[: control.MAX_REASON_CHARS],
        )
        units: list[Unit] = [self._sealer.seal(self._control_draft(goodbye), now.wall)]
        self._sealer = None
        self._controls.clear()
        return units

    def close(self, reason: str, now: Instant) -> list[Unit]:
        """Return the goodbye to write last, unless it was said, and drop the keys."""
        units = self.goodbye(reason, now)
        self._opener = None
        self._rekey.forget()
        self._controls.clear()
        self._delivered.clear()
        return units

    # --- Out ---------------------------------------------------------------------------------

    def _drafts(self, messages: Sequence[Message]) -> list[Draft | Transit]:
        for message in messages:
            check_sendable(message, self._own_id)
        return [self._draft(message) for message in messages]

    def _draft(self, message: Message) -> Draft | Transit:
        if isinstance(message, Transit):
            return message
        if message.type == BRIDGED:
            return _unpacked(message)
        if message.type in control.MESH_TYPES:
            text, ttl = message.id.hex(), CONTROL_TTL
        else:
            text, ttl = message_id_text(message.id), APPLICATION_TTL
        return Draft(
            message.type, message.payload, text, message.destination, ttl, message.priority
        )

    def _queue(self, kind: MessageType) -> None:
        self._controls.append(control.Control(type=kind, from_id=self._own_id))

    def _seal_controls(self, sealer: Sealer, now: Instant) -> list[Unit]:
        units: list[Unit] = []
        if self._rekey.state is RekeyState.REQUEST_SENT:
            return units
        if self._rekey.state is RekeyState.ANSWER_QUEUED:
            units.append(self._seal_rekey(sealer, now))
        while self._controls:
            waiting = self._controls.popleft()
            if waiting.type == MessageType.PING:
                self._pings.append(now.mono)
            units.append(sealer.seal(self._control_draft(waiting), now.wall))
        if self._rekey.state is RekeyState.REQUEST_QUEUED:
            units.append(self._seal_rekey(sealer, now))
        return units

    def _seal_rekey(self, sealer: Sealer, now: Instant) -> Unit:
        last = self._rekey.take_frame()
        unit = sealer.seal(self._control_draft(last.control), now.wall)
        if last.new_key is not None:
            sealer.switch(last.new_key)
        return unit

    def _control_draft(self, waiting: control.Control) -> Draft:
        message_id = self._settings.random(16).hex()
        return Draft(waiting.type, control.encode(waiting), message_id, BROADCAST, CONTROL_TTL)

    # --- In ----------------------------------------------------------------------------------

    def _dispatch(self, received: Received, opener: Opener, now: Instant) -> Opened:
        kind = received.inner.type
        if kind in control.CHANNEL_TYPES or kind in control.MESH_TYPES:
            if received.inner.hops:
                raise RemoteProtocolError(Refusal.PROTOCOL, f"a relayed {kind}")
            if received.is_transit:
                raise RemoteProtocolError(Refusal.NOT_FOR_US, f"a {kind} for somebody else")
        if kind not in control.CHANNEL_TYPES:
            return Opened(messages=[self._message(received)])
        return Opened(events=self._on_control(kind, received.payload, opener, now))

    def _on_control(
        self, kind: str, payload: bytes, opener: Opener, now: Instant
    ) -> list[ChannelEvent]:
        match kind:
            case MessageType.PING:
                self._take_pong_token(now.mono)
                self._queue(MessageType.PONG)
                return []
            case MessageType.PONG:
                self._forget_old_pings(now.mono)
                if not self._pings:
                    raise RemoteProtocolError(Refusal.PROTOCOL, "a PONG that answers no ping")
                return [PeerAlive(now.mono - self._pings.popleft())]
            case MessageType.GOODBYE:
                return [PeerClosing(_reason_of(payload))]
            case MessageType.RATE_LIMITED:
                return [PeerThrottled()]
            case MessageType.REKEY_REQUEST | MessageType.REKEY_RESPONSE:
                return self._on_rekey(kind, control.decode(payload), opener, now)
            case _:
                raise RemoteProtocolError(Refusal.PROTOCOL, f"{kind} has no place on this wire")

    def _on_rekey(
        self, kind: str, said: control.Control, opener: Opener, now: Instant
    ) -> list[ChannelEvent]:
        if kind == MessageType.REKEY_REQUEST:
            new_key = self._rekey.on_request(said, now.mono)
            if new_key is None:
                return []
        else:
            new_key = self._rekey.on_response(said, now.mono)
            if self._sealer is not None:
                self._sealer.switch(new_key)
        opener.switch(new_key, now.mono)
        self.ping(now)
        return [Rekeyed(self._rekey.count)]

    def _message(self, received: Received) -> Message:
        said = received.inner
        message_id = inner.message_id_of(said.msg_id)
        if received.is_transit:
            return Transit(
                id=message_id,
                type=said.type,
                payload=received.payload,
                source=NodeId(said.source),
                destination=NodeId(said.destination),
                priority=inner.priority_of(said),
                said=said,
            )
        if said.type not in control.MESH_TYPES:
            self._refuse_duplicate(said.source, message_id)
        return Message(
            id=message_id,
            type=said.type,
            payload=received.payload,
            source=NodeId(said.source),
            destination=NodeId(said.destination),
            priority=inner.priority_of(said),
            timestamp_ms=frame.milliseconds(received.timestamp_s),
        )

    def _refuse_duplicate(self, source: str, message_id: MessageId) -> None:
        key = (source, message_id)
        if key in self._delivered:
            raise RemoteProtocolError(Refusal.REPLAY, "a message that arrived before")
        if len(self._delivered) >= REMEMBERED_IDS:
            del self._delivered[next(iter(self._delivered))]
        self._delivered[key] = None

    def _forget_old_pings(self, mono: float) -> None:
        """Drop what stays unanswered: answers name no ping, so a lost one would shift them all."""
        while self._pings and mono - self._pings[0] >= PING_INTERVAL_S:
            self._pings.popleft()

    def _take_pong_token(self, mono: float) -> None:
        gained = (mono - self._pong_filled) * PONGS_PER_SECOND
        self._pong_tokens = min(PONG_BURST, self._pong_tokens + gained)
        self._pong_filled = mono
        if self._pong_tokens < 1:
            raise RemoteProtocolError(Refusal.LIMIT, "more pings than are answered")
        self._pong_tokens -= 1


def _unpacked(message: Message) -> Transit:
    """Return the frame that a bridge of ours took over from another node."""
    said = bridged.decode(message.payload).said
    return Transit(
        id=message.id,
        type=said.type,
        payload=said.payload,
        source=NodeId(said.source),
        destination=NodeId(said.destination),
        priority=message.priority,
        said=said,
    )


def _reason_of(payload: bytes) -> str:
    """Return why the peer leaves; published nodes do not say."""
    try:
        reason = control.decode(payload).reason
    except RemoteProtocolError:
        return ""
    return "" if reason is UNSET else reason


def _refused(reason: Refusal, detail: str) -> Opened:
    return Opened(events=[UnitRefused(reason, detail)])

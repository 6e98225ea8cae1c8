"""An established session on our own wire (docs/protocol-records.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ironmesh.crypto.identity import Identity
from ironmesh.errors import LocalProtocolError, MessageTooLargeError, RemoteProtocolError
from ironmesh.session.interface import (
    ChannelEvent,
    Opened,
    PeerAlive,
    PeerClaim,
    PeerClosing,
    PeerReady,
    Piece,
    Rekeyed,
    UnitRefused,
)
from ironmesh.session.native.chunks import Reassembly
from ironmesh.session.native.keys import SessionKeys
from ironmesh.session.native.keyupdate import KeyUpdate
from ironmesh.session.native.limits import (
    MAX_PAYLOAD_BYTES,
    MAX_REASON_BYTES,
    RADIO_REKEY_INTERVAL_S,
    REKEY_INTERVAL_S,
)
from ironmesh.session.native.liveness import Liveness
from ironmesh.session.native.packing import Packer, piece_bytes
from ironmesh.session.native.sealing import RecordReader, RecordWriter
from ironmesh.session.native.wear import Wear
from ironmesh.types import (
    Instant,
    LinkInfo,
    MeshType,
    Message,
    Random,
    Refusal,
    Unit,
    WireKind,
)
from ironmesh.wire.native.messages import Control, decode, encode_control, is_sendable
from ironmesh.wire.native.records import MAX_RECORD_BYTES, Direction
from ironmesh.wire.native.registry import ControlType

_UNSIGNED: Final = frozenset({ControlType.PING, ControlType.PONG, ControlType.PAD})
"""A record that holds nothing else, but for parcels, needs no signature."""
_FIRST_OF_RESPONDER: Final = frozenset({ControlType.READY, ControlType.CLOSE})
_KEY_CHANGES: Final = frozenset(
    {ControlType.KEY_UPDATE, ControlType.KEY_ANSWER, ControlType.KEY_UPDATED}
)
_LAST_OF_RECORD: Final = frozenset(
    {ControlType.CLOSE, ControlType.KEY_ANSWER, ControlType.KEY_UPDATED}
)


class NativeChannel:
    """One session with one peer; implements `Channel`. Only the handshakes make one.

    Transports keep the order of records, so whatever is wrong with one ends the session.

    Args:
        claim: the peer, as the handshake verified it.
        rekey_interval_s: seconds of use after which we change the keys; 0 = never by time.
        is_radio: the link is slow: pings and key changes are rare, and key changes classic.
        max_record_bytes: the largest record that the transport takes, at least 400.
    """

    def __init__(
        self,
        keys: SessionKeys,
        *,
        identity: Identity,
        claim: PeerClaim,
        random: Random,
        now: Instant,
        rekey_interval_s: float = REKEY_INTERVAL_S,
        is_radio: bool = False,
        max_record_bytes: int = MAX_RECORD_BYTES,
    ) -> None:
        own, peer = Direction.FROM_INITIATOR, Direction.FROM_RESPONDER
        own_chain, peer_chain = keys.initiator_chain, keys.responder_chain
        if not keys.is_initiator:
            own, peer, own_chain, peer_chain = peer, own, peer_chain, own_chain
        self._own_id = identity.node_id
        self._peer_id = claim.node_id
        self._max_bytes = max_record_bytes
        self._writer: RecordWriter | None = RecordWriter(identity, keys.session_id, own, own_chain)
        self._reader: RecordReader | None = RecordReader(
            claim.identity_public, keys.session_id, peer, peer_chain, max_record_bytes
        )
        self._update = KeyUpdate(
            keys, self._own_id, claim.node_id, random, is_hybrid=keys.is_hybrid and not is_radio
        )
        if is_radio and rekey_interval_s:
            rekey_interval_s = max(rekey_interval_s, RADIO_REKEY_INTERVAL_S)
        self._wear = Wear(rekey_interval_s, is_late=self._own_id > claim.node_id)
        self._liveness = Liveness(now.mono, is_radio=is_radio)
        self._chunks = Reassembly(claim.node_id, self._own_id)
        self._is_initiator = keys.is_initiator
        self._is_ready = not keys.is_initiator
        """Both sides have accepted each other."""
        self._must_say_ready = not keys.is_initiator
        self._has_peer_closed = False
        self.link = LinkInfo(
            peer=claim.node_id,
            peer_name=claim.name,
            wire=WireKind.NATIVE,
            protocol_version=claim.protocol_version,
            max_payload_bytes=MAX_PAYLOAD_BYTES,
            piece_bytes=piece_bytes(max_record_bytes),
            peer_clock_ms=claim.statement.clock_ms if claim.statement is not None else 0,
        )

    @property
    def wants_write(self) -> bool:
        """Control traffic waits: call `seal([], now)`."""
        if self._writer is None:
            return False
        return self._must_say_ready or self._update.has_control or self._liveness.has_control

    @property
    def is_holding(self) -> bool:
        """Never: messages flow during a key change."""
        return False

    @property
    def is_truncated(self) -> bool:
        """The peer has not said that its messages end."""
        return not self._has_peer_closed

    @property
    def rekey_count(self) -> int:
        """Key changes in this session so far."""
        return self._update.count

    @property
    def next_timer(self) -> float | None:
        """When to call `on_timer`, in monotonic seconds; None once closed."""
        if self._reader is None:
            return None
        due = self._wear.next_timer
        return self._liveness.next_timer if due is None else min(due, self._liveness.next_timer)

    def seal(
        self, messages: Sequence[Message], now: Instant, piece: Piece | None = None
    ) -> list[Unit]:
        """Return the records to write: waiting control traffic, the messages, then the piece.

        Raises:
            MessageTooLargeError: a message does not fit; nothing of the list was sealed.
            LocalProtocolError: a message that is not ours to send to this peer, or the channel is
                closed.
            RemoteProtocolError: the peer does not let the keys be changed: the session must end.
        """
        if self._writer is None:
            raise LocalProtocolError("the channel is closed")
        self._check_sendable(messages if piece is None else (*messages, piece.message))
        packer = Packer(self._writer, self._max_bytes)
        self._put_controls(packer, now)
        packer.put_messages(messages)
        if piece is not None:
            packer.put_piece(piece)
        packer.flush()
        if messages or piece is not None:
            self._wear.use(now.mono)
        self._change_worn_keys()
        return packer.units

    def open(self, unit: Unit, now: Instant) -> Opened:
        """Check and decrypt one record.

        Raises:
            RemoteProtocolError: something is wrong with it; nothing can be opened any more.
            LocalProtocolError: the channel is closed.
        """
        reader = self._reader
        if reader is None:
            raise LocalProtocolError("the channel is closed")
        try:
            opened = self._open(reader, unit, now)
            self._change_worn_keys()
        except RemoteProtocolError:
            self._drop_reader()
            raise
        return opened

    def on_timer(self, now: Instant) -> None:
        """Queue pings and key changes that are due.

        Raises:
            RemoteProtocolError: TIMEOUT: nothing arrived for too long; LIMIT: the peer does not let
                the keys be changed.
        """
        if self._reader is None:
            return
        self._liveness.on_timer(now.mono)
        if self._wear.is_due(now.mono):
            self.rekey(now)

    def ping(self, now: Instant) -> None:  # noqa: ARG002 - interface
        """Queue a ping, unless one waits already."""
        self._liveness.ping()

    def rekey(self, now: Instant) -> bool:  # noqa: ARG002 - interface
        """Start a key change; False when one is under way, or the session is not up."""
        return self._is_ready and self._writer is not None and self._update.start()

    def goodbye(self, reason: str, now: Instant) -> list[Unit]:  # noqa: ARG002 - interface
        """Return the goodbye to write last; what the peer sent before it knows can be opened."""
        if self._writer is None:
            return []
        packer = Packer(self._writer, self._max_bytes)
        text = reason.encode(errors="replace")[:MAX_REASON_BYTES].decode(errors="ignore")
        packer.put_control(encode_control(ControlType.CLOSE, text.encode()))
        packer.flush()
        self._writer = None
        return packer.units

    def close(self, reason: str, now: Instant) -> list[Unit]:
        """Return the goodbye to write last, unless it was said, and drop the keys."""
        units = self.goodbye(reason, now)
        self._drop_reader()
        self._update.forget()
        return units

    # --- Out ---------------------------------------------------------------------------------

    def _check_sendable(self, messages: Sequence[Message]) -> None:
        own_id, peer_id = self._own_id, self._peer_id
        for message in messages:
            size = len(message.payload)
            if size > MAX_PAYLOAD_BYTES:
                raise MessageTooLargeError(
                    f"the payload has {size} bytes, this link takes {MAX_PAYLOAD_BYTES}",
                    "send it in parts",
                )
            if message.source != own_id or message.destination != peer_id:
                raise LocalProtocolError("only messages of this node to its peer can be sealed")
            if not is_sendable(message.type):
                raise LocalProtocolError(f"messages of type {message.type!a} are not sent")

    def _put_controls(self, packer: Packer, now: Instant) -> None:
        if self._must_say_ready:
            self._must_say_ready = False
            packer.put_control(encode_control(ControlType.READY))
        if self._liveness.has_control:
            for control in self._liveness.take_controls(now.mono):
                packer.put_control(control, is_signed=False)
        if self._update.has_control:
            kind, body, chain = self._update.take_control()
            packer.put_control(encode_control(kind, body))
            if chain is not None:
                packer.switch(chain)

    def _change_worn_keys(self) -> None:
        writer, reader = self._writer, self._reader
        if writer and reader and self._wear.is_worn(writer, reader) and self._is_ready:
            self._update.start()

    # --- In ----------------------------------------------------------------------------------

    def _open(self, reader: RecordReader, unit: Unit, now: Instant) -> Opened:
        if isinstance(unit, str):
            raise RemoteProtocolError(Refusal.PROTOCOL, "a text message where records belong")
        if self._has_peer_closed:
            raise RemoteProtocolError(Refusal.PROTOCOL, "a record after the last one")
        record = reader.open(unit)
        self._liveness.hear(now.mono)
        items = decode(record.messages, self._peer_id, self._own_id)
        self._check_place(items, is_signed=record.is_signed)
        opened = Opened()
        messages = opened.messages
        for item in items:
            if isinstance(item, Message):
                messages.append(item)
            elif item.kind in _LAST_OF_RECORD and item is not items[-1]:
                raise _out_of_place(item, "that is not the last of its record")
            elif item.kind is ControlType.CHUNK:
                self._on_chunk(item, messages, now)
            elif item.kind in _KEY_CHANGES:
                opened.events.extend(self._on_key_change(item, reader))
            else:
                opened.events.extend(self._on_control(item, now))
        if messages:
            self._wear.use(now.mono)
        return opened

    def _check_place(self, items: list[Message | Control], *, is_signed: bool) -> None:
        """Accept what a record holds, given its signature and what came before it."""
        if not is_signed and not all(map(_needs_no_signature, items)):
            raise RemoteProtocolError(Refusal.UNSIGNED, "messages that the peer did not sign")
        if self._is_ready:
            return
        first = items[0] if items else None
        if not isinstance(first, Control) or first.kind not in _FIRST_OF_RESPONDER:
            raise RemoteProtocolError(Refusal.PROTOCOL, "a record before READY")

    def _on_chunk(self, chunk: Control, messages: list[Message], now: Instant) -> None:
        self._wear.use(now.mono)
        message = self._chunks.take(chunk)
        if message is not None:
            messages.append(message)

    def _on_key_change(self, control: Control, reader: RecordReader) -> list[ChannelEvent]:
        if control.kind is ControlType.KEY_UPDATE:
            self._update.on_offer(control.body)
            return []
        if control.kind is ControlType.KEY_ANSWER:
            chain = self._update.on_answer(control.body)
        else:
            chain = self._update.on_updated(control.body)
        reader.next_phase(chain)
        self._wear.renew()
        return [Rekeyed(self._update.count)]

    def _on_control(self, control: Control, now: Instant) -> list[ChannelEvent]:
        body = control.body
        match control.kind:
            case ControlType.PING:
                if not self._liveness.on_ping(body, now.mono):
                    return [UnitRefused(Refusal.LIMIT, "more pings than are answered")]
            case ControlType.PONG:
                rtt_s = self._liveness.on_pong(body, now.mono)
                return [] if rtt_s is None else [PeerAlive(rtt_s)]
            case ControlType.READY:
                if self._is_ready or body:
                    raise _out_of_place(control, "that is malformed, or not the first record")
                self._is_ready = True
                return [PeerReady()]
            case ControlType.CLOSE:
                self._has_peer_closed = True
                self._chunks.forget()
                return [PeerClosing(_reason_of(body))]
            case _:
                if body.strip(b"\0"):
                    raise _out_of_place(control, "of anything but zeros")
        return []

    def _drop_reader(self) -> None:
        self._reader = None
        self._chunks.forget()


def _needs_no_signature(item: Message | Control) -> bool:
    """Tell whether it may stand in a record that is not signed: parcels bear a signature."""
    return item.type == MeshType.PARCEL if isinstance(item, Message) else item.kind in _UNSIGNED


def _reason_of(body: bytes) -> str:
    if len(body) > MAX_REASON_BYTES:
        raise RemoteProtocolError(Refusal.TOO_LARGE, f"a reason of {len(body)} bytes")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise RemoteProtocolError(Refusal.BAD_BODY, "a reason that is no text") from error


def _out_of_place(control: Control, how: str) -> RemoteProtocolError:
    return RemoteProtocolError(Refusal.PROTOCOL, f"a {control.kind.name} {how}")

"""The outgoing half of a 0.8 session: signed, encrypted frames."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from ironmesh.crypto import sodium
from ironmesh.crypto.identity import Identity
from ironmesh.errors import LocalProtocolError, MessageTooLargeError
from ironmesh.types import Message, MessagePriority, NodeId, Random, Secret, is_node_id
from ironmesh.wire.legacy import frame, inner, source
from ironmesh.wire.legacy.constants import (
    APPLICATION_TTL,
    BROADCAST,
    MAX_SENT_TYPE_CHARS,
    MAX_SEQUENCE,
    MAX_UNIT_BYTES,
)
from ironmesh.wire.legacy.control import CHANNEL_TYPES
from ironmesh.wire.legacy.transit import WRITTEN_LATER, Transit, fits


class Draft(NamedTuple):
    """What a frame is to say."""

    type: str
    payload: bytes
    message_id: str
    destination: str
    ttl: int
    priority: MessagePriority = MessagePriority.NORMAL


def check_sendable(message: Message, own_id: NodeId) -> None:
    """Accept a message that a frame of ours can carry.

    Raises:
        MessageTooLargeError: it does not fit.
        LocalProtocolError: it is not ours to send.
    """
    if isinstance(message, Transit):
        if not fits(message.said):
            raise MessageTooLargeError("the frame is larger than published nodes take")
        return
    size = len(message.payload)
    if size > MAX_PAYLOAD_BYTES:
        raise MessageTooLargeError(
            f"the payload has {size} bytes, this link takes {MAX_PAYLOAD_BYTES}",
            "send it in parts",
        )
    if message.source != own_id:
        raise LocalProtocolError("only messages of this node can be sealed")
    if not (message.destination == BROADCAST or is_node_id(message.destination)):
        raise LocalProtocolError("a destination that is no node id")
    if not _is_sendable(message.type):
        raise LocalProtocolError(f"messages of type {message.type!a} are not sent")


def _is_sendable(kind: str) -> bool:
    is_text = kind.isascii() or not any("\ud800" <= char <= "\udfff" for char in kind)
    return is_text and 0 < len(kind) <= MAX_SENT_TYPE_CHARS and kind not in CHANNEL_TYPES


class Sealer:
    """Numbers, signs and encrypts frames; the order of calls is the order on the wire.

    A frame carries two signatures by one key: ours as the originator, inside the ciphertext, and
    ours as the immediate sender, over the ciphertext.
    """

    __slots__ = ("_identity", "_key", "_random", "_sequence", "_source")

    def __init__(self, identity: Identity, key: Secret, random: Random) -> None:
        self._identity = identity
        self._source = identity.node_id
        self._random = random
        self._key = key
        self._sequence = 0

    def switch(self, key: Secret) -> None:
        """Seal with `key` from the next frame on, which is number 1 again."""
        self._key = key
        self._sequence = 0

    def seal(self, draft: Draft, wall: float) -> bytes:
        """Return the frame of one message, stamped with `wall` (seconds since 1970)."""
        own_id = self._source
        return self._write(
            inner.Inner(
                type=draft.type,
                payload=draft.payload,
                msg_id=draft.message_id,
                source=own_id,
                source_display=own_id,
                destination=draft.destination,
                timestamp=wall,
                priority=draft.priority.value,
                ttl=draft.ttl,
                source_signature=self._sign_source(draft),
                source_sig_scheme=source.SCHEME_V2,
            ),
            wall,
            draft.priority,
        )

    def pass_on(self, said: inner.Inner, wall: float) -> bytes:
        """Return the frame of a message as its source wrote it; one without a time gets `wall`."""
        timestamp_s = inner.timestamp_of(said)
        if timestamp_s == WRITTEN_LATER:
            said, timestamp_s = msgspec.structs.replace(said, timestamp=wall), wall
        return self._write(said, timestamp_s, inner.priority_of(said))

    def _write(self, said: inner.Inner, timestamp_s: float, priority: MessagePriority) -> bytes:
        self._sequence += 1
        plaintext = inner.encode(msgspec.structs.replace(said, sequence=self._sequence))
        nonce = self._random(sodium.BOX_NONCE_BYTES)
        ciphertext = frame.encrypt(self._key.reveal(), nonce, plaintext)
        return frame.pack(
            ciphertext,
            self._identity.sign(ciphertext),
            sequence=self._sequence,
            timestamp_ms=frame.milliseconds(timestamp_s),
            message_id_hash=frame.id_hash(said.msg_id),
            priority=priority,
        )

    def _sign_source(self, draft: Draft) -> bytes:
        return self._identity.sign(
            source.signed_v2(self._source, draft.destination, draft.message_id, draft.payload)
        )


def _worst_envelope_bytes() -> int:
    """Return the size of the largest inner object that has an empty payload."""
    return len(
        inner.encode(
            inner.Inner(
                type="\U0001f600" * MAX_SENT_TYPE_CHARS,
                msg_id="x" * 36,
                source="x" * 32,
                source_display="x" * 32,
                destination="x" * 32,
                timestamp=1767225600.1234567,
                priority=MessagePriority.CRITICAL.value,
                sequence=MAX_SEQUENCE,
                ttl=APPLICATION_TTL,
                source_signature=bytes(sodium.SIGNATURE_BYTES),
                source_sig_scheme=source.SCHEME_V2,
            )
        )
    )


MAX_PAYLOAD_BYTES: Final = (
    (MAX_UNIT_BYTES - frame.OVERHEAD_BYTES - _worst_envelope_bytes()) // 4 * 3
)
"""The largest payload that fits a frame whatever else the message says; base64 costs a third."""

"""Pins, revocations and messages as operators see them."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any, Final

from ironmesh.control.api import HistoryView, OutboxDetail, OutboxView, PinView
from ironmesh.delivery.records import OutboxRow
from ironmesh.errors import TrustError, UnknownMessageError
from ironmesh.store.database import entries
from ironmesh.store.database.entries import HistoryEntry, SentMessage
from ironmesh.trust.pins import Pin, Revocation
from ironmesh.trust.store import TrustStore
from ironmesh.types import MessageId, WireKind, is_node_id, message_id_text

MAX_LIKE: Final = 2
"""So many ids must be known of those that begin alike: one is unique, two are not."""

_BEGINNING: Final = re.compile(r"[0-9a-f]{1,32}")


def pin_view(pin: Pin, *, is_online: bool = False) -> PinView:
    """Return a pin as an operator sees it."""
    return PinView(
        node_id=pin.node_id,
        name=pin.name,
        state=pin.state.value,
        public_key_b64=pin.public_text,
        first_seen=pin.first_seen,
        last_seen=pin.last_seen,
        is_verified=pin.verified,
        wire=(WireKind.NATIVE if pin.seen_native else WireKind.LEGACY).value,
        is_online=is_online,
        capabilities=pin.capability_set or (),
        capabilities_pending=pin.capability_set_pending or (),
    )


def revoked_view(record: Revocation) -> PinView:
    """Return a revocation as an operator sees it."""
    return PinView(
        node_id=record.node_id,
        name="",
        state="revoked",
        public_key_b64="",
        first_seen=record.timestamp,
        last_seen=record.timestamp,
        revoked_at=record.timestamp,
        reason=record.reason,
    )


def find_revoked(trust: TrustStore, who: str) -> Revocation | None:
    """Return the revocation of a node id, if there is one; names have none."""
    if not is_node_id(who):
        return None
    return next((record for record in trust.list_revoked() if record.node_id == who), None)


def decode_key(public_key_b64: str) -> bytes:
    """Return a public key from its base64 text; whether it is a key, the trust store checks.

    Raises:
        TrustError: it is not base64.
    """
    try:
        return base64.b64decode(public_key_b64, validate=True)
    except (binascii.Error, ValueError) as error:
        raise TrustError("the public key is not base64", "copy it whole") from error


# --- Messages ------------------------------------------------------------------------------------


def outbox_view(row: OutboxRow, name: str) -> OutboxView:
    """Return a message of ours as an operator sees it; `name` is that of its destination."""
    return OutboxView(**_fields(row, name))


def outbox_detail(sent: SentMessage, name: str) -> OutboxDetail:
    """Return a message of ours with its payload; `name` is that of its destination."""
    return OutboxDetail(**_fields(sent.row, name), payload=sent.payload)


def _fields(row: OutboxRow, name: str) -> dict[str, Any]:
    return {
        "id": message_id_text(row.id),
        "node_id": row.destination,
        "name": name,
        "type": row.type,
        "priority": row.priority,
        "size_bytes": row.size_bytes,
        "state": row.state.value,
        "accepted_at": row.accepted_wall,
        "expires_at": row.as_of_wall + row.lifetime_s,
        "attempts": row.attempts,
        "ended_at": row.ended_wall,
        "reason": row.reason,
    }


def history_view(entry: HistoryEntry, name: str) -> HistoryView:
    """Return a message of either direction as an operator sees it; `name` is that of its peer."""
    state = "handled" if entry.is_handled else "waiting"
    return HistoryView(
        direction="sent" if entry.direction is entries.Direction.SENT else "received",
        id=message_id_text(entry.id),
        node_id=entry.peer,
        name=name,
        type=entry.type,
        priority=entry.priority,
        size_bytes=entry.size_bytes,
        at=entry.wall,
        state=state if entry.state is None else entry.state.value,
        ended_at=entry.ended_wall,
        reason=entry.reason,
    )


def id_beginning(text: str) -> str:
    """Return the beginning of a message id, as a person wrote it, in bare hexadecimal.

    Raises:
        UnknownMessageError: no id looks like that.
    """
    digits = text.strip().lower().replace("-", "")
    if not _BEGINNING.fullmatch(digits):
        raise UnknownMessageError(f"{text!r} is no message id", "copy it from: ironmesh history")
    return digits


def only_id(text: str, found: Sequence[MessageId]) -> MessageId:
    """Return the only id that begins like `text`.

    Raises:
        UnknownMessageError: there is none, or there are several.
    """
    if not found:
        raise UnknownMessageError(
            f"no message of ours has the id {text!r}", "see: ironmesh history"
        )
    if len(found) > 1:
        raise UnknownMessageError(f"several messages begin with {text!r}", "give more of the id")
    return found[0]


def known(sent: SentMessage | None, text: str) -> SentMessage:
    """Return the message that `text` named; it may have been pruned since its id was found.

    Raises:
        UnknownMessageError: it is gone.
    """
    if sent is None:
        raise UnknownMessageError(f"the message {text!r} is gone", "see: ironmesh history")
    return sent

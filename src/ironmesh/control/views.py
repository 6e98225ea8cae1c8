"""Pins and revocations as operators see them."""

from __future__ import annotations

import base64
import binascii

from ironmesh.control.api import PinView
from ironmesh.errors import TrustError
from ironmesh.trust.pins import Pin, Revocation
from ironmesh.trust.store import TrustStore
from ironmesh.types import is_node_id


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

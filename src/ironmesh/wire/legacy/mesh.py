"""Payloads by which 0.8 nodes speak of the mesh: routes, capabilities, revocations.

Wire specification 6.4, 10.1, 10.5, 10.6. Decoding checks shape and size only; whether a peer may
say so is for those who act on it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Final, TypeGuard

import msgspec

from ironmesh.crypto import sodium
from ironmesh.crypto.identity import Identity, node_id_of
from ironmesh.errors import RemoteProtocolError
from ironmesh.types import NodeId, Refusal, is_node_id
from ironmesh.wire import json_text

MAX_MESH_PAYLOAD_BYTES: Final = 1_048_576
MAX_ROUTES: Final = 4096
"""Entries of one announcement; more are refused."""
MAX_CAPABILITIES: Final = 1024
MAX_CAPABILITY_BYTES: Final = 256
MAX_REASON_CHARS: Final = 1024
MAX_MESSAGE_ID_CHARS: Final = 256
CAPABILITY_VERSION: Final = 1

_CAPABILITY_CONTEXT: Final = b"ironmesh-sig-v1/capability-announce\0"
_MAX_INT: Final = 2**53


class RouteEntry(msgspec.Struct, frozen=True, gc=False):
    """One destination that the announcing node can reach, and at what cost."""

    destination: NodeId
    cost: int


class RouteAnnounce(msgspec.Struct, frozen=True):
    """What one neighbour can reach."""

    origin: NodeId
    routes: tuple[RouteEntry, ...]
    sequence_number: int = 0
    """Counts announcements of one process; receivers ignore it."""


class RouteUnreachable(msgspec.Struct, frozen=True):
    """A relay had no route for a message."""

    destination: NodeId
    original_msg_id: str
    reason: str = "no_route"


class CapabilitySignature(msgspec.Struct, frozen=True):
    """What 0.9 adds to an announcement, so that others may pass it on."""

    announced_at: float
    """Seconds since 1970, by the origin's clock."""
    signature: bytes
    """Ed25519 by the origin, 64 bytes."""


class CapabilityAnnounce(msgspec.Struct, frozen=True):
    """The complete set of capabilities of one node."""

    origin: NodeId | None
    """Whose they are; None = the peer that sent this."""
    capabilities: tuple[str, ...]
    """In transmitted order, which the signature covers."""
    signed: CapabilitySignature | None = None


class Revocation(msgspec.Struct, frozen=True):
    """One node declares another node's key as no longer to be trusted."""

    target: NodeId
    revoker: NodeId
    timestamp: int
    """Seconds since 1970, by the revoker's clock."""
    reason: str
    """For people; not covered by the signature."""
    signature: bytes
    """Ed25519 by the revoker, 64 bytes."""


# --- Routes --------------------------------------------------------------------------------------


def encode_route_announce(announce: RouteAnnounce) -> bytes:
    """Return the payload of ROUTE_ANNOUNCE (wire specification 10.1)."""
    return json_text.compact(
        {
            "origin": announce.origin,
            "routes": [
                {"destination": route.destination, "cost": route.cost} for route in announce.routes
            ],
            "sequence_number": announce.sequence_number,
        }
    )


def decode_route_announce(payload: bytes) -> RouteAnnounce:
    """Decode ROUTE_ANNOUNCE; entries that are not well formed are skipped (10.2), not fatal.

    Raises:
        RemoteProtocolError: not such a payload, or more than 4096 entries.
    """
    members = _members(payload)
    routes = members.get("routes")
    if not isinstance(routes, list):
        raise _bad("routes is not a list")
    if len(routes) > MAX_ROUTES:
        raise RemoteProtocolError(Refusal.TOO_LARGE, f"more than {MAX_ROUTES} routes")
    return RouteAnnounce(
        origin=_node_id(members, "origin"),
        routes=tuple(entry for entry in map(_route_entry, routes) if entry is not None),
        sequence_number=_integer(members, "sequence_number", default=0),
    )


def _route_entry(value: Any) -> RouteEntry | None:
    if not isinstance(value, dict):
        return None
    destination, cost = value.get("destination"), value.get("cost")
    if not isinstance(destination, str) or not is_node_id(destination) or not _is_integer(cost):
        return None
    return RouteEntry(NodeId(destination), cost)


def encode_route_unreachable(unreachable: RouteUnreachable) -> bytes:
    """Return the payload of ROUTE_UNREACHABLE (10.5)."""
    return json_text.compact(
        {
            "destination": unreachable.destination,
            "original_msg_id": unreachable.original_msg_id,
            "reason": unreachable.reason,
        }
    )


def decode_route_unreachable(payload: bytes) -> RouteUnreachable:
    """Decode ROUTE_UNREACHABLE.

    Raises:
        RemoteProtocolError: not such a payload.
    """
    members = _members(payload)
    return RouteUnreachable(
        destination=_node_id(members, "destination"),
        original_msg_id=_text(members, "original_msg_id", MAX_MESSAGE_ID_CHARS),
        reason=_text(members, "reason", MAX_REASON_CHARS, default=""),
    )


# --- Capabilities --------------------------------------------------------------------------------


def capability_signed_bytes(
    origin: NodeId, capabilities: Sequence[str], announced_at: float
) -> bytes:
    """Return what the origin of a 0.9 capability announcement signs (10.6).

    Args:
        capabilities: in transmitted order.
        announced_at: seconds since 1970.
    """
    return _CAPABILITY_CONTEXT + json_text.compact(
        {
            "announced_at": announced_at,
            "capabilities": list(capabilities),
            "origin": origin,
            "version": CAPABILITY_VERSION,
        }
    )


def sign_capabilities(
    identity: Identity, capabilities: Sequence[str], announced_at: float
) -> CapabilityAnnounce:
    """Return the signed announcement of a node's own capabilities."""
    tokens = tuple(sorted(capabilities))
    signature = identity.sign(capability_signed_bytes(identity.node_id, tokens, announced_at))
    signed = CapabilitySignature(announced_at, signature)
    return CapabilityAnnounce(identity.node_id, tokens, signed)


def is_signed_by(announce: CapabilityAnnounce, public: bytes) -> bool:
    """Tell whether the origin, whose Ed25519 key is `public` (32 bytes), signed `announce`."""
    if announce.signed is None or announce.origin is None or node_id_of(public) != announce.origin:
        return False
    data = capability_signed_bytes(
        announce.origin, announce.capabilities, announce.signed.announced_at
    )
    return sodium.verify(public, data, announce.signed.signature)


def encode_capability_announce(announce: CapabilityAnnounce) -> bytes:
    """Return the payload of CAPABILITY_ANNOUNCE."""
    members: dict[str, Any] = {} if announce.origin is None else {"origin": announce.origin}
    members["capabilities"] = list(announce.capabilities)
    if announce.signed is not None:
        members["announced_at"] = announce.signed.announced_at
        members["version"] = CAPABILITY_VERSION
        members["signature"] = base64.b64encode(announce.signed.signature).decode()
    return json_text.compact(members)


def decode_capability_announce(payload: bytes) -> CapabilityAnnounce:
    """Decode CAPABILITY_ANNOUNCE.

    Without a signature, tokens that are no text of 1 to 256 bytes are left out, as are all after
    the first 1024; a signed list must not need that, because the signature covers every token.

    Raises:
        RemoteProtocolError: not such a payload.
    """
    members = _members(payload)
    listed = members.get("capabilities")
    if not isinstance(listed, list):
        raise _bad("capabilities is not a list")
    tokens = tuple(token for token in listed if _is_token(token))[:MAX_CAPABILITIES]
    signed = _capability_signature(members)
    if signed is not None and len(tokens) != len(listed):
        raise _bad("a signed capability list has unusable tokens")
    origin = _node_id(members, "origin") if "origin" in members else None
    return CapabilityAnnounce(origin, tokens, signed)


def _capability_signature(members: dict[str, Any]) -> CapabilitySignature | None:
    if "signature" not in members:
        return None
    if members.get("version") != CAPABILITY_VERSION:
        raise _bad("version of the signed announcement is unknown")
    announced_at = members.get("announced_at")
    if not isinstance(announced_at, float):
        raise _bad("announced_at is not a float")
    return CapabilitySignature(announced_at, _signature(members))


def _is_token(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value.encode()) <= MAX_CAPABILITY_BYTES


# --- Revocation ----------------------------------------------------------------------------------


def revocation_signed_bytes(target: NodeId, revoker: NodeId, timestamp: int) -> bytes:
    """Return what a revoker signs: both ids and the decimal timestamp, ASCII (6.4)."""
    return f"{target}{revoker}{timestamp}".encode("ascii")


def sign_revocation(
    identity: Identity, target: NodeId, timestamp: int, reason: str = ""
) -> Revocation:
    """Return the revocation of `target` by `identity` at `timestamp` (seconds since 1970)."""
    signature = identity.sign(revocation_signed_bytes(target, identity.node_id, timestamp))
    return Revocation(target, identity.node_id, timestamp, reason, signature)


def is_revoked_by(revocation: Revocation, public: bytes) -> bool:
    """Tell whether the revoker, whose Ed25519 key is `public` (32 bytes), signed it."""
    data = revocation_signed_bytes(revocation.target, revocation.revoker, revocation.timestamp)
    return node_id_of(public) == revocation.revoker and sodium.verify(
        public, data, revocation.signature
    )


def encode_revocation(revocation: Revocation) -> bytes:
    """Return the payload of REVOCATION."""
    return json_text.compact(
        {
            "type": "REVOCATION",
            "from": revocation.revoker,
            "target_node_id": revocation.target,
            "revoker_node_id": revocation.revoker,
            "timestamp": revocation.timestamp,
            "reason": revocation.reason,
            "signature": base64.b64encode(revocation.signature).decode(),
        }
    )


def decode_revocation(payload: bytes) -> Revocation:
    """Decode REVOCATION; the signature is not checked here.

    Raises:
        RemoteProtocolError: not such a payload.
    """
    members = _members(payload)
    timestamp = _integer(members, "timestamp")
    if timestamp <= 0:
        raise _bad("timestamp is not positive")
    return Revocation(
        target=_node_id(members, "target_node_id"),
        revoker=_node_id(members, "revoker_node_id"),
        timestamp=timestamp,
        reason=_text(members, "reason", MAX_REASON_CHARS, default=""),
        signature=_signature(members),
    )


# --- Members -------------------------------------------------------------------------------------


def _bad(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(Refusal.BAD_BODY, what)


def _members(payload: bytes) -> dict[str, Any]:
    if len(payload) > MAX_MESH_PAYLOAD_BYTES:
        raise RemoteProtocolError(
            Refusal.TOO_LARGE, f"the payload is longer than {MAX_MESH_PAYLOAD_BYTES} bytes"
        )
    try:
        return json_text.parse_object(payload, max_bytes=MAX_MESH_PAYLOAD_BYTES)
    except ValueError as error:
        raise _bad("the payload is not a JSON object") from error


def _node_id(members: dict[str, Any], name: str) -> NodeId:
    value = members.get(name)
    if not isinstance(value, str) or not is_node_id(value):
        raise _bad(f"{name} is not a node id")
    return NodeId(value)


def _is_integer(value: Any) -> TypeGuard[int]:
    return type(value) is int and -_MAX_INT <= value <= _MAX_INT


def _integer(members: dict[str, Any], name: str, *, default: int | None = None) -> int:
    value = members.get(name, default)
    if not _is_integer(value):
        raise _bad(f"{name} is not an integer")
    return value


def _text(members: dict[str, Any], name: str, max_chars: int, *, default: str | None = None) -> str:
    value = members.get(name, default)
    if not isinstance(value, str) or len(value) > max_chars:
        raise _bad(f"{name} is not a string of at most {max_chars} characters")
    return value


def _signature(members: dict[str, Any]) -> bytes:
    try:
        signature = base64.b64decode(str(members.get("signature")), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _bad("signature is not base64") from error
    if len(signature) != sodium.SIGNATURE_BYTES:
        raise _bad(f"signature is not {sodium.SIGNATURE_BYTES} bytes long")
    return signature

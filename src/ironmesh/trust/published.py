"""Pin files as the published package wrote them: version 1, and version 2 (encrypted)."""

from __future__ import annotations

import base64
import json
from typing import Any, Final, TypeVar

import msgspec

from ironmesh.crypto import sodium
from ironmesh.crypto.identity import node_id_of
from ironmesh.errors import TrustFileError
from ironmesh.trust.book import TrustBook
from ironmesh.trust.pins import MAX_REASON_CHARS, HashField, Pin, Revocation, TrustState
from ironmesh.types import NodeId, Secret, is_node_id
from ironmesh.wire.json_text import parse_object

_MAC_LABEL: Final = b"ironmesh-trust-store-v1"
_BOX_LABEL: Final = b"ironmesh-trust-store-encryption-v1"
_FIX: Final = (
    "nothing was changed; restore it from a backup, or move it away to start without its pins"
)


_T = TypeVar("_T", bound=msgspec.Struct)


class Published(msgspec.Struct, frozen=True):
    """What a published pin file held."""

    book: TrustBook
    """Its pins hold no names, because these files keep none: the first claim of a key binds one."""
    notices: tuple[str, ...]
    """What the operator should know, each one line."""


class _Entry(msgspec.Struct, frozen=True):
    """One peer of a published file; members that we do not know are left out."""

    pubkey: str
    first_seen: float = 0.0
    last_seen: float = 0.0
    trust_state: TrustState = TrustState.TRUSTED
    capability_hash: HashField | None = None
    capability_set: tuple[str, ...] | None = None
    capability_hash_pending: HashField | None = None
    capability_set_pending: tuple[str, ...] | None = None
    cap_first_observed: float | None = None
    cap_accepted_at: float | None = None
    cap_rejected_at: float | None = None


_KEPT: Final = tuple(set(_Entry.__struct_fields__) & set(Pin.__struct_fields__))


class _RevokedEntry(msgspec.Struct, frozen=True):
    revoker: str
    timestamp: float
    reason: str = ""


def read_published(data: bytes, identity_seed: Secret | None) -> Published:
    """Read a pin file of the published package.

    A file without a checksum is accepted, as the published package does, but its peers come in as
    `pending` (blocked ones stay blocked).

    Args:
        data: the content of the file.
        identity_seed: Ed25519 seed (32 bytes) of the node that wrote it.

    Raises:
        TrustFileError: damaged, edited, or written by a node with another identity.
    """
    content = _object(data)
    mac = content.pop("_mac", None)
    if mac is None and "ciphertext" not in content:
        return _content(content, is_checked=False)
    if identity_seed is None:
        raise TrustFileError(
            "this pin file was written by the published package, and its identity is not at hand",
            "give the key file of the same node",
        )
    seed = identity_seed.reveal()
    expected = sodium.hmac_sha256(sodium.sha256(seed + _MAC_LABEL), _checked_bytes(content)).hex()
    if not isinstance(mac, str) or not sodium.same(mac.encode(), expected.encode()):
        raise TrustFileError(
            "the published pin file was edited, or belongs to another identity", _FIX
        )
    if "ciphertext" in content:
        content = _object(_decrypt(content["ciphertext"], sodium.sha256(seed + _BOX_LABEL)))
    return _content(content, is_checked=True)


def _checked_bytes(content: dict[str, Any]) -> bytes:
    if "ciphertext" in content:
        return f"v={content.get('version')}|c={content['ciphertext']}".encode()
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _object(data: bytes) -> dict[str, Any]:
    try:
        return parse_object(data, max_bytes=len(data))
    except ValueError as error:
        raise TrustFileError(f"the published pin file is damaged ({error})", _FIX) from error


def _decrypt(ciphertext: object, key: bytes) -> bytes:
    try:
        sealed = base64.b64decode(str(ciphertext), validate=True)
        return sodium.secretbox_open(
            key, sealed[: sodium.BOX_NONCE_BYTES], sealed[sodium.BOX_NONCE_BYTES :]
        )
    except (ValueError, sodium.CryptoError) as error:
        raise TrustFileError("the published pin file does not open", _FIX) from error


def _content(content: dict[str, Any], *, is_checked: bool) -> Published:
    peers, revoked = content.get("peers"), content.get("revoked", {})
    if not isinstance(peers, dict) or not isinstance(revoked, dict):
        raise TrustFileError("the published pin file is damaged (no table of peers)", _FIX)
    pins: dict[NodeId, Pin] = {}
    for name, value in peers.items():
        pin = _pin(name, value, is_checked=is_checked)
        if pin is not None:
            pins[pin.node_id] = pin
    records = {NodeId(name): _revocation(NodeId(name), value) for name, value in revoked.items()}
    notices = [f"read {len(pins)} pins and {len(records)} revocations of the published package"]
    if len(pins) < len(peers):
        notices.append(f"left out {len(peers) - len(pins)} entries that have no key of their own")
    if not is_checked:
        notices.append(
            "the pin file had no checksum: its peers are pending until `ironmesh trust set-state`"
        )
    return Published(TrustBook().merge(TrustBook(pins, records)), tuple(notices))


def _pin(node_id: str, value: object, *, is_checked: bool) -> Pin | None:
    """Return the pin of one entry; None if its key is missing or not the one of its node id."""
    entry = _convert(value, _Entry)
    try:
        public = base64.b64decode(entry.pubkey, validate=True)
    except ValueError:
        return None
    if len(public) != sodium.PUBLIC_BYTES or node_id_of(public) != node_id:
        return None
    kept = {name: getattr(entry, name) for name in _KEPT}
    state = entry.trust_state
    if not is_checked and state is not TrustState.BLOCKED:
        state = TrustState.PENDING
    return Pin(node_id=NodeId(node_id), public=public, name="", state=state, **kept)


def _revocation(node_id: NodeId, value: object) -> Revocation:
    entry = _convert(value, _RevokedEntry)
    if not is_node_id(node_id) or not is_node_id(entry.revoker):
        raise TrustFileError("the published pin file is damaged (a revoked id is no id)", _FIX)
    return Revocation(
        node_id=node_id,
        revoker=NodeId(entry.revoker),
        timestamp=entry.timestamp,
        reason=entry.reason[:MAX_REASON_CHARS],
    )


def _convert(value: object, kind: type[_T]) -> _T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise TrustFileError(f"the published pin file is damaged ({error})", _FIX) from error

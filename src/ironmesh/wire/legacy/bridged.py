"""What a bridge hands over between the two wires: a 0.8 message as its source wrote it.

    version(1) source's Ed25519 public key(32) the inner object, JSON as in a frame

The key belongs to the source's id, which is its hash, so whoever gets the message checks the
source's own signature, and need not believe the bridge. A bridge adds itself to `hops`, as relays
do; the time is left out, and written where the message goes on as a frame.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET

from ironmesh.crypto import sodium
from ironmesh.crypto.identity import node_id_of
from ironmesh.errors import RemoteProtocolError
from ironmesh.types import Refusal, is_node_id
from ironmesh.wire.legacy import inner
from ironmesh.wire.legacy.constants import MAX_UNIT_BYTES, TUNNEL_TYPE
from ironmesh.wire.legacy.control import CHANNEL_TYPES, MESH_TYPES
from ironmesh.wire.legacy.inner import Inner
from ironmesh.wire.legacy.transit import WRITTEN_LATER

VERSION: Final = 1
HEAD_BYTES: Final = 1 + sodium.PUBLIC_BYTES


class Bridged(NamedTuple):
    """A message between the wires."""

    source_public: bytes
    """Ed25519, 32 bytes; its hash is the source's id."""
    said: Inner


def encode(bridged: Bridged) -> bytes:
    """Return the payload of a BRIDGED message."""
    said = msgspec.structs.replace(bridged.said, timestamp=WRITTEN_LATER, sequence=0)
    return bytes((VERSION,)) + bridged.source_public + inner.encode(said)


def decode(payload: bytes) -> Bridged:
    """Decode the payload of a BRIDGED message; the source's signature is not checked here.

    Raises:
        RemoteProtocolError: BAD_BODY or TOO_LARGE; SOURCE_FORGED: the key is not the source's.
    """
    if len(payload) > HEAD_BYTES + MAX_UNIT_BYTES:
        raise RemoteProtocolError(Refusal.TOO_LARGE, "a bridged message larger than a frame")
    if len(payload) <= HEAD_BYTES or payload[0] != VERSION:
        raise _bad("not of a version that we know")
    public, said = payload[1:HEAD_BYTES], inner.decode(payload[HEAD_BYTES:])
    if said.type in CHANNEL_TYPES or said.type in MESH_TYPES or said.type == TUNNEL_TYPE:
        raise _bad(f"a {said.type}, which ends where a session does")
    if not is_node_id(said.destination) or not said.msg_id:
        raise _bad("without destination or id")
    if said.source_signature is UNSET:
        raise RemoteProtocolError(Refusal.SOURCE_FORGED, "a bridged message without a signature")
    if node_id_of(public) != said.source:
        raise RemoteProtocolError(
            Refusal.SOURCE_FORGED, "a bridged message with a key that is not its source's"
        )
    return Bridged(public, said)


def _bad(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(Refusal.BAD_BODY, f"a bridged message: {what}")

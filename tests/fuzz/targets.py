"""Every decoder of bytes that strangers can send, and the errors by which it may refuse them.

Whatever else comes out of a decoder is a bug. `make fuzz` feeds each one with mutations of the
corpus; the unit tests feed each one the corpus itself. To add a decoder, add a `Target`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

from tests.fuzz import native_channel, native_parcels, native_sessions, sessions

from ironmesh.control import protocol
from ironmesh.crypto import keyfile
from ironmesh.dialogue.envelope import ConvEnvelope
from ironmesh.discovery.record import Heard, parse_native_record, parse_record
from ironmesh.errors import ControlError, KeyFileError, RemoteProtocolError, TrustFileError
from ironmesh.trust.published import read_published
from ironmesh.types import NodeId, Secret
from ironmesh.wire import receipts
from ironmesh.wire.legacy import bridged, control, frame, handshake, inner, mesh, tunnel
from ironmesh.wire.native import (
    beacons,
    messages,
    noderecords,
    records,
    relaying,
    revocations,
    routes,
)
from ironmesh.wire.native import handshake as native

VECTORS = Path(__file__).resolve().parents[2] / "spec" / "vectors"
CORPUS = Path(__file__).with_name("corpus")
"""Inputs that once broke a decoder, one file each, in a folder named after the target."""


@dataclass(frozen=True, slots=True)
class Target:
    """A decoder and its refusals."""

    decode: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]

    def __call__(self, data: bytes) -> None:
        """Decode; raise only what is a bug."""
        with suppress(*self.refusals):
            self.decode(data)


def _inner(data: bytes) -> object:
    found = inner.decode(data)
    with suppress(RemoteProtocolError):
        inner.timestamp_of(found)
    return inner.priority_of(found), inner.message_id_of(found.msg_id)


def _bridged(data: bytes) -> object:
    """Open it as its destination, also where it is whole but for its first bytes."""
    with suppress(RemoteProtocolError):
        sessions.open_bridged(bytes((bridged.VERSION,)) + data)
    return sessions.open_bridged(data)


def _hello(data: bytes) -> object:
    message = handshake.decode_from_client(data)
    if isinstance(message, handshake.Hello):
        handshake.from_base64(message.signature or "")
        handshake.canonical_hello(message, "00" * 32)
    return message


def _native_answer(data: bytes) -> object:
    for decode in (native.decode_proof, native.decode_resumption_answer):
        with suppress(RemoteProtocolError):
            decode(data)
    with suppress(RemoteProtocolError):
        native.decode_answer(data, native.PROFILE_RADIO)
    return native.decode_answer(data, native.PROFILE_HYBRID)


def _node_record(data: bytes) -> object:
    for decode in (noderecords.decode_blobs, noderecords.decode_hashes):
        with suppress(RemoteProtocolError):
            decode(data)
    return noderecords.decode_node_record(data)


def _record(data: bytes) -> object:
    return parse_record(data, ["192.0.2.7", "fe80::1%eth0"], [ip_interface("192.0.2.1/24")])


def _native_record(data: bytes) -> object:
    heard = Heard("0123456789abcdef", data, 8765, ("192.0.2.7",))
    return parse_native_record(heard, [ip_interface("192.0.2.1/24")])


WIRE = (RemoteProtocolError,)
TARGETS: Mapping[str, Target] = {
    "frame": Target(frame.split, WIRE),
    "inner": Target(_inner, WIRE),
    "inflate": Target(inner.inflate, WIRE),
    "handshake-server": Target(handshake.decode_from_server, WIRE),
    "handshake-client": Target(_hello, WIRE),
    "control": Target(control.decode, WIRE),
    "bridged": Target(_bridged, WIRE),
    "tunnel": Target(tunnel.decode, WIRE),
    "session-frame": Target(sessions.open_frame, ()),
    "session-sealed": Target(sessions.open_sealed, ()),
    "session-server": Target(sessions.server_hears, ()),
    "session-client": Target(sessions.client_hears, ()),
    "native-first": Target(native.decode_first, WIRE),
    "native-answer": Target(_native_answer, WIRE),
    "native-statement": Target(native.decode_statement, WIRE),
    "native-messages": Target(lambda data: messages.decode(data, NodeId("a"), NodeId("b")), WIRE),
    "native-header": Target(records.decode_header, WIRE),
    "native-record": Target(native_channel.open_record, ()),
    "native-signed": Target(native_channel.open_signed, ()),
    "native-parcel": Target(native_parcels.open_any, ()),
    "native-parcel-content": Target(native_parcels.take_sealed, ()),
    "native-node-record": Target(_node_record, WIRE),
    "native-revocation": Target(revocations.decode_revocations, WIRE),
    "native-beacon": Target(beacons.decode_beacon, WIRE),
    "native-routes": Target(routes.decode_routes, WIRE),
    "native-route-digest": Target(routes.decode_digest, WIRE),
    "native-route-request": Target(routes.decode_request, WIRE),
    "native-responder": Target(native_sessions.responder_hears, ()),
    "native-initiator": Target(native_sessions.initiator_hears, ()),
    "mesh-parcel-header": Target(relaying.decode_header, WIRE),
    "mesh-unreachable": Target(relaying.decode_unreachable, WIRE),
    "mesh-trace": Target(relaying.decode_trace, WIRE),
    "mesh-trace-reply": Target(relaying.decode_trace_reply, WIRE),
    "route-announce": Target(mesh.decode_route_announce, WIRE),
    "route-unreachable": Target(mesh.decode_route_unreachable, WIRE),
    "capability-announce": Target(mesh.decode_capability_announce, WIRE),
    "revocation": Target(mesh.decode_revocation, WIRE),
    "receipts": Target(receipts.decode, WIRE),
    "conversation": Target(ConvEnvelope.decode, (ValueError,)),
    "mdns-record": Target(_record, WIRE),
    "mdns-native": Target(_native_record, WIRE),
    "control-request": Target(protocol.decode_request, (ControlError,)),
    "control-answer": Target(protocol.decode_answer, (ControlError,)),
    "key-file": Target(keyfile.parse, (KeyFileError,)),
    "pin-file": Target(lambda data: read_published(data, Secret(b"s" * 32)), (TrustFileError,)),
}


def _forms(value: Any) -> Iterator[bytes]:
    """Yield a vector's value in every form in which it may be bytes on a wire."""
    if isinstance(value, str):
        yield value.encode()
        with suppress(ValueError):
            yield bytes.fromhex(value)
        with suppress(binascii.Error, ValueError):
            yield base64.b64decode(value, validate=True)
    elif isinstance(value, dict):
        yield json.dumps(value, separators=(",", ":")).encode()
        for each in value.values():
            yield from _forms(each)
    elif isinstance(value, list):
        for each in value:
            yield from _forms(each)


def seeds() -> list[bytes]:
    """Return what decoding starts from: everything in the test vectors, without repetitions."""
    found: dict[bytes, None] = {}
    for path in sorted(VECTORS.glob("*.json")):
        found.update(dict.fromkeys(_forms(json.loads(path.read_text(encoding="utf-8")))))
    return list(found)


def corpus(name: str) -> list[bytes]:
    """Return the kept inputs of a target."""
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("*")) if path.is_file()]

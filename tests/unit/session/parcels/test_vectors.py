"""The vectors of the mesh: made by a second implementation of docs/protocol-mesh.md, and met."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from scripts import native_mesh_vectors
from scripts.native_vectors import as_json
from tests.support.parcels import START
from tests.support.vectors import load

from ironmesh.crypto.identity import Identity
from ironmesh.errors import RemoteProtocolError
from ironmesh.mesh.beacons import check_beacon, make_beacon
from ironmesh.mesh.revocations import check_revocation, make_revocation
from ironmesh.session.parcels.prekeys import Prekey, Prekeys
from ironmesh.session.parcels.reader import ParcelReader
from ironmesh.session.parcels.sealing import DestinationKeys, open_parcel, seal_parcel
from ironmesh.types import MessageType, NodeId, Refusal
from ironmesh.wire.native import relaying
from ironmesh.wire.native.beacons import decode_beacon, encode_beacon, signed_text
from ironmesh.wire.native.noderecords import (
    NodeRecord,
    decode_blobs,
    decode_hashes,
    decode_node_record,
    encode_blobs,
    encode_hashes,
    encode_node_record,
)
from ironmesh.wire.native.parcels import Reset
from ironmesh.wire.native.revocations import decode_revocations, encode_revocations

VECTORS = load("native-mesh")
PARCEL = VECTORS["parcels"][0]


def each(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", VECTORS[kind], ids=lambda v: v.get("name", ""))


def unhex(value: str) -> bytes:
    return bytes.fromhex(value)


def test_the_second_implementation_writes_the_vectors_as_they_are() -> None:
    assert as_json(native_mesh_vectors.build(VECTORS)) == VECTORS


@each("beacons")
def test_beacons_are_made_and_read_to_the_byte(vector: Any) -> None:
    identity = Identity.from_seed(unhex(vector["identity_seed"]))
    made = make_beacon(
        identity, int(vector["sequence"]), vector["expiry_s"], unhex(vector["record_hash"])
    )
    assert encode_beacon(made) == unhex(vector["beacon"])
    assert signed_text(made) == unhex(vector["signed"])
    read = decode_beacon(unhex(vector["beacon"]))
    assert read == made
    assert check_beacon(read)
    assert read.origin == vector["node_id"]


@each("node_records")
def test_node_records_are_made_and_read_to_the_byte(vector: Any) -> None:
    record = NodeRecord(
        name=vector["name"],
        capabilities=tuple(vector["capabilities"]),
        prekey_number=vector["prekey_number"],
        x25519=unhex(vector["x25519"]),
        kem_hash=unhex(vector["kem_hash"]),
        wire_versions=tuple(vector["wire_versions"]),
    )
    body = unhex(vector["body"])
    assert encode_node_record(record) == body
    assert decode_node_record(body) == record
    assert sha256(body).hexdigest() == vector["hash"]


def test_requests_and_answers_are_made_and_read_to_the_byte() -> None:
    hashes = [unhex(each) for each in VECTORS["record_request"]["hashes"]]
    payload = unhex(VECTORS["record_request"]["payload"])
    assert encode_hashes(hashes) == payload
    assert list(decode_hashes(payload)) == hashes
    blobs = [unhex(each) for each in VECTORS["records"]["blobs"]]
    assert encode_blobs(blobs) == unhex(VECTORS["records"]["payload"])
    assert list(decode_blobs(unhex(VECTORS["records"]["payload"]))) == blobs
    assert [sha256(blob).digest() for blob in blobs[:-1]] == hashes


def destination(vector: Any) -> tuple[Identity, Prekeys]:
    """Return the destination of a parcel, with the prekey that it is sealed to."""
    kem = VECTORS["parcels"][2]["ml_kem"]
    secrets = unhex(vector["prekey_secret"]) + unhex(kem["seed"])
    prekey = Prekey.make(vector["prekey_number"], START.mono, secrets)
    assert prekey.x25519 == unhex(vector["prekey"])
    assert prekey.kem == unhex(kem["public"])
    return Identity.from_seed(unhex(vector["destination_seed"])), Prekeys((prekey,))


@each("parcels")
def test_parcels_are_opened_to_the_byte(vector: Any) -> None:
    own, prekeys = destination(vector)
    opened = open_parcel(unhex(vector["parcel"]), prekeys, own)
    assert opened.content == unhex(vector["content"])
    assert opened.source_public == unhex(vector["source_public"])
    assert opened.is_hybrid is (vector["ml_kem"] is not None)


@pytest.mark.parametrize("vector", VECTORS["parcels"][:2], ids=lambda v: v["name"])
def test_parcels_of_kind_1_are_sealed_to_the_byte(vector: Any) -> None:
    """In kind 2 the library draws the randomness of ML-KEM."""
    source = Identity.from_seed(unhex(vector["source_seed"]))
    keys = DestinationKeys(
        unhex(vector["destination_public"]), vector["prekey_number"], unhex(vector["prekey"])
    )
    sealed = seal_parcel(
        source, keys, unhex(vector["content"]), lambda _: unhex(vector["e_secret"])
    )
    assert sealed == unhex(vector["parcel"])


@each("refused_parcels")
def test_what_the_vectors_refuse_is_refused_by_that_name(vector: Any) -> None:
    own, prekeys = destination(PARCEL)
    with pytest.raises(RemoteProtocolError) as caught:
        open_parcel(unhex(vector["parcel"]), prekeys, own)
    assert caught.value.reason is Refusal(vector["refused"])


def read(name: str) -> Any:
    content = next(each["content"] for each in VECTORS["contents"] if each["name"] == name)
    reader = ParcelReader(NodeId("a" * 32), NodeId("b" * 32))
    return reader.take(unhex(content), 0.0)


def test_contents_are_read() -> None:
    [one] = read("one message").messages
    assert (one.type, one.payload, one.source) == (MessageType.MSG, b"over several hops", "a" * 32)
    assert one.timestamp_ms == 1_767_225_600_001
    assert read("three messages, far on").messages == ()
    [whole] = read("a message in two chunks").messages
    assert whole.payload == b"in two b"
    [receipt] = read("receipts").messages
    assert receipt.type == MessageType.ACK
    assert read("a reset").peer_reset == Reset(1_767_225_600, 1_767_225_605)


def test_what_neighbours_say_is_made_and_read_to_the_byte() -> None:
    said = {
        key: unhex(value) for key, value in VECTORS["on_the_way"].items() if isinstance(value, str)
    }
    destination, relay = NodeId(said["destination"].hex()), NodeId(said["relay"].hex())
    body = relaying.encode_parcel(destination, 5, said["parcel"])
    assert body == said["parcel_body"]
    assert relaying.decode_header(body) == relaying.Header(destination, 5)
    assert relaying.handed_on(body) == said["handed_on"]
    assert relaying.parcel_hash(body) == said["parcel_hash"]
    busy = relaying.Unreachable(said["parcel_hash"], relaying.Obstacle.BUSY)
    assert relaying.encode_unreachable(busy) == said["busy"]
    assert relaying.decode_unreachable(said["busy"]) == busy
    trace = relaying.Trace(said["trace"][:8], destination, 7, 1)
    assert relaying.encode_trace(trace) == said["trace"]
    assert relaying.decode_trace(said["trace"]) == trace
    reply = relaying.TraceReply(trace.trace, 1, relay, relaying.Outcome.PASSED_ON)
    assert relaying.encode_trace_reply(reply) == said["trace_reply"]
    assert relaying.decode_trace_reply(said["trace_reply"]) == reply
    for refused in VECTORS["on_the_way"]["refused"]:
        with pytest.raises(RemoteProtocolError):
            relaying.decode_header(unhex(refused))


@each("revocations")
def test_revocations_are_made_and_read_to_the_byte(vector: Any) -> None:
    seeds = {each["identity_public"]: each["identity_seed"] for each in VECTORS["beacons"]}
    signer = Identity.from_seed(unhex(seeds[vector["signer"]]))
    made = make_revocation(signer, unhex(vector["revoked"]), vector["time_s"])
    data = unhex(vector["revocation"])
    assert encode_revocations([made]) == data
    assert decode_revocations(data) == (made,)
    assert check_revocation(made)

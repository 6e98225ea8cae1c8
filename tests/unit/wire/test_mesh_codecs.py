import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.vectors import load

from ironmesh.crypto.identity import Identity
from ironmesh.errors import RemoteProtocolError
from ironmesh.types import Refusal
from ironmesh.wire.legacy import mesh

ROUTES = load("route_announce")
ADDED = load("v095_additions")
REVOCATION = load("revocation")
ALICE = Identity.from_seed(bytes.fromhex(ADDED["alice_seed_hex"]))
BOB = Identity.from_seed(bytes(32))
ID = ALICE.node_id

DECODERS = [
    mesh.decode_route_announce,
    mesh.decode_route_unreachable,
    mesh.decode_capability_announce,
    mesh.decode_revocation,
]

node_ids = st.text("0123456789abcdef", min_size=32, max_size=32)
tokens = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


def payload(**members):
    return json.dumps(members).encode()


def refusal(decode, data):
    with pytest.raises(RemoteProtocolError) as caught:
        decode(data)
    return caught.value.reason


# --- Vectors ---


def test_route_announce_vector():
    data = ROUTES["frame_payload_utf8"].encode()
    announce = mesh.decode_route_announce(data)
    assert announce.origin == ROUTES["self"]
    assert announce.sequence_number == 1
    assert announce.routes[1] == mesh.RouteEntry("d" * 32, 2)
    assert mesh.encode_route_announce(announce) == data


def test_route_announcements_of_the_vector_steps_are_decoded_whole():
    for step in ROUTES["receive_steps"]:
        announce = mesh.decode_route_announce(payload(**step["payload"]))
        assert len(announce.routes) == len(step["payload"]["routes"])


def test_route_unreachable_vector():
    data = ROUTES["route_unreachable_payload_utf8"].encode()
    unreachable = mesh.decode_route_unreachable(data)
    assert unreachable == mesh.RouteUnreachable("d" * 32, "m-1")
    assert mesh.encode_route_unreachable(unreachable) == data


def test_capability_announce_vector():
    data = ROUTES["capability_announce_payload_utf8"].encode()
    announce = mesh.decode_capability_announce(data)
    assert announce == mesh.CapabilityAnnounce(ID, ("llm:llama3", "tool:filesystem"))
    assert mesh.encode_capability_announce(announce) == data


def test_signed_capability_announce_vector():
    vector = ADDED["capability_announce"]
    announce = mesh.decode_capability_announce(payload(**vector["payload"]))
    signed = mesh.capability_signed_bytes(ID, announce.capabilities, announce.signed.announced_at)
    assert signed == bytes.fromhex(vector["context_hex"]) + vector["canonical_utf8"].encode()
    assert mesh.is_signed_by(announce, ALICE.public)
    assert mesh.sign_capabilities(ALICE, ["tool:y", "llm:x"], 1767225600.5) == announce
    assert json.loads(mesh.encode_capability_announce(announce)) == vector["payload"]


def test_revocation_vector():
    public = bytes.fromhex(REVOCATION["revoker_public_hex"])
    revocation = mesh.decode_revocation(payload(**REVOCATION["payload"]))
    signed = mesh.revocation_signed_bytes(
        revocation.target, revocation.revoker, revocation.timestamp
    )
    assert signed == REVOCATION["signed_bytes_utf8"].encode()
    assert mesh.is_revoked_by(revocation, public)
    assert json.loads(mesh.encode_revocation(revocation)) == REVOCATION["payload"]
    made = mesh.sign_revocation(ALICE, revocation.target, revocation.timestamp, "demo")
    assert made == revocation


# --- Refusals ---


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"null", b"\xff", b"{", b'{"origin":1}', b"[" * 100_000]
)
def test_what_is_no_such_payload_is_refused(decode, data):
    assert refusal(decode, data) is Refusal.BAD_BODY


@pytest.mark.parametrize("decode", DECODERS)
def test_a_payload_over_one_mebibyte_is_refused_unread(decode):
    assert refusal(decode, b" " * (mesh.MAX_MESH_PAYLOAD_BYTES + 1)) is Refusal.TOO_LARGE


def test_malformed_route_entries_are_skipped():
    good = {"destination": "d" * 32, "cost": 2}
    odd = [
        7,
        {},
        {"destination": "", "cost": 1},
        {"destination": "D" * 32, "cost": 1},
        {"destination": "e" * 32},
        {"destination": "e" * 32, "cost": True},
        {"destination": "e" * 32, "cost": 1.5},
        {"destination": "e" * 32, "cost": 2**60},
    ]
    announce = mesh.decode_route_announce(payload(origin=ID, routes=[*odd, good, *odd]))
    assert announce.routes == (mesh.RouteEntry("d" * 32, 2),)


def test_an_announcement_with_too_many_routes_is_refused():
    routes = [{}] * (mesh.MAX_ROUTES + 1)
    assert refusal(mesh.decode_route_announce, payload(origin=ID, routes=routes)) is (
        Refusal.TOO_LARGE
    )


def test_unusable_capabilities_are_left_out_and_the_number_is_bounded():
    listed = ["", 3, None, "x" * 257, *(f"tool:{number}" for number in range(2000))]
    announce = mesh.decode_capability_announce(payload(origin=ID, capabilities=listed))
    assert len(announce.capabilities) == mesh.MAX_CAPABILITIES
    assert announce.capabilities[0] == "tool:0"


def test_an_announcement_without_origin_is_the_peers_own():
    announce = mesh.decode_capability_announce(payload(capabilities=["tool:x"]))
    assert announce.origin is None
    assert mesh.decode_capability_announce(mesh.encode_capability_announce(announce)) == announce


@pytest.mark.parametrize(
    "change",
    [
        {"capabilities": ["llm:x", 3]},
        {"version": 2},
        {"version": None},
        {"announced_at": 5},
        {"signature": "%%%"},
        {"signature": "AAAA"},
        {"signature": None},
        {"origin": ""},
    ],
    ids=str,
)
def test_a_malformed_signed_announcement_is_refused(change):
    data = payload(**(ADDED["capability_announce"]["payload"] | change))
    assert refusal(mesh.decode_capability_announce, data) is Refusal.BAD_BODY


@pytest.mark.parametrize(
    "change",
    [{"capabilities": ["tool:y", "llm:x"]}, {"announced_at": 1767225601.5}, {"origin": "0" * 32}],
    ids=str,
)
def test_a_changed_announcement_is_not_signed_by_its_origin(change):
    data = payload(**(ADDED["capability_announce"]["payload"] | change))
    assert not mesh.is_signed_by(mesh.decode_capability_announce(data), ALICE.public)


def test_a_signature_by_another_node_does_not_count():
    announce = mesh.sign_capabilities(ALICE, ["tool:y"], 1.0)
    assert not mesh.is_signed_by(announce, BOB.public)
    assert not mesh.is_signed_by(mesh.CapabilityAnnounce(ID, ("tool:y",)), ALICE.public)
    revocation = mesh.sign_revocation(ALICE, BOB.node_id, 1)
    assert not mesh.is_revoked_by(revocation, BOB.public)


@pytest.mark.parametrize(
    "change",
    [
        {"timestamp": 0},
        {"timestamp": -1},
        {"timestamp": 1.5},
        {"timestamp": "1"},
        {"target_node_id": "x"},
        {"revoker_node_id": None},
        {"reason": 5},
        {"reason": "x" * 2000},
        {"signature": "é"},
    ],
    ids=str,
)
def test_a_malformed_revocation_is_refused(change):
    data = payload(**(REVOCATION["payload"] | change))
    assert refusal(mesh.decode_revocation, data) is Refusal.BAD_BODY


# --- Properties ---


@given(node_ids, st.lists(st.builds(mesh.RouteEntry, node_ids, st.integers(-1, 16)), max_size=9))
def test_route_announcements_survive_the_wire(origin, routes):
    announce = mesh.RouteAnnounce(origin, tuple(routes), 3)
    assert mesh.decode_route_announce(mesh.encode_route_announce(announce)) == announce


@given(st.lists(tokens, max_size=9), st.floats(0, 4e9))
def test_signed_capabilities_survive_the_wire(capabilities, announced_at):
    announce = mesh.sign_capabilities(ALICE, capabilities, announced_at)
    received = mesh.decode_capability_announce(mesh.encode_capability_announce(announce))
    assert received == announce
    assert mesh.is_signed_by(received, ALICE.public)


@given(node_ids, st.integers(1, 2**40), st.text(st.characters(codec="utf-8"), max_size=50))
def test_revocations_survive_the_wire(target, timestamp, reason):
    revocation = mesh.sign_revocation(ALICE, target, timestamp, reason)
    received = mesh.decode_revocation(mesh.encode_revocation(revocation))
    assert received == revocation
    assert mesh.is_revoked_by(received, ALICE.public)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)
names = st.sampled_from(
    ["origin", "routes", "capabilities", "signature", "version", "announced_at", "destination",
     "cost", "timestamp", "target_node_id", "revoker_node_id", "reason", "original_msg_id"]
)  # fmt: skip
objects = st.dictionaries(names, json_values | node_ids, max_size=8)


@pytest.mark.parametrize("decode", DECODERS)
@given(data=st.binary(max_size=100) | objects.map(lambda members: json.dumps(members).encode()))
def test_any_bytes_are_decoded_or_refused_by_name(decode, data):
    with contextlib.suppress(RemoteProtocolError):
        decode(data)

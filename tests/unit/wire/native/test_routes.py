"""What neighbours tell each other about routes: one way to write it, and nothing else is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironmesh.crypto.identity import node_id_of
from ironmesh.errors import RemoteProtocolError
from ironmesh.types import NodeId, Refusal
from ironmesh.wire.native import routes
from ironmesh.wire.native.beacons import Beacon
from ironmesh.wire.native.routes import (
    RouteDigest,
    RouteEntry,
    RouteRequest,
    Routes,
    SequenceRequest,
)

sequences = st.integers(1, 2**64 - 1)
node_ids = st.binary(min_size=16, max_size=16).map(lambda raw: NodeId(raw.hex()))
hashes = st.binary(min_size=32, max_size=32)
beacons = st.builds(
    Beacon,
    hashes,
    sequences,
    st.integers(0, 2**40 - 1),
    hashes,
    st.binary(min_size=64, max_size=64),
)
far = st.tuples(st.integers(1, routes.INFINITY - 1), st.integers(1, 127), st.booleans())
distances = st.one_of(st.just((0, 0, False)), far)


@st.composite
def drawn_routes(draw: st.DrawFn) -> Routes:
    shown = draw(st.lists(beacons, max_size=4))
    origins = [node_id_of(each.public) for each in shown] + draw(st.lists(node_ids, max_size=6))
    told = tuple(RouteEntry(each, draw(sequences), *draw(distances)) for each in origins)
    retracted = tuple(draw(st.lists(node_ids, max_size=4)))
    return Routes(retracted, told, tuple(shown), draw(st.integers(-1, 255)))


drawn_digests = st.one_of(
    st.integers(0, 2**64 - 1).map(lambda each: RouteDigest((each,))),
    st.lists(st.integers(0, 2**32 - 1), min_size=256, max_size=256).map(
        lambda each: RouteDigest(tuple(each))
    ),
)
drawn_requests = st.builds(
    RouteRequest,
    st.lists(st.builds(SequenceRequest, node_ids, sequences, st.integers(1, 127)), max_size=4).map(
        tuple
    ),
    st.lists(node_ids, max_size=4).map(tuple),
)


@given(drawn_routes())
def test_routes_are_read_as_they_were_written(value: Routes) -> None:
    data = routes.encode_routes(value)
    assert routes.decode_routes(data) == value
    assert routes.size_of(value) == len(data)


@given(drawn_digests)
def test_digests_are_read_as_they_were_written(value: RouteDigest) -> None:
    data = routes.encode_digest(value)
    assert routes.decode_digest(data) == value
    assert routes.size_of(value) == len(data)


@given(drawn_requests)
def test_requests_are_read_as_they_were_written(value: RouteRequest) -> None:
    data = routes.encode_request(value)
    assert routes.decode_request(data) == value
    assert routes.size_of(value) == len(data)


@pytest.mark.parametrize(
    ("decode", "encode"),
    [
        (routes.decode_routes, routes.encode_routes),
        (routes.decode_digest, routes.encode_digest),
        (routes.decode_request, routes.encode_request),
    ],
)
@given(data=st.data())
def test_what_is_read_at_all_is_written_in_the_same_way(decode, encode, data) -> None:
    kinds = {
        routes.decode_routes: drawn_routes().map(routes.encode_routes),
        routes.decode_digest: drawn_digests.map(routes.encode_digest),
        routes.decode_request: drawn_requests.map(routes.encode_request),
    }
    text = bytearray(data.draw(st.one_of(st.binary(max_size=64), kinds[decode])))
    if text:
        text[data.draw(st.integers(0, len(text) - 1))] ^= data.draw(st.integers(0, 255))
    try:
        value = decode(bytes(text))
    except RemoteProtocolError:
        return
    assert encode(value) == text


@given(drawn_routes(), st.data())
def test_routes_that_are_cut_off_are_refused(value: Routes, data: st.DataObject) -> None:
    text = routes.encode_routes(value)
    with pytest.raises(RemoteProtocolError):
        routes.decode_routes(text[: data.draw(st.integers(0, len(text) - 1))])


ORIGIN = NodeId("ab" * 16)
PLAIN = bytes(3) + b"\x01" + bytes.fromhex(ORIGIN) + (7).to_bytes(8, "big")


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        (b"\x00\x00\x00\x01", "no distance over a hop"),
        (b"\x00\x00\x01\x00", "a distance over none"),
        (b"\x00\x00\x00\x80", "radio over none"),
        (b"\x00\x00\x01\x80", "a distance over radio, and no hop"),
        (b"\xff\xff\xff\x01", "an infinite distance"),
    ],
)
def test_a_distance_that_cannot_be_is_refused(facts: bytes, what: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        routes.decode_routes(PLAIN + facts)
    assert caught.value.reason is Refusal.BAD_BODY, what


def test_a_count_is_not_believed_before_its_bytes_are_there() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        routes.decode_routes(b"\x00\xff\xff\xff\x7f")
    assert caught.value.reason is Refusal.TRUNCATED


def test_too_many_routes_at_once_are_refused() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        routes.decode_routes(bytes(routes.MAX_ROUTES_BYTES + 1))
    assert caught.value.reason is Refusal.TOO_LARGE
    many = RouteRequest((), (ORIGIN,) * (routes.MAX_REQUESTS + 1))
    with pytest.raises(RemoteProtocolError) as caught:
        routes.decode_request(routes.encode_request(many))
    assert caught.value.reason is Refusal.TOO_LARGE


@pytest.mark.parametrize("hops_left", [0, 128])
def test_a_request_that_goes_nowhere_or_too_far_is_refused(hops_left: int) -> None:
    request = RouteRequest((SequenceRequest(ORIGIN, 1, hops_left),))
    with pytest.raises(RemoteProtocolError):
        routes.decode_request(routes.encode_request(request))


@pytest.mark.parametrize(
    "entry",
    [
        RouteEntry(ORIGIN, 1, routes.INFINITY, 1),
        RouteEntry(ORIGIN, 1, 0, 1),
        RouteEntry(ORIGIN, 1, 5, 128),
        RouteEntry(ORIGIN, 0, 5, 1),
    ],
)
def test_we_do_not_write_what_we_would_not_read(entry: RouteEntry) -> None:
    with pytest.raises(ValueError, match="not a route"):
        routes.encode_routes(Routes((), (entry,)))

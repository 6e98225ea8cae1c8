"""What neighbours say about parcels: one way to write each, and everything else refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironmesh.errors import RemoteProtocolError
from ironmesh.types import NodeId, Refusal
from ironmesh.wire.native import relaying
from ironmesh.wire.native.relaying import Obstacle, Outcome, Trace, TraceReply, Unreachable

NODE = NodeId("000102030405060708090a0b0c0d0e0f")
NODES = st.binary(min_size=16, max_size=16).map(lambda data: NodeId(data.hex()))


def test_a_parcel_has_its_destination_in_front() -> None:
    body = relaying.encode_parcel(NODE, 7, b"sealed")
    assert body == bytes(range(16)) + b"\x07sealed"
    assert relaying.decode_header(body) == (NODE, 7)
    assert relaying.parcel_hash(body) == hashlib.sha256(b"sealed").digest()


def test_a_parcel_that_is_handed_on_has_one_hop_less_and_the_same_hash() -> None:
    body = relaying.encode_parcel(NODE, 7, b"sealed")
    passed = relaying.handed_on(body)
    assert passed == relaying.encode_parcel(NODE, 6, b"sealed")
    assert relaying.parcel_hash(passed) == relaying.parcel_hash(body)


def test_what_the_others_look_like() -> None:
    assert relaying.encode_unreachable(Unreachable(bytes(32), Obstacle.BUSY)) == bytes(32) + b"\x03"
    trace = Trace(b"12345678", NODE, 3, 2)
    assert relaying.encode_trace(trace) == b"12345678" + bytes(range(16)) + b"\x03\x02"
    reply = TraceReply(b"12345678", 2, NODE, Outcome.PASSED_ON)
    assert relaying.encode_trace_reply(reply) == b"12345678\x02" + bytes(range(16)) + b"\x01"


@given(st.binary(min_size=32, max_size=32), st.sampled_from(Obstacle))
def test_unreachable_comes_back_as_it_was(known: bytes, obstacle: Obstacle) -> None:
    said = Unreachable(known, obstacle)
    assert relaying.decode_unreachable(relaying.encode_unreachable(said)) == said


@given(st.binary(min_size=8, max_size=8), NODES, st.integers(0, 64), st.integers(1, 64))
def test_a_trace_comes_back_as_it_was(trace: bytes, node: NodeId, left: int, hop: int) -> None:
    said = Trace(trace, node, left, hop)
    assert relaying.decode_trace(relaying.encode_trace(said)) == said


@given(st.binary(min_size=8, max_size=8), NODES, st.integers(1, 128), st.sampled_from(Outcome))
def test_a_reply_comes_back_as_it_was(
    trace: bytes, node: NodeId, hop: int, outcome: Outcome
) -> None:
    said = TraceReply(trace, hop, node, outcome)
    assert relaying.decode_trace_reply(relaying.encode_trace_reply(said)) == said


@pytest.mark.parametrize(
    ("decode", "body"),
    [
        (relaying.decode_header, bytes(17)),
        (relaying.decode_header, bytes(16) + b"\x81parcel"),
        (relaying.decode_unreachable, bytes(32)),
        (relaying.decode_unreachable, bytes(33)),
        (relaying.decode_unreachable, bytes(32) + b"\x05"),
        (relaying.decode_trace, bytes(25)),
        (relaying.decode_trace, bytes(26)),
        (relaying.decode_trace, bytes(24) + b"\x7f\x02"),
        (relaying.decode_trace_reply, bytes(25)),
        (relaying.decode_trace_reply, bytes(26)),
        (relaying.decode_trace_reply, bytes(8) + b"\x81" + bytes(17)),
        (relaying.decode_trace_reply, bytes(8) + b"\x01" + bytes(16) + b"\x05"),
    ],
)
def test_anything_else_is_refused(decode: Callable[[bytes], object], body: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode(body)
    assert caught.value.reason is Refusal.BAD_BODY

"""Beacons as bytes: what is written is read, in one way only."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ironmesh.crypto.identity import Identity
from ironmesh.errors import RemoteProtocolError
from ironmesh.types import Refusal
from ironmesh.wire.native.beacons import (
    BEACON_BYTES,
    MAX_EXPIRY_S,
    MAX_SEQUENCE,
    Beacon,
    decode_beacon,
    encode_beacon,
    signed_text,
)

beacons = st.builds(
    Beacon,
    public=st.binary(min_size=32, max_size=32),
    sequence=st.integers(1, MAX_SEQUENCE),
    expiry_s=st.integers(0, MAX_EXPIRY_S),
    record_hash=st.binary(min_size=32, max_size=32),
    signature=st.binary(min_size=64, max_size=64),
)


@given(beacons, st.binary(max_size=9))
def test_what_is_written_is_read(beacon: Beacon, before: bytes) -> None:
    data = encode_beacon(beacon)
    assert len(data) == BEACON_BYTES
    assert decode_beacon(data) == beacon
    assert decode_beacon(before + data + b"more", len(before)) == beacon


@given(st.binary(min_size=BEACON_BYTES, max_size=BEACON_BYTES))
def test_there_is_one_way_to_write_a_beacon(data: bytes) -> None:
    assume(any(data[32:40]))
    assert encode_beacon(decode_beacon(data)) == data


@given(st.binary(max_size=BEACON_BYTES - 1))
def test_a_beacon_that_is_cut_off_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_beacon(data)
    assert caught.value.reason is Refusal.TRUNCATED


def test_the_sequence_zero_means_that_there_is_no_record_and_is_refused() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_beacon(bytes(BEACON_BYTES))
    assert caught.value.reason is Refusal.BAD_BODY


def test_the_origin_is_the_node_id_of_the_key() -> None:
    identity = Identity.from_seed(bytes(32))
    assert Beacon(identity.public, 1, 1, bytes(32)).origin == identity.node_id


@pytest.mark.parametrize(
    "beacon",
    [
        Beacon(bytes(32), 1, 1, bytes(32)),
        Beacon(bytes(31), 1, 1, bytes(32), bytes(64)),
        Beacon(bytes(32), 0, 1, bytes(32), bytes(64)),
        Beacon(bytes(32), 2**64, 1, bytes(32), bytes(64)),
        Beacon(bytes(32), 1, 2**40, bytes(32), bytes(64)),
        Beacon(bytes(32), 1, 1, bytes(31), bytes(64)),
    ],
)
def test_what_is_no_beacon_is_not_written(beacon: Beacon) -> None:
    with pytest.raises(ValueError, match="not a beacon"):
        encode_beacon(beacon)


def test_what_is_signed_are_a_label_and_the_fields_before_the_signature() -> None:
    beacon = Beacon(b"p" * 32, 2, 3, b"h" * 32, b"s" * 64)
    assert signed_text(beacon) == b"ironmesh v5 beacon" + encode_beacon(beacon)[:-64]

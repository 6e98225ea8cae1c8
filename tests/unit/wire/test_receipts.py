"""Receipts and floors as bytes: small, strict, bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironmesh.errors import RemoteProtocolError
from ironmesh.types import Refusal
from ironmesh.wire import receipts
from ironmesh.wire.receipts import (
    Floor,
    Receipt,
    Verdict,
    decode,
    encode,
    join_id,
    share_out,
    split_id,
)

EPOCH, OTHER = b"epoch--1", b"epoch--2"
epochs = st.binary(min_size=8, max_size=8)
numbers = st.integers(0, receipts.MAX_NUMBER) | st.integers(0, 40)
ids = st.builds(join_id, st.sampled_from([EPOCH, OTHER]), numbers)
items = st.builds(
    Receipt,
    st.sampled_from(Verdict),
    st.lists(ids, min_size=1, max_size=60, unique=True).map(lambda some: tuple(sorted(some))),
    st.text(max_size=50),
) | st.builds(Floor, epochs, numbers, st.booleans())


@given(st.lists(items, max_size=8))
def test_what_is_encoded_is_decoded(said):
    assert decode(encode(said)) == tuple(said)


@given(st.binary(max_size=200).map(lambda tail: b"\x01" + tail))
def test_there_is_one_way_to_write_what_is_said(data):
    """Within a group, that is: what decodes to one group encodes to the same bytes."""
    try:
        said = decode(data)
    except RemoteProtocolError:
        return
    if all(isinstance(one, Floor) or len({i[:8] for i in one.ids}) == 1 for one in said):
        assert encode(said) == data


def test_consecutive_numbers_cost_nothing():
    one = encode([Receipt(Verdict.ACCEPTED, (join_id(EPOCH, 7),))])
    many = encode([Receipt(Verdict.ACCEPTED, tuple(join_id(EPOCH, n) for n in range(7, 1031)))])
    assert len(one) == 1 + 3 + 1 + 8 + 3
    assert len(many) == len(one) + 1


def test_ids_are_epoch_and_number():
    assert split_id(join_id(EPOCH, 258)) == (EPOCH, 258)


def test_a_long_reason_is_cut_at_a_character():
    said = decode(encode([Receipt(Verdict.REFUSED, (join_id(EPOCH, 1),), "ä" * 150)]))
    assert said[0].reason == "ä" * 100


def test_a_huge_run_is_refused_before_it_is_unrolled():
    huge = b"\x01\x02\x01\x00\x01" + EPOCH + b"\x01" + b"\x00" + b"\xff" * 8 + b"\x7f"
    with pytest.raises(RemoteProtocolError) as caught:
        decode(huge)
    assert caught.value.reason is Refusal.TOO_LARGE


def test_many_runs_together_are_bounded_too():
    runs = b"".join(b"\x01\xff\x0f" for _ in range(3))  # 2,048 numbers each
    with pytest.raises(RemoteProtocolError) as caught:
        decode(b"\x01\x02\x01\x00\x01" + EPOCH + b"\x03" + runs)
    assert caught.value.reason is Refusal.TOO_LARGE


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x02",
        b"\x01\x09",
        b"\x01\x01\x02" + EPOCH + b"\x01",
        b"\x01\x01\x00" + EPOCH,
        b"\x01\x01\x00" + EPOCH + b"\x81\x00",
        b"\x01\x01\x00" + EPOCH + b"\xff" * 9 + b"\x01",
        b"\x01\x02\x07\x00\x01" + EPOCH + b"\x01\x01\x00",
        b"\x01\x02\x01\xff\x01" + EPOCH + b"\x01\x01\x00",
        b"\x01\x02\x01\x01\xff\x01" + EPOCH + b"\x01\x01\x00",
        b"\x01\x02\x01\x00\x00",
        b"\x01\x02\x01\x00\x01" + EPOCH + b"\x00",
        b"\x01\x02\x01\x00\x02" + EPOCH + b"\x01\x01\x00" + EPOCH + b"\x01\x01\x00",
        b"\x01\x02\x01\x00\x01" + EPOCH + b"\x02\x01\x00\x00\x00",
        b"\x01\x02\x01\x00\x01" + EPOCH + b"\x01" + b"\xff" * 8 + b"\x7f\x01",
    ],
)
def test_malformed_receipts_are_refused(data):
    with pytest.raises(RemoteProtocolError) as caught:
        decode(data)
    assert caught.value.reason is Refusal.BAD_BODY


def test_more_than_one_payload_holds_is_shared_out_in_order():
    ids = [join_id(EPOCH, number) for number in range(receipts.MAX_IDS)]
    many = [
        Receipt(Verdict.ACCEPTED, tuple(ids)),
        Receipt(Verdict.BUSY, (join_id(OTHER, 1),)),
        *(Floor(EPOCH, number) for number in range(receipts.MAX_ITEMS)),
    ]
    shares = share_out(many)
    assert [len(share) for share in shares] == [1, receipts.MAX_ITEMS, 1]
    assert [one for share in shares for one in decode(encode(share))] == many
    assert share_out([]) == []


def test_nobody_gets_more_into_a_payload_than_it_may_hold():
    with pytest.raises(RemoteProtocolError):
        decode(bytes([1]) + bytes(receipts.MAX_PAYLOAD_BYTES))
    with pytest.raises(RemoteProtocolError):
        decode(b"\x01" + encode([Floor(EPOCH, 1)])[1:] * (receipts.MAX_ITEMS + 1))
    with pytest.raises(ValueError, match="more than"):
        encode([Floor(EPOCH, 1)] * (receipts.MAX_ITEMS + 1))
    with pytest.raises(ValueError, match="range"):
        encode([Floor(EPOCH, 2**63)])

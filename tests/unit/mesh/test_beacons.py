"""Who may speak for whom: nobody but the node itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ironmesh.crypto.identity import Identity
from ironmesh.mesh.beacons import check_beacon, make_beacon
from ironmesh.wire.native.beacons import BEACON_BYTES, Beacon, decode_beacon, encode_beacon

ALICE, MALLORY = Identity.from_seed(b"a" * 32), Identity.from_seed(b"m" * 32)
BEACON = make_beacon(ALICE, 7 << 32, 1_767_225_600, b"h" * 32)


def test_a_beacon_is_believed_by_whoever_reads_its_bytes() -> None:
    assert check_beacon(BEACON)
    assert check_beacon(decode_beacon(encode_beacon(BEACON)))
    assert BEACON.origin == ALICE.node_id


@given(st.integers(0, 8 * BEACON_BYTES - 1))
def test_a_beacon_with_any_bit_flipped_is_not_believed(bit: int) -> None:
    data = bytearray(encode_beacon(BEACON))
    data[bit // 8] ^= 1 << bit % 8
    assert not check_beacon(decode_beacon(bytes(data)))


def test_a_beacon_for_another_node_is_not_believed() -> None:
    forged = make_beacon(MALLORY, 8 << 32, 1_767_225_600, b"h" * 32)
    claimed = Beacon(ALICE.public, forged.sequence, forged.expiry_s, b"h" * 32, forged.signature)
    assert check_beacon(forged)
    assert not check_beacon(claimed)


def test_a_beacon_without_a_signature_is_not_believed() -> None:
    assert not check_beacon(Beacon(ALICE.public, 1, 1, bytes(32)))


def test_a_plain_signature_as_on_the_published_wire_is_not_one_of_a_beacon() -> None:
    unsigned = Beacon(ALICE.public, 1, 1, bytes(32), bytes(64))
    text = b"ironmesh v5 beacon" + encode_beacon(unsigned)[:-64]
    assert not check_beacon(Beacon(ALICE.public, 1, 1, bytes(32), ALICE.sign(text)))

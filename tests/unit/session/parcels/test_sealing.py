"""Parcels: only their destination opens them, and only their source can have sealed them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.legacy import seeded
from tests.support.native_channel import channel
from tests.support.parcels import (
    ALICE,
    BOB,
    MALLORY,
    START,
    keys_of,
    later,
    message,
    prekeys,
    sealer,
)

from ironmesh.crypto import hybrid
from ironmesh.crypto.sodium import CryptoError
from ironmesh.errors import RemoteProtocolError
from ironmesh.session.parcels.prekeys import Prekeys
from ironmesh.session.parcels.sealing import DestinationKeys, open_parcel, seal_parcel
from ironmesh.session.parcels.writer import ParcelWriter
from ironmesh.types import MeshType, Message, Refusal
from ironmesh.wire.native.parcels import MAX_CONTENT_BYTES, MAX_PARCEL_BYTES, context, encode_head
from ironmesh.wire.native.relaying import encode_parcel

CONTENT = b"what Alice says to Bob, sixty-four bytes of it, or a few more of it"
PREKEYS = prekeys()
KINDS = pytest.mark.parametrize("is_hybrid", [False, True], ids=["classic", "hybrid"])
SEALED = {
    is_hybrid: sealer(ALICE, keys_of(BOB, PREKEYS, is_hybrid=is_hybrid))(CONTENT)
    for is_hybrid in (False, True)
}


def refusal(parcel: bytes, *, keys: Prekeys = PREKEYS, own: object = BOB) -> Refusal:
    with pytest.raises(RemoteProtocolError) as caught:
        open_parcel(parcel, keys, own)  # type: ignore[arg-type]
    return caught.value.reason


@KINDS
def test_the_destination_reads_content_and_source(is_hybrid: bool) -> None:
    opened = open_parcel(SEALED[is_hybrid], PREKEYS, BOB)
    assert opened.content == CONTENT
    assert opened.source_public == ALICE.public
    assert opened.source == ALICE.node_id
    assert opened.is_fresh
    assert opened.is_hybrid is is_hybrid


@KINDS
def test_a_parcel_shows_neither_source_nor_content(is_hybrid: bool) -> None:
    parcel = SEALED[is_hybrid]
    for hidden in (ALICE.public, bytes.fromhex(ALICE.node_id), BOB.public, CONTENT[:8]):
        assert hidden not in parcel


@KINDS
def test_two_parcels_of_one_content_have_nothing_in_common(is_hybrid: bool) -> None:
    seal = sealer(ALICE, keys_of(BOB, PREKEYS, is_hybrid=is_hybrid))
    one, other = seal(CONTENT), seal(CONTENT)
    assert one[:5] == other[:5]
    assert not any(one[at : at + 8] == other[at : at + 8] for at in range(5, len(one) - 8))


def test_every_flipped_bit_is_refused_kind_1() -> None:
    parcel = SEALED[False]
    for bit in range(8 * len(parcel)):
        altered = bytearray(parcel)
        altered[bit // 8] ^= 1 << bit % 8
        assert refusal(bytes(altered)) in {
            Refusal.UNDECRYPTABLE,
            Refusal.PREKEY_UNKNOWN,
            Refusal.PROTOCOL,
            Refusal.TRUNCATED,
        }


@given(st.integers(0, 8 * len(SEALED[True]) - 1))
def test_any_flipped_bit_is_refused_kind_2(bit: int) -> None:
    altered = bytearray(SEALED[True])
    altered[bit // 8] ^= 1 << bit % 8
    assert refusal(bytes(altered)) in {
        Refusal.UNDECRYPTABLE,
        Refusal.PREKEY_UNKNOWN,
        Refusal.PROTOCOL,
    }


@KINDS
@given(data=st.data())
def test_a_parcel_that_is_cut_or_grown_is_refused(is_hybrid: bool, data: st.DataObject) -> None:
    parcel = SEALED[is_hybrid]
    refusal(parcel[: data.draw(st.integers(0, len(parcel) - 1))])
    refusal(parcel + data.draw(st.binary(min_size=1, max_size=20)))


@KINDS
def test_a_parcel_for_another_node_does_not_open(is_hybrid: bool) -> None:
    """Not even if that node has the same prekeys: the destination is part of the key."""
    assert refusal(SEALED[is_hybrid], own=MALLORY) is Refusal.UNDECRYPTABLE


@KINDS
def test_a_destroyed_key_opens_nothing(is_hybrid: bool) -> None:
    keys = prekeys()
    parcel = sealer(ALICE, keys_of(BOB, keys, is_hybrid=is_hybrid))(CONTENT)
    for day in (1, 2):
        keys.renew(later(day * 86_400), seeded(f"day {day}"))
        assert open_parcel(parcel, keys, BOB).content == CONTENT
    keys.renew(later(3 * 86_400), seeded("day 3"))
    assert refusal(parcel, keys=keys) is Refusal.PREKEY_UNKNOWN


def test_another_runs_keys_open_what_is_then_not_fresh() -> None:
    again = Prekeys.restore(PREKEYS.state(START), later(60))
    opened = open_parcel(SEALED[True], again, BOB)
    assert opened.content == CONTENT
    assert not opened.is_fresh


def test_the_kind_cannot_be_talked_down() -> None:
    parcel = SEALED[True]
    classic = b"\x01" + parcel[1:37] + parcel[37 + 1088 :]
    assert refusal(classic) is Refusal.UNDECRYPTABLE


def _sealed_by_bob_as(source: bytes, signature: bytes) -> bytes:
    """Bob seals to himself what he can, under somebody else's name."""
    current = PREKEYS.current
    assert current is not None
    ephemeral = hybrid.X25519Pair.generate(seeded("forged"))
    head = encode_head(current.number, ephemeral.public)
    bound = context(BOB.public, current.x25519, b"", head)
    key = hybrid.expand(hybrid.extract(bound, ephemeral.agree(current.x25519)), b"parcel")
    opened = source + CONTENT + signature
    return head + hybrid.seal(key, hybrid.ZERO_NONCE, opened, bound)


def test_nobody_seals_in_anothers_name() -> None:
    assert refusal(_sealed_by_bob_as(ALICE.public, bytes(64))) is Refusal.BAD_SIGNATURE
    plain = MALLORY.sign_prehashed(b"ironmesh v5 parcel" + BOB.public)
    assert refusal(_sealed_by_bob_as(ALICE.public, plain)) is Refusal.BAD_SIGNATURE


def test_a_destination_cannot_pass_a_signed_content_on() -> None:
    """Mallory opens what Alice signed for her, and seals it anew for Bob."""
    hers = prekeys("hers")
    parcel = sealer(ALICE, keys_of(MALLORY, hers, is_hybrid=False))(CONTENT)
    current = hers.current
    assert current is not None
    head, sealed = parcel[:37], parcel[37:]
    bound = context(MALLORY.public, current.x25519, b"", head)
    key = hybrid.expand(hybrid.extract(bound, current.agree(head[5:])), b"parcel")
    opened = hybrid.open_sealed(key, hybrid.ZERO_NONCE, sealed, bound)
    assert opened[:32] == ALICE.public
    assert refusal(_sealed_by_bob_as(ALICE.public, opened[-64:])) is Refusal.BAD_SIGNATURE


def test_our_own_identity_is_refused_as_a_source() -> None:
    parcel = sealer(BOB, keys_of(BOB, PREKEYS))(CONTENT)
    assert refusal(parcel) is Refusal.SELF


@pytest.mark.parametrize(
    "keys",
    [
        DestinationKeys(BOB.public, 1, bytes(32)),
        DestinationKeys(BOB.public, 1, bytes(31)),
        DestinationKeys(BOB.public, 1, (9).to_bytes(32, "little"), b"\xff" * 1184),
        DestinationKeys(BOB.public, 1, (9).to_bytes(32, "little"), bytes(10)),
    ],
)
def test_keys_that_cannot_be_used_are_refused_before_anything_is_sealed(
    keys: DestinationKeys,
) -> None:
    with pytest.raises(CryptoError):
        seal_parcel(ALICE, keys, CONTENT, seeded("unusable"))


def test_an_ephemeral_key_of_low_order_is_refused() -> None:
    parcel = SEALED[False]
    assert refusal(parcel[:5] + bytes(32) + parcel[37:]) is Refusal.UNDECRYPTABLE


def test_the_largest_content_fits_a_parcel() -> None:
    content = bytes(MAX_CONTENT_BYTES)
    parcel = sealer(ALICE, keys_of(BOB, PREKEYS))(content)
    assert len(parcel) == MAX_PARCEL_BYTES
    assert open_parcel(parcel, PREKEYS, BOB).content == content


def test_a_routed_message_of_64_bytes_takes_at_most_300_bytes() -> None:
    """As it goes over a link: in its parcel, in its record."""
    writer = ParcelWriter(ALICE.node_id, BOB.node_id, int(START.wall))
    [written] = writer.write([message(2**40, bytes(64))])
    parcel = sealer(ALICE, keys_of(BOB, PREKEYS, is_hybrid=False))(written.content)
    link = channel(ALICE, MALLORY, is_initiator=True)
    link.seal([], START)
    [record] = link.seal(
        [
            Message(
                id=message(0).id,
                type=MeshType.PARCEL,
                payload=encode_parcel(BOB.node_id, 7, parcel),
                source=ALICE.node_id,
                destination=MALLORY.node_id,
            )
        ],
        START,
    )
    assert len(record) == 287
    hybrid_parcel = sealer(ALICE, keys_of(BOB, PREKEYS))(written.content)
    assert len(hybrid_parcel) - len(parcel) == 1088

"""Who may end an identity, and that everybody hears of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.legacy import identity
from tests.support.records import OTHER, PEER, THIRD

from ironmesh.errors import RemoteProtocolError
from ironmesh.mesh.revocations import (
    RevocationBook,
    RevocationLimits,
    Revoked,
    Tell,
    check_revocation,
    make_revocation,
)
from ironmesh.types import NodeId, Refusal
from ironmesh.wire.native.revocations import (
    MAX_REVOCATIONS,
    REVOCATION_BYTES,
    Revocation,
    decode_revocations,
    encode_revocations,
)

ALICE, AUTHORITY, MALLORY = identity("alice"), identity("authority"), identity("mallory")
TIME_S = 1_767_225_600
BY_HERSELF = make_revocation(ALICE, ALICE.public, TIME_S)
BY_AUTHORITY = make_revocation(AUTHORITY, ALICE.public, TIME_S)
BY_MALLORY = make_revocation(MALLORY, ALICE.public, TIME_S)


def book(
    *, pinned: tuple[NodeId, ...] = (), limits: RevocationLimits | None = None
) -> RevocationBook:
    made = RevocationBook([AUTHORITY.node_id], pinned.__contains__, limits)
    for peer in (PEER, OTHER, THIRD):
        made.link_up(peer)
    return made


@pytest.mark.parametrize("revocation", [BY_HERSELF, BY_AUTHORITY])
def test_the_holder_of_a_key_and_an_authority_end_it_and_all_others_are_told(
    revocation: Revocation,
) -> None:
    made = book()
    told, *others = made.heard([revocation], PEER)
    assert told == Revoked(ALICE.node_id, revocation.signer_id)
    assert others == [Tell(peer, (revocation,)) for peer in sorted([OTHER, THIRD])]
    assert ALICE.node_id in made
    assert made.heard([revocation], OTHER) == []


def test_nobody_else_ends_an_identity() -> None:
    made = book()
    assert made.heard([BY_MALLORY], PEER) == []
    claimed = Revocation(ALICE.public, AUTHORITY.public, TIME_S, BY_MALLORY.signature)
    assert made.heard([claimed, Revocation(ALICE.public, ALICE.public, TIME_S)], PEER) == []
    assert made.counters == {"not_authorised": 1, "forged": 2}
    assert ALICE.node_id not in made


@given(st.integers(0, 8 * REVOCATION_BYTES - 1))
def test_a_revocation_with_any_bit_flipped_is_not_believed(bit: int) -> None:
    data = bytearray(encode_revocations([BY_HERSELF]))
    data[bit // 8] ^= 1 << bit % 8
    [read] = decode_revocations(bytes(data))
    assert not check_revocation(read)


def test_a_signature_of_another_kind_is_not_one() -> None:
    text = b"ironmesh v5 revocation" + encode_revocations([BY_HERSELF])[:-64]
    plain = Revocation(ALICE.public, ALICE.public, TIME_S, ALICE.sign(text))
    assert not check_revocation(plain)


def test_a_new_neighbour_is_told_all_in_messages_that_can_be_read() -> None:
    made = book()
    nodes = [identity(f"node {number}") for number in range(MAX_REVOCATIONS + 3)]
    for node in nodes:
        made.add(make_revocation(node, node.public, TIME_S))
    made.link_down(THIRD)
    told = made.link_up(THIRD)
    assert [len(tell.revocations) for tell in told if isinstance(tell, Tell)] == [
        MAX_REVOCATIONS,
        3,
    ]
    for tell in told:
        assert isinstance(tell, Tell)
        assert decode_revocations(encode_revocations(tell.revocations)) == tell.revocations


def test_one_neighbour_fills_its_share_only_and_pinned_nodes_always_find_room() -> None:
    made = book(pinned=(ALICE.node_id,), limits=RevocationLimits(total=5, from_one_neighbour=3))
    flood = [identity(f"flood {number}") for number in range(9)]
    revocations = [make_revocation(node, node.public, TIME_S) for node in flood]
    made.heard(revocations[:5], PEER)
    assert len(made) == 3
    made.heard(revocations[5:], OTHER)
    assert len(made) == 5
    assert made.counters == {"no_room": 4}
    made.heard([BY_HERSELF], PEER)
    victim = identity("victim")
    made.heard([make_revocation(AUTHORITY, victim.public, TIME_S)], PEER)
    assert ALICE.node_id in made
    assert victim.node_id in made


def test_what_was_kept_is_kept_over_a_restart_and_checked_again() -> None:
    made = book()
    made.heard([BY_HERSELF], PEER)
    saved = encode_revocations(made.revocations)
    again = RevocationBook([], lambda _: False)
    assert again.restore(decode_revocations(saved)) == [Revoked(ALICE.node_id, ALICE.node_id)]
    forged = Revocation(MALLORY.public, MALLORY.public, TIME_S, BY_HERSELF.signature)
    assert again.restore([forged]) == []


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", Refusal.BAD_BODY),
        (bytes(REVOCATION_BYTES - 1), Refusal.BAD_BODY),
        (bytes(REVOCATION_BYTES + 1), Refusal.BAD_BODY),
        (bytes(REVOCATION_BYTES * (MAX_REVOCATIONS + 1)), Refusal.TOO_LARGE),
    ],
)
def test_malformed_revocations_are_refused(payload: bytes, reason: Refusal) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_revocations(payload)
    assert caught.value.reason is reason


def test_a_time_out_of_range_is_not_written() -> None:
    with pytest.raises(ValueError, match="out of range"):
        encode_revocations([Revocation(ALICE.public, ALICE.public, 2**40, bytes(64))])

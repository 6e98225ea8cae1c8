"""The store of tickets: bounded, forgetful, and never confused about whose they are."""

from __future__ import annotations

import pytest
from tests.support.native import identity

from ironmesh.session.interface import PeerClaim
from ironmesh.session.native import tickets as module
from ironmesh.session.native.schedule import Role
from ironmesh.session.native.tickets import CROSSING_S, Tickets
from ironmesh.types import NodeId, Secret, WireKind

BOB = identity("bob").node_id


def claim(node_id: NodeId = BOB) -> PeerClaim:
    return PeerClaim(node_id, bytes(32), "bob", "ironmesh/5", WireKind.NATIVE)


def filled(*secrets: bytes, node_id: NodeId = BOB, expires: float = 100.0) -> Tickets:
    store = Tickets()
    add(store, *secrets, node_id=node_id, expires=expires)
    return store


def add(
    store: Tickets,
    *secrets: bytes,
    node_id: NodeId = BOB,
    now: float = 0.0,
    expires: float = 100.0,
) -> Tickets:
    for secret in secrets:
        store.add(
            claim(node_id),
            Secret(secret * 32),
            own_role=Role.INITIATOR,
            is_hybrid=True,
            now=now,
            expires=expires,
        )
    return store


def theirs_of(secret: bytes) -> bytes:
    """The number that the other end of such a session would show."""
    other = Tickets()
    other.add(
        claim(),
        Secret(secret * 32),
        own_role=Role.RESPONDER,
        is_hybrid=True,
        now=0.0,
        expires=100.0,
    )
    ticket = other.take(BOB, 0.0, takes_classic=False)
    assert ticket is not None
    return ticket.number


def knows(store: Tickets, secret: bytes, now: float = 0.0) -> bool:
    return store.find(theirs_of(secret), now, takes_classic=False) is not None


def test_the_newest_ticket_is_taken_first_and_each_once() -> None:
    store = filled(b"a", b"b")
    taken = [store.take(BOB, 0.0, takes_classic=False) for _ in range(3)]
    assert [ticket and ticket.secret.reveal()[:1] for ticket in taken] == [b"b", b"a", None]


def test_two_sessions_of_a_peer_are_remembered_and_no_more() -> None:
    store = filled(b"a", b"b", b"c")
    assert [knows(store, secret) for secret in (b"a", b"b", b"c")] == [False, True, True]
    assert len(store) == 4


def test_a_new_session_ends_the_tickets_of_those_before_it() -> None:
    store = add(filled(b"a"), b"b", now=CROSSING_S)
    assert [knows(store, secret) for secret in (b"a", b"b")] == [False, True]
    assert len(store) == 2


def test_two_dials_that_cross_leave_both_tickets() -> None:
    store = add(filled(b"a"), b"b", now=CROSSING_S - 1)
    assert knows(store, b"a")
    assert knows(store, b"b")


def test_a_ticket_stays_until_it_is_burnt() -> None:
    store = filled(b"a")
    ticket = store.find(theirs_of(b"a"), 0.0, takes_classic=False)
    assert ticket is not None
    assert knows(store, b"a")
    store.burn(ticket)
    assert not knows(store, b"a")
    store.burn(ticket)


def test_a_ticket_that_ran_out_is_neither_taken_nor_found() -> None:
    store = filled(b"a", expires=10.0)
    assert not knows(store, b"a", now=10.0)
    assert store.take(BOB, 10.0, takes_classic=False) is None


def test_what_ran_out_is_dropped_for_good() -> None:
    store = add(filled(b"a", expires=10.0), b"b", expires=20.0)
    store.expire(15.0)
    assert len(store) == 2
    assert knows(store, b"b", now=15.0)
    store.expire(20.0)
    assert (len(store), store._held, store._peers) == (0, {}, {})


def test_a_peer_can_be_forgotten() -> None:
    carol = identity("carol").node_id
    store = add(filled(b"a"), b"c", node_id=carol)
    store.drop(BOB)
    store.drop(BOB)
    assert not knows(store, b"a")
    assert knows(store, b"c")
    assert store.take(BOB, 0.0, takes_classic=False) is None


def test_everybody_can_be_forgotten() -> None:
    store = filled(b"a", b"b")
    store.drop_all()
    assert len(store) == 0
    assert not knows(store, b"a")


def test_the_peer_that_was_met_longest_ago_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PEERS", 3)
    ids = [identity(str(number)).node_id for number in range(5)]
    store = Tickets()
    for number, node_id in enumerate(ids[:3]):
        add(store, bytes([number]), node_id=node_id)
    add(store, b"\x09", node_id=ids[0])
    add(store, b"\x03", node_id=ids[3])
    add(store, b"\x04", node_id=ids[4])
    assert list(store._held) == [ids[0], ids[3], ids[4]]
    assert len(store._peers) == 4


def test_a_classic_ticket_is_for_whoever_takes_it() -> None:
    store = Tickets()
    store.add(
        claim(), Secret(b"a" * 32), own_role=Role.INITIATOR, is_hybrid=False, now=0.0, expires=100.0
    )
    number = theirs_of(b"a")
    assert store.find(number, 0.0, takes_classic=False) is None
    assert store.find(number, 0.0, takes_classic=True) is not None
    assert store.take(BOB, 0.0, takes_classic=True) is not None


def test_nothing_secret_shows_in_a_repr() -> None:
    ticket = filled(b"a").take(BOB, 0.0, takes_classic=False)
    assert "aaaa" not in repr(ticket)

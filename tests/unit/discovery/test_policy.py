"""Who is dialled and who is accepted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ironmesh.discovery.policy import MAX_UNLISTED, Decision, DialPolicy
from ironmesh.discovery.record import FoundPeer
from ironmesh.types import Endpoint

names = st.text("abcé.-_", min_size=1, max_size=4)
lists = st.none() | st.frozensets(names, max_size=3)
DIALS = {Decision.DIAL_NOW, Decision.DIAL_AFTER_WAIT}


def test_without_list_and_flag_nobody_is_dialled_and_everybody_accepted() -> None:
    policy = DialPolicy("alice")
    assert policy.decide("bob", is_online=False) is Decision.IGNORE_DEFAULT_DENY
    assert policy.accepts("bob")


def test_with_a_list_only_the_listed_are_dialled_and_accepted() -> None:
    policy = DialPolicy("alice", frozenset({"bob"}), open_discovery=True)
    assert policy.decide("bob", is_online=False) is Decision.DIAL_NOW
    assert policy.accepts("bob")
    assert policy.decide("carol", is_online=False) is Decision.IGNORE_NOT_LISTED
    assert not policy.accepts("carol")


def test_an_empty_list_lets_nobody_in() -> None:
    policy = DialPolicy("alice", frozenset(), open_discovery=True)
    assert policy.decide("bob", is_online=False) is Decision.IGNORE_NOT_LISTED
    assert not policy.accepts("bob")


def test_open_discovery_dials_everybody_but_itself_and_who_is_online() -> None:
    policy = DialPolicy("bob", open_discovery=True)
    assert policy.decide("bob", is_online=False) is Decision.IGNORE_SELF
    assert policy.decide("carol", is_online=True) is Decision.IGNORE_ONLINE
    assert policy.decide("carol", is_online=False) is Decision.DIAL_NOW
    assert policy.decide("alice", is_online=False) is Decision.DIAL_AFTER_WAIT


def test_names_are_compared_by_code_point() -> None:
    assert DialPolicy("a", open_discovery=True).decide("B", is_online=False) is (
        Decision.DIAL_AFTER_WAIT
    )
    assert DialPolicy("z", open_discovery=True).decide("é", is_online=False) is Decision.DIAL_NOW


@given(names, names)
def test_of_two_open_nodes_exactly_one_dials_at_once(one: str, other: str) -> None:
    decisions = [
        DialPolicy(one, open_discovery=True).decide(other, is_online=False),
        DialPolicy(other, open_discovery=True).decide(one, is_online=False),
    ]
    if one == other:
        assert decisions == [Decision.IGNORE_SELF] * 2
    else:
        assert sorted(decisions) == sorted(DIALS)


@given(names, names, lists, st.booleans(), st.booleans())
def test_whom_we_dial_we_would_accept(
    own: str, other: str, listed: frozenset[str] | None, is_open: bool, is_online: bool
) -> None:
    policy = DialPolicy(own, listed, is_open)
    decision = policy.decide(other, is_online=is_online)
    if decision in DIALS:
        assert policy.accepts(other)
        assert not is_online
        assert other != own
        assert listed is not None or is_open


# --- On the native wire --------------------------------------------------------------------------

labels = st.text("abc0", min_size=1, max_size=3)


def native(label: str, mesh: str = "ironmesh") -> FoundPeer:
    return FoundPeer("", (Endpoint("192.0.2.1", 1),), "", label, mesh)


def test_a_list_of_names_lets_every_label_of_the_mesh_be_dialled() -> None:
    policy = DialPolicy("alice", frozenset({"bob"}), own_label="m")
    assert policy.decide_found(native("n"), is_online=False) is Decision.DIAL_NOW
    assert policy.decide_found(native("a"), is_online=False) is Decision.DIAL_AFTER_WAIT
    assert policy.decide_found(native("n"), is_online=True) is Decision.IGNORE_ONLINE
    assert policy.decide_found(native("m"), is_online=False) is Decision.IGNORE_SELF
    policy.unlisted("n")
    assert policy.decide_found(native("n"), is_online=False) is Decision.IGNORE_NOT_LISTED
    assert policy.decide_found(native("o"), is_online=False) is Decision.DIAL_NOW


def test_other_meshes_are_not_dialled() -> None:
    policy = DialPolicy("alice", open_discovery=True, own_label="m", mesh="kitchen")
    assert policy.decide_found(native("n"), is_online=False) is Decision.IGNORE_OTHER_MESH
    assert policy.decide_found(native("n", "kitchen"), is_online=False) is Decision.DIAL_NOW


def test_no_label_is_dialled_by_default_or_with_an_empty_list() -> None:
    for policy in (DialPolicy("alice"), DialPolicy("alice", frozenset(), open_discovery=True)):
        assert policy.decide_found(native("n"), is_online=False) in {
            Decision.IGNORE_DEFAULT_DENY,
            Decision.IGNORE_NOT_LISTED,
        }


def test_a_record_of_the_0_8_wire_is_judged_by_its_name() -> None:
    policy = DialPolicy("alice", frozenset({"bob"}), own_label="m")
    found = FoundPeer("bob", (Endpoint("192.0.2.1", 1),), "ironmesh/0.6")
    assert policy.decide_found(found, is_online=False) is Decision.DIAL_NOW


def test_unlisted_labels_take_bounded_memory() -> None:
    policy = DialPolicy("alice", frozenset({"bob"}))
    for number in range(2 * MAX_UNLISTED):
        policy.unlisted(str(number))
    assert len(policy._unlisted) == MAX_UNLISTED


@given(labels, labels)
def test_of_two_labels_exactly_one_dials_at_once(one: str, other: str) -> None:
    decisions = [
        DialPolicy("x", open_discovery=True, own_label=own).decide_found(
            native(their), is_online=False
        )
        for own, their in ((one, other), (other, one))
    ]
    if one == other:
        assert decisions == [Decision.IGNORE_SELF] * 2
    else:
        assert sorted(decisions) == sorted(DIALS)

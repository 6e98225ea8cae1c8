"""Who is meant by a name that anybody can claim."""

from __future__ import annotations

import pytest
from tests.support.legacy import identity

from ironmesh.errors import AmbiguousNameError, UnknownPeerError
from ironmesh.mesh.names import meant

ALICE, MALLORY = identity("alice").node_id, identity("mallory").node_id


def test_a_pinned_node_is_meant_whoever_claims_its_name() -> None:
    assert meant("alice", ALICE, [MALLORY]) == (ALICE, False)
    assert meant("alice", ALICE, [ALICE, MALLORY]) == (ALICE, False)


def test_the_only_claimant_is_meant_and_pending() -> None:
    assert meant("alice", None, [ALICE]) == (ALICE, True)


def test_a_name_with_two_claimants_is_refused_and_both_are_named() -> None:
    with pytest.raises(AmbiguousNameError, match=ALICE):
        meant("alice", None, [ALICE, MALLORY])


def test_a_name_that_nobody_claims_is_unknown() -> None:
    with pytest.raises(UnknownPeerError):
        meant("alice", None, [])

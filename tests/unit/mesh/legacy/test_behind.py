"""Who stands behind which bridge, as bridges say it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.support.legacy import identity

from ironmesh.mesh.capabilities import check_capability
from ironmesh.mesh.legacy.behind import MAX_BEHIND_ONE, Behind, read, token
from ironmesh.types import NodeId

B1, B2 = NodeId("1" * 32), NodeId("2" * 32)
CAROL = identity("carol")


@given(st.text(max_size=300))
def test_what_a_bridge_says_is_read_whatever_the_name_is(name: str) -> None:
    said = token(CAROL.public, name)
    check_capability(said)
    (found,) = read([(B1, said)], {}).values()
    assert found[:2] == (B1, CAROL.public)
    assert found.name in (name, "")


def test_the_key_says_whose_it_is() -> None:
    assert read([(B1, token(CAROL.public, "carol"))], {}) == {
        CAROL.node_id: Behind(B1, CAROL.public, "carol")
    }


def test_of_two_bridges_the_nearer_one_counts_whatever_their_order() -> None:
    said = [(bridge, token(CAROL.public, "carol")) for bridge in (B1, B2)]
    for tokens in (said, said[::-1]):
        assert read(tokens, {B1: 3, B2: 1})[CAROL.node_id].bridge == B2
        assert read(tokens, {B1: 3})[CAROL.node_id].bridge == B1
        assert read(tokens, {})[CAROL.node_id].bridge == B1


def test_one_bridge_may_speak_of_so_many() -> None:
    tokens = [(B1, token(number.to_bytes(32, "big"), "")) for number in range(MAX_BEHIND_ONE + 9)]
    assert len(read(tokens, {})) == MAX_BEHIND_ONE


@given(st.text(max_size=80))
def test_other_capabilities_say_nothing_about_bridges(text: str) -> None:
    assert read([(B1, text), (B1, f"legacy:{text}x")], {}) == {}

"""The hash of a set of capabilities, by its vectors."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.trust import VECTORS

from ironmesh.trust.capabilities import canonical_capability_hash

CASES = json.loads((VECTORS / "capability_hash.json").read_text())["vectors"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: ",".join(case["capabilities"]))
def test_the_hash_is_the_published_one(case) -> None:
    assert canonical_capability_hash(case["capabilities"]) == case["hash"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))), st.randoms())
def test_order_and_repetition_do_not_matter(tokens, random) -> None:
    shuffled = tokens * 2
    random.shuffle(shuffled)
    assert canonical_capability_hash(shuffled) == canonical_capability_hash(tokens)

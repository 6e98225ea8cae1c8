"""Fingerprints that people compare."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironmesh.errors import TrustError
from ironmesh.trust.fingerprint import digits_of, read_fingerprint, words_of
from ironmesh.types import NodeId

IDS = st.binary(min_size=16, max_size=16).map(lambda raw: NodeId(raw.hex()))


@given(IDS, st.sampled_from([" ", "  ", "-", ", ", "\n"]), st.booleans())
def test_what_one_person_reads_out_the_other_can_give(
    node_id: NodeId, between: str, is_upper: bool
) -> None:
    for text in (words_of(node_id), digits_of(node_id)):
        spoken = between.join(text.split())
        assert read_fingerprint(spoken.upper() if is_upper else spoken) == node_id
    assert len(words_of(node_id).split()) == 12


def test_words_are_those_of_the_published_list() -> None:
    """Source: the test vectors of BIP-39."""
    assert words_of(NodeId("7f" * 16)) == (
        "legal winner thank year wave sausage worth useful legal winner thank yellow"
    )


@given(IDS, st.integers(0, 11), st.sampled_from(["abandon", "zoo", "ocean"]))
def test_another_word_is_another_fingerprint_or_none(
    node_id: NodeId, place: int, word: str
) -> None:
    words = words_of(node_id).split()
    if words[place] == word:
        return
    words[place] = word
    with contextlib.suppress(TrustError):
        assert read_fingerprint(" ".join(words)) != node_id


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "0 words"),
        ("ocean ocean", "2 words"),
        (" ".join(["ocean"] * 11 + ["oceam"]), "'oceam' is none of the words"),
        (" ".join(["abandon"] * 12), "one of the words is wrong"),
        ("8f3c", "all 32 hex digits"),
        ("é" * 32, "1 words"),
    ],
)
def test_what_is_no_fingerprint_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(TrustError, match=said):
        read_fingerprint(text)

"""Which spellings are one name."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ironmesh.trust.names import MAX_NAME_CHARS, clean_name, name_key


@pytest.mark.parametrize(
    "other",
    [
        "Alice",
        "ALICE",
        "\uff41lice",  # full-width a
        "ali\u200bce",  # zero-width space
        "alice\ufe0f",  # variation selector
        "\u202ealice",  # right-to-left override
        " alice ",
        "alice\x00",
    ],
)
def test_a_name_cannot_be_copied_by_what_does_not_show(other: str) -> None:
    assert name_key(other) == name_key("alice")


def test_composed_and_decomposed_accents_are_one_name() -> None:
    assert name_key("Zo\u00eb") == name_key("zoe\u0308")


@pytest.mark.parametrize("other", ["alicia", "alice-2", "al ice", "\u0430lice", ""])
def test_other_names_stay_other_names(other: str) -> None:
    assert name_key(other) != name_key("alice")


@pytest.mark.parametrize("nothing", ["", " ", "\u200b", "\u202e\x00", "\u3164"])
def test_a_name_of_which_nothing_shows_is_no_name(nothing: str) -> None:
    assert name_key(nothing) == ""


@settings(max_examples=500)
@given(st.text(max_size=300))
def test_the_key_of_a_clean_name_is_stable(text: str) -> None:
    name = clean_name(text)
    assert len(name) <= MAX_NAME_CHARS
    assert name_key(name_key(name)) == name_key(name)


@given(st.text(alphabet=st.characters(), max_size=20))
def test_a_clean_name_can_be_written(text: str) -> None:
    clean_name(text + "\ud800").encode()

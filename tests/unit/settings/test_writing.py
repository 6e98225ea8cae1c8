import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironmesh.settings.writing import as_toml

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.booleans() | st.integers(0, 65535) | TEXTS | st.lists(TEXTS).map(tuple)


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES))
def test_what_is_written_is_read_back(values):
    found = tomllib.loads(as_toml(values, "A file.").decode())
    expected = {
        name: list(value) if isinstance(value, tuple) else value for name, value in values.items()
    }
    assert found == expected


def test_numbers_and_paths_are_written_too():
    found = tomllib.loads(as_toml({"a": 1.5, "b": Path("/x y")}, "A file.").decode())
    assert found == {"a": 1.5, "b": "/x y"}


def test_nothing_is_not_written():
    with pytest.raises(ValueError):
        as_toml({"a": None}, "A file.")

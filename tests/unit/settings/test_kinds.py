import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironmesh.errors import ConfigError
from ironmesh.settings.kinds import Choice, FilePath, Listing, Seconds, Switch, Text, Whole

FOLDER = Path("/folder")


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Text(), "x", "x"),
        (Choice(("text", "JSON")), " json ", "JSON"),
        (Whole(0, 9), "9", 9),
        (Seconds(), "0.5", 0.5),
        (Switch(), "Yes", True),
        (Switch(), "off", False),
        (Listing(), "a, b,,", ("a", "b")),
        (Listing(), "", ()),
        (FilePath(), "/a/b", Path("/a/b")),
        (FilePath(), "x", Path.cwd() / "x"),
    ],
)
def test_text_becomes_a_value(kind, text, value):
    assert kind.from_text(text) == value


def test_a_tilde_is_the_users_home(monkeypatch):
    monkeypatch.setenv("HOME", "/srv/alice")
    assert FilePath().from_text("~/x") == Path("/srv/alice/x")


@pytest.mark.parametrize(
    ("kind", "toml", "value"),
    [
        (Text(), "x", "x"),
        (Choice(("a", "b")), "A", "a"),
        (Whole(0, 9), 0, 0),
        (Seconds(), 3, 3.0),
        (Switch(), True, True),
        (Listing(), ["a, b"], ("a, b",)),
        (FilePath(), "x", FOLDER / "x"),
        (FilePath(), "/x", Path("/x")),
    ],
)
def test_toml_becomes_a_value(kind, toml, value):
    assert kind.from_toml(toml, FOLDER) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Choice(("a", "b")), "c"),
        (Whole(0, 9), "10"),
        (Whole(1), "0"),
        (Whole(), "1.5"),
        (Whole(), "http"),
        (Seconds(1), "0.5"),
        (Seconds(), "nan"),
        (Seconds(), "inf"),
        (Seconds(), "soon"),
        (Switch(), "maybe"),
        (FilePath(), ""),
        (FilePath(), "a\0b"),
        (FilePath(), "~nobody-has-this-name/x"),
    ],
)
def test_text_that_is_no_value_is_refused_with_a_fix(kind, text):
    with pytest.raises(ConfigError) as caught:
        kind.from_text(text)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("kind", "toml", "fix"),
    [
        (Text(), 1, "in quotes"),
        (Choice(("a", "b")), ["a"], "in quotes"),
        (Whole(), "1", "without quotes"),
        (Whole(), True, "number"),
        (Whole(), 1.0, "number"),
        (Seconds(), "1", "without quotes"),
        (Seconds(), False, "number"),
        (Switch(), 1, "true or false"),
        (Switch(), "true", "without quotes"),
        (Listing(), "a", "["),
        (Listing(), ["a", 1], "["),
        (FilePath(), 1, "in quotes"),
    ],
)
def test_a_wrong_type_in_a_file_is_refused_and_the_fix_says_how_to_write_it(kind, toml, fix):
    with pytest.raises(ConfigError) as caught:
        kind.from_toml(toml, FOLDER)
    assert fix in caught.value.fix


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    )
)
def test_whatever_a_file_holds_is_a_value_or_a_named_error(toml):
    for kind in (Text(), Choice(("a",)), Whole(), Seconds(), Switch(), Listing(), FilePath()):
        with contextlib.suppress(ConfigError):
            kind.from_toml(toml, FOLDER)

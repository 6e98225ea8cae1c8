from hypothesis import given
from hypothesis import strategies as st

from ironmesh.cli.output import Column, age, cell_width, clean, table_lines, who

COLUMNS = [Column("ID"), Column("NAME", is_flexible=True), Column("NOTE", is_flexible=True)]


def test_columns_are_aligned():
    assert table_lines(COLUMNS, [["1", "alice", "x"], ["22", "bo", "y"]], 80) == [
        "ID  NAME   NOTE",
        "1   alice  x",
        "22  bo     y",
    ]


def test_flexible_columns_are_cut_and_ids_are_not():
    lines = table_lines(COLUMNS, [["f" * 32, "n" * 60, "short"]], 60)
    assert max(map(len, lines)) <= 60
    assert "f" * 32 in lines[1]
    assert "…" in lines[1]
    assert lines[1].endswith("short")


def test_a_table_that_cannot_fit_is_still_whole_in_its_rigid_columns():
    lines = table_lines(COLUMNS, [["f" * 32, "name", "note"]], 10)
    assert "f" * 32 in lines[1]


def test_control_characters_of_peers_do_not_reach_the_terminal():
    assert clean("a\x1b[31m\nb\u202e") == "a\\x1b[31m\\x0ab\\x202e"
    assert "\x1b" not in "".join(table_lines(COLUMNS, [["1", "\x1b[2J", "x"]], 80))


def test_wide_characters_take_two_cells():
    assert cell_width("日本") == 4
    assert cell_width("e\u0301") == 1
    assert cell_width(table_lines(COLUMNS, [["1", "日本" * 40, "x"]], 40)[1]) <= 40


def test_ages_are_short():
    ages = [age(1000, 1000 + seconds) for seconds in (-5, 59, 60, 7200, 86400 * 12)]
    assert ages == ["now", "now", "1m", "2h", "12d"]


def test_a_peer_is_named_with_the_start_of_its_id():
    assert who("bob", "8f3c2a1b" + "0" * 24) == "bob (8f3c2a1b...)"
    assert who("", "8f3c2a1b" + "0" * 24) == "unnamed (8f3c2a1b...)"


@given(
    st.lists(st.tuples(st.text(max_size=9), st.text(max_size=99), st.text(max_size=99))),
    st.integers(70, 120),
)
def test_every_table_fits_one_line_a_row(rows, width):
    lines = table_lines(COLUMNS, rows, width)
    assert len(lines) == len(rows) + 1
    assert all("\n" not in line and cell_width(line) <= width for line in lines)

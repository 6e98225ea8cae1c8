"""The table, the page and the plot that are made of what was measured."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest
from bench.contestants import EVERYBODY, OURS
from bench.report import BEGIN, END, markdown, plot, put_into_page
from bench.results import ROWS, Results, machine_facts


def results() -> Results:
    found = Results(
        machine=machine_facts(),
        settings={"rounds": 3},
        titles={contestant.key: contestant.title for contestant in EVERYBODY},
    )
    for ours, theirs in ((100.0, 500.0), (300.0, 900.0), (200.0, 700.0)):
        for key, value in (("ours", ours), ("published", theirs)):
            figures = {"message.64.send_us": value, "message.64.receive_us": value}
            found.add(key, {**figures, "message.64.cpu_us": 2 * value, "message.64.rate": value})
    return found


def test_a_row_shows_medians_and_how_many_times_better_ours_is() -> None:
    lines = markdown(results()).splitlines()
    assert "| 64 B: CPU, both ends (us) | 400 | – |  | 1,400 | 3.5× |" in lines
    assert "| 64 B: rate (msg/s) | 200 | – |  | 700 | 0.3× |" in lines


def test_what_was_not_measured_is_no_row_and_what_is_missing_is_said() -> None:
    found = results()
    found.leave_out("no enqueue")
    found.leave_out("no enqueue")
    table = markdown(found)
    assert "durable enqueue" not in table
    assert table.count("no enqueue") == 1


def test_rows_have_keys_of_their_own() -> None:
    assert len({row.key for row in ROWS}) == len(ROWS)


def test_the_json_holds_every_value_and_the_medians() -> None:
    said = json.loads(json.dumps(results().to_json()))
    assert said["values"]["ours"]["message.64.cpu_us"] == [200.0, 600.0, 400.0]
    assert said["medians"]["ours"]["message.64.cpu_us"] == 400.0


def test_the_table_goes_between_the_marks_of_a_page() -> None:
    page = f"# Page\n\n{BEGIN}\nold\n{END}\n\nend\n"
    written = put_into_page(page, "new\n")
    assert written == f"# Page\n\n{BEGIN}\n\nnew\n\n{END}\n\nend\n"
    assert put_into_page(written, "new\n") == written
    with pytest.raises(ValueError, match="no <!-- results"):
        put_into_page("# Page", "new")


def test_the_plot_is_well_formed_and_needs_nothing_from_elsewhere() -> None:
    drawn = plot(results())
    assert "href" not in drawn
    texts = [element.text for element in ET.fromstring(drawn).iter() if element.text]
    assert OURS.title in texts
    assert "400" in texts

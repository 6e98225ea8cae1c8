"""The table, the page and the plot that are made of what was measured."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest
from bench.__main__ import GROUPS, _has_time, measures
from bench.contestants import AS_GOT, EVERYBODY, LIFTED, OURS
from bench.counts import QUICK
from bench.report import RESULTS, markdown, plot, put_into_page, stage_table
from bench.results import ROWS, Results, Row, machine_facts
from bench.stages import REST, shares, stage_of

CPU = Row("live.64.cpu_us", "CPU", "us")
RATE = Row("live.64.rate", "rate", "msg/s", is_less_better=False)


def results() -> Results:
    found = Results(
        machine=machine_facts(),
        settings={"rounds": 3},
        titles={contestant.key: contestant.title for contestant in EVERYBODY},
    )
    for ours, theirs in ((100.0, 500.0), (300.0, 900.0), (200.0, 700.0)):
        for key, value in (("ours", ours), ("published", theirs)):
            figures = {"live.64.send_us": value, "live.64.receive_us": value}
            found.add(key, {**figures, "live.64.cpu_us": 2 * value, "live.64.rate": value})
    return found


def test_a_row_shows_medians_and_how_many_times_better_ours_is() -> None:
    lines = markdown(results()).splitlines()
    assert "| live, 64 B: CPU, both ends (us) | 400.0 | – |  | 1,400.0 | 3.5× |" in lines
    assert "| live, 64 B: rate (msg/s) | 200 | – |  | 700 | 0.3× |" in lines


def test_a_round_in_which_the_machine_was_busy_does_not_change_the_ratio() -> None:
    found = results()
    for slowness in (1.0, 10.0, 10.0):
        found.add("published_lifted", {"live.64.cpu_us": 1000.0 * slowness})
    found.values["ours"]["live.64.cpu_us"] = [100.0, 1000.0, 1000.0]
    assert found.ratio("ours", "published_lifted", CPU) == pytest.approx(10.0)


def test_where_a_round_failed_the_ratio_is_that_of_the_medians() -> None:
    found = results()
    del found.values["published"]["live.64.rate"][0]
    assert found.ratio("ours", "published", RATE) == pytest.approx(200.0 / 800.0)
    assert found.ratio("ours", "published_lifted", RATE) is None


def test_what_was_not_measured_is_no_row_and_what_is_missing_is_said() -> None:
    found = results()
    found.leave_out("no enqueue")
    found.leave_out("no enqueue")
    table = markdown(found)
    assert "durable enqueue" not in table
    assert table.count("no enqueue") == 1


def test_how_busy_the_machine_was_is_said() -> None:
    found = results()
    found.load = [0.4, 3.2, 1.0]
    found.million_ms = [65.2, 154.4]
    assert "Load average over one minute: 0.4 to 3.2." in markdown(found)
    assert "A million additions took 65 to 154 ms." in markdown(found)


def test_the_speed_of_the_machine_is_measured() -> None:
    found = results()
    found.note_load()
    assert found.million_ms[0] > 0


def test_rows_have_keys_of_their_own() -> None:
    assert len({row.key for row in ROWS}) == len(ROWS)


def test_the_published_node_is_asked_once_for_what_its_limits_do_not_touch() -> None:
    by_title = {measure.title: measure for measure in measures(QUICK)}
    everybody = list(EVERYBODY)
    assert by_title["64 B"].concerns(AS_GOT, everybody)
    assert by_title["connect"].concerns(LIFTED, everybody)
    assert not by_title["connect"].concerns(AS_GOT, everybody)
    assert not by_title["handshake alone"].concerns(LIFTED, everybody)
    assert by_title["handshake alone"].concerns(OURS, everybody)
    assert {"messages", "relay", "profile"} <= set(GROUPS)


def test_a_round_that_would_end_too_late_is_not_begun() -> None:
    assert _has_time(0, 0.0, 600.0)
    assert _has_time(4, 480.0, 600.0)
    assert not _has_time(3, 480.0, 600.0)


def test_the_json_holds_every_value_and_the_medians() -> None:
    said = json.loads(json.dumps(results().to_json()))
    assert said["values"]["ours"]["live.64.cpu_us"] == [200.0, 600.0, 400.0]
    assert said["medians"]["ours"]["live.64.cpu_us"] == 400.0


def test_a_table_goes_between_its_marks_of_a_page() -> None:
    begin, end = "<!-- results: written by `make bench` -->", "<!-- end of results -->"
    page = f"# Page\n\n{begin}\nold\n{end}\n\nend\n"
    written = put_into_page(page, RESULTS, "new\n")
    assert written == f"# Page\n\n{begin}\n\nnew\n\n{end}\n\nend\n"
    assert put_into_page(written, RESULTS, "new\n") == written
    with pytest.raises(ValueError, match="no <!-- results"):
        put_into_page("# Page", RESULTS, "new")


def test_the_plot_is_well_formed_and_needs_nothing_from_elsewhere() -> None:
    drawn = plot(results())
    assert "href" not in drawn
    texts = [element.text for element in ET.fromstring(drawn).iter() if element.text]
    assert OURS.title in texts
    assert "400" in texts


def test_a_stack_belongs_to_the_innermost_stage_that_it_shows() -> None:
    store = ["/lib/json/encoder.py", "/site/ironmesh/store/database/rows.py", "/lib/threading.py"]
    assert stage_of(store).startswith("store")
    assert stage_of(["/lib/asyncio/events.py", *store]).startswith("event loop")
    assert stage_of(["/lib/elsewhere.py"]) == REST


def test_a_thread_that_waits_does_not_count_for_where_it_waits() -> None:
    found = shares(
        [
            [3.0, "/lib/selectors.py:select", "/lib/asyncio/base_events.py:_run_once"],
            [1.0, "/site/ironmesh/store/database/rows.py:seal"],
        ]
    )
    assert list(found.values()) == [1.0]


def test_the_table_of_stages_has_a_sum() -> None:
    lines = stage_table(
        {"one": {"live sender": 1.25, "durable receiver": 4.0}, "two": {"live sender": 2.0}}
    ).splitlines()
    assert lines[2] == "| one | 1.2 | 0.0 | 0.0 | 4.0 |"
    assert lines[-1] == "| **together** | 3.2 | 0.0 | 0.0 | 4.0 |"

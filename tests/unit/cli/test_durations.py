import click
import pytest

from ironmesh.cli.durations import Duration
from ironmesh.cli.output import size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90.0), ("0.5s", 0.5), ("10m", 600.0), ("1H", 3600.0), (" 2d ", 172800.0)],
)
def test_a_time_is_read_as_people_write_it(text, seconds):
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "-1", "soon", "1w", "1h30m", "inf", "nan", "١"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(click.BadParameter, match="is no time"):
        Duration().convert(text, None, None)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "1.0K"),
        (1536, "1.5K"),
        (10_200, "10K"),
        (1_023_000, "999K"),
        (1_023_999, "1.0M"),
        (5 << 30, "5.0G"),
        (1 << 60, "1048576T"),
    ],
)
def test_a_size_is_short(count, text):
    assert size(count) == text

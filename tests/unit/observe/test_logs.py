"""Log lines: facts beside a text, nothing that a peer says can forge one."""

from __future__ import annotations

import io
import json
import logging
import re
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironmesh.errors import ConfigError
from ironmesh.observe.logs import LogFormat, fields, logging_to
from ironmesh.types import Secret

LOG = logging.getLogger("ironmesh.node.links")


def lines(form: LogFormat, write, *, level: str = "INFO") -> str:
    stream = io.StringIO()
    with logging_to(stream, level=level, form=form):
        write()
    return stream.getvalue()


def test_a_text_line_tells_when_how_bad_where_what_and_the_facts() -> None:
    line = lines(
        LogFormat.TEXT,
        lambda: LOG.info("peer online", extra=fields(peer="ab12", name='al "x" ice', n=3, no="")),
    )
    pattern = (
        r"\d\d:\d\d:\d\d\.\d{3} INFO    node\.links: peer online"
        r' peer=ab12 name="al \\"x\\" ice" n=3 no=""\n'
    )
    assert re.fullmatch(pattern, line)


def test_a_json_line_is_one_object() -> None:
    line = lines(LogFormat.JSON, lambda: LOG.warning("refused", extra=fields(reason="replay", n=3)))
    told = json.loads(line)
    assert told.pop("ts").endswith("Z")
    assert told == {
        "level": "WARNING",
        "logger": "ironmesh.node.links",
        "event": "refused",
        "fields": {"reason": "replay", "n": 3},
    }


@pytest.mark.parametrize("form", LogFormat)
@given(said=st.text(st.characters(), max_size=40))
def test_nothing_that_a_peer_says_makes_another_line(form: LogFormat, said: str) -> None:
    text = lines(form, lambda: LOG.info("said %s", said, extra=fields(name=said)))
    assert text.endswith("\n")
    assert len(text.splitlines()) == 1
    assert text[:-1].isprintable()


@pytest.mark.parametrize("form", LogFormat)
def test_a_secret_does_not_show(form: LogFormat) -> None:
    secret = Secret("hunter2")
    error = ValueError(secret)
    text = lines(form, lambda: LOG.error("failed", exc_info=error, extra=fields(key=secret)))
    assert "hunter2" not in text
    assert "ValueError" in text


def test_a_traceback_cannot_be_taken_for_other_lines() -> None:
    error = ValueError("x\n12:00:00.000 INFO    forged")
    text = lines(LogFormat.TEXT, lambda: LOG.error("failed", exc_info=error))
    first, *rest = text.splitlines()
    assert "failed" in first
    assert all(line.startswith("    ") for line in rest)


def test_only_the_wanted_level_is_written_and_everything_is_put_back() -> None:
    root = logging.getLogger("ironmesh")
    before = (root.level, root.propagate, list(root.handlers))
    assert lines(LogFormat.TEXT, lambda: LOG.info("x"), level="warning") == ""
    assert (root.level, root.propagate, list(root.handlers)) == before


def test_an_unknown_level_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(ConfigError, match="DEBUG"), logging_to(level="LOUD"):
        pass


def test_a_log_file_is_private_and_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    for _ in range(2):
        with logging_to(path):
            LOG.info("hello \ud800")
    assert len(path.read_text().splitlines()) == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_log_file_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for path in (tmp_path / "link", tmp_path / "missing" / "node.log"):
        with pytest.raises(ConfigError), logging_to(path):
            pass

"""Logs as events with fields: a short text that says what happened, and the facts beside it.

    log = logging.getLogger("ironmesh.node")
    log.info("peer online", extra=fields(peer=node_id, name=name))

Texts are constant, facts are fields; neither holds a secret or a payload. What a peer said is shown
with its control characters escaped, so that it cannot forge a line or move the cursor.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final, TextIO

from ironmesh import files
from ironmesh.errors import ConfigError, FileRefusedError

ROOT: Final = "ironmesh"
"""Name of the logger above all of ours."""

_FIELDS: Final = "fields"
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class LogFormat(StrEnum):
    """How a log line looks."""

    TEXT = "text"
    JSON = "json"


def fields(**facts: object) -> dict[str, Mapping[str, object]]:
    """Return what a log call takes as `extra` to carry these facts."""
    return {_FIELDS: facts}


class TextFormatter(logging.Formatter):
    """`12:34:56.789 INFO    node: peer online peer=ab12 name="alice b"`, local time."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record; a traceback follows on lines of its own, indented."""
        time = datetime.fromtimestamp(record.created).astimezone()
        stamp = time.isoformat(sep=" ", timespec="milliseconds")[11:23]
        name = record.name.removeprefix(f"{ROOT}.")
        parts = [f"{stamp} {record.levelname:<7} {name}: {_visible(record.getMessage())}"]
        parts += [f"{key}={_quoted(value)}" for key, value in _facts(record).items()]
        trace = "".join(f"\n    {_visible(line)}" for line in self._trace_lines(record))
        return " ".join(parts) + trace

    def _trace_lines(self, record: logging.LogRecord) -> list[str]:
        return self.formatException(record.exc_info).splitlines() if record.exc_info else []


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `ts`, `level`, `logger`, `event`, `fields`, and `trace` if any."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        stamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "ts": stamp.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
            "fields": _facts(record),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


@contextmanager
def logging_to(
    target: TextIO | Path | None = None,
    *,
    level: str = "INFO",
    form: LogFormat = LogFormat.TEXT,
) -> Iterator[None]:
    """Send the logs of this package somewhere, until the block ends.

    Args:
        target: a stream, or a file that is appended to (made private); None = standard error.
        level: the least level that is written: `DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`.
        form: how a line looks.

    Raises:
        ConfigError: no such level, or the file cannot be used.
    """
    if level.upper() not in _LEVELS:
        raise ConfigError(f"there is no log level {level!r}", f"use one of {', '.join(_LEVELS)}")
    stream = _open(target) if isinstance(target, Path) else target or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if form is LogFormat.JSON else TextFormatter())
    root = logging.getLogger(ROOT)
    level_before, propagate_before = root.level, root.propagate
    root.addHandler(handler)
    root.setLevel(level.upper())
    root.propagate = False
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level_before)
        root.propagate = propagate_before
        handler.close()
        if isinstance(target, Path):
            stream.close()


def _open(path: Path) -> TextIO:
    try:
        handle = files.open_for_append(path)
    except FileRefusedError as error:
        raise ConfigError(error.what, error.fix) from error
    except OSError as error:
        raise ConfigError(
            f"the log file {path} cannot be used ({error.strerror})", "name another file"
        ) from error
    return TextIOWrapper(os.fdopen(handle, "ab"), encoding="utf-8", errors="backslashreplace")


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    facts = getattr(record, _FIELDS, {})
    return dict(facts) if isinstance(facts, Mapping) else {}


def _quoted(value: object) -> str:
    text = _visible(str(value))
    needs_quotes = not text or any(character in ' "=' for character in text)
    return '"' + text.replace('"', r"\"") + '"' if needs_quotes else text


def _visible(text: str) -> str:
    """Return `text` with everything that a terminal does not print as itself escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

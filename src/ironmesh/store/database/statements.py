"""Statements for many rows: one step of SQLite, and one release of the interpreter's lock."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

MAX_ROWS: Final = 64
"""Rows in one statement."""


def execute_rows(
    connection: sqlite3.Connection, template: str, width: int, values: list[Any]
) -> None:
    """Execute a statement for rows of `width` values, which stand one after the other.

    Args:
        template: the statement, with `{rows}` where the rows belong.
    """
    step = width * MAX_ROWS
    for start in range(0, len(values), step):
        part = values[start : start + step]
        connection.execute(_statement(template, width, len(part) // width), part)


@cache
def _statement(template: str, width: int, count: int) -> str:
    row = f"({', '.join('?' * width)})"
    return template.format(rows=", ".join([row] * count))


def runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Return the first and the last of those that follow one another; they are in order."""
    begin = 0
    for place in range(1, len(numbers) + 1):
        if place == len(numbers) or numbers[place] != numbers[place - 1] + 1:
            yield numbers[begin], numbers[place - 1]
            begin = place

"""What commands print: tables that fit the terminal, and JSON."""

from __future__ import annotations

import shutil
import sys
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import click
import msgspec

from ironmesh.control.health import Level

GAP: Final = "  "
MIN_COLUMN: Final = 4
SHORT_ID: Final = 8

_COLOURS: Final = {
    Level.OK: "green",
    Level.WARN: "yellow",
    Level.FAIL: "red",
    Level.SKIP: "bright_black",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    title: str
    is_flexible: bool = False
    """It may be cut to make the table fit."""


def print_json(value: Any) -> None:
    """Print one JSON document; structs become objects."""
    data = msgspec.json.encode(value)
    pretty = msgspec.json.format(data, indent=2) if sys.stdout.isatty() else data
    print(pretty.decode(), flush=True)


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print aligned columns, cut to the width of the terminal (80 without one)."""
    print("\n".join(table_lines(columns, rows, shutil.get_terminal_size((80, 24)).columns)))


def table_lines(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return the lines of a table at most `width` cells wide, as far as flexible columns allow."""
    cells = [[column.title for column in columns], *([clean(cell) for cell in row] for row in rows)]
    widths = [max(cell_width(row[index]) for row in cells) for index in range(len(columns))]
    spare = width - sum(widths) - len(GAP) * (len(columns) - 1)
    while spare < 0:
        flexible = [
            index
            for index, column in enumerate(columns)
            if column.is_flexible and widths[index] > MIN_COLUMN
        ]
        if not flexible:
            break
        widths[max(flexible, key=lambda index: widths[index])] -= 1
        spare += 1
    return [
        GAP.join(_fit(cell, widths[index]) for index, cell in enumerate(row)).rstrip()
        for row in cells
    ]


def clean(text: str) -> str:
    """Return `text` in one line without control characters: names and texts of peers are theirs."""
    return "".join(
        character if character.isprintable() else f"\\x{ord(character):02x}" for character in text
    )


def cell_width(text: str) -> int:
    """Return how many cells of a terminal `text` takes."""
    return sum(
        0
        if unicodedata.combining(character)
        else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )


def age(wall: float, now: float) -> str:
    """Return how long ago `wall` (seconds since 1970) was: `now`, `5m`, `3h`, `12d`."""
    seconds = max(0.0, now - wall)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return "now"


def duration(seconds: float) -> str:
    """Return a time span as a person says it: `45s`, `5m`, `3h`, `12d`."""
    return f"{seconds:.0f}s" if seconds < 60 else age(0.0, seconds)


def level_word(level: Level) -> str:
    """Return how a finding is meant, in four cells, coloured on a terminal."""
    return click.style(f"{level.value.upper():<4}", fg=_COLOURS[level])


def size(count: int) -> str:
    """Return a number of bytes in at most five characters: `512B`, `1.5K`, `12M`."""
    if count < 1000:
        return f"{count}B"
    value = float(count)
    for unit in "KMGT":
        value /= 1024
        if value < 9.95:
            return f"{value:.1f}{unit}"
        if value < 999.5:
            break
    return f"{value:.0f}{unit}"


def local_time(wall: float) -> str:
    """Return a moment (seconds since 1970) as a person reads it, in local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(wall))


def who(name: str, node_id: str) -> str:
    """Return a peer as lines name it: `bob (8f3c2a1b...)`."""
    return f"{clean(name) or 'unnamed'} ({node_id[:SHORT_ID]}...)"


def warn(text: str) -> None:
    """Print a warning line to standard error."""
    click.echo(f"warning: {clean(text)}", err=True)


def _fit(cell: str, width: int) -> str:
    if cell_width(cell) <= width:
        return cell + " " * (width - cell_width(cell))
    cut = ""
    for character in cell:
        if cell_width(cut + character) > width - 1:
            break
        cut += character
    return cut + "…" + " " * (width - 1 - cell_width(cut))
